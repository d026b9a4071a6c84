//! Reading a request head: where it ends, what it says, and what is refused (RFC 9112).
//!
//! httparse takes the lines apart; what it lets pass and the RFC does not is refused here, because
//! every leniency is a way to smuggle a request past a proxy that reads it differently.

use std::mem::MaybeUninit;

use httparse::Header;

use super::proxy::{Forwarded, is_proxy_field};
use crate::status::reason_phrase;
use crate::worker::asgi::http::Version;

/// So many fields are taken apart without memory of their own; a browser sends some 30.
const USUAL_FIELDS: usize = 128;

/// What a request line may have besides its target: a method, a version, two spaces.
const AROUND_TARGET: usize = 64;

/// How large a head may be. Uvicorn (httptools) has no limits; nginx takes 8 KiB a line, Granian 100
/// fields.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of all of it.
    pub size: usize,
    /// Bytes of the target.
    pub target: usize,
    /// Fields.
    pub fields: usize,
}

/// A request head, borrowed from the connection's read buffer.
#[derive(Debug)]
pub struct RequestHead<'a> {
    /// The method, as sent: methods are case-sensitive.
    pub method: &'a str,
    /// The path of the target, still percent-encoded.
    pub path: &'a [u8],
    /// What follows the first `?`, without it.
    pub query: &'a [u8],
    /// The version that it came in.
    pub version: Version,
    /// Host of an absolute-form target: it replaces the `host` field (RFC 9112 section 3.2.2).
    pub authority: Option<&'a [u8]>,
    /// The fields in the order sent; names in the case sent.
    pub headers: &'a [Header<'a>],
    /// How the body is framed.
    pub body: BodyLength,
    /// `expect: 100-continue`
    pub expects_continue: bool,
    /// The client wants the connection to stay open.
    pub keep_alive: bool,
    /// The client asked to change the protocol.
    pub upgrade: bool,
    /// It has fields in which a proxy tells of the client.
    pub proxied: bool,
    /// What a trusted proxy says there; read only where there are such fields.
    pub forwarded: Option<Forwarded>,
}

impl RequestHead<'_> {
    /// The value of the first field with this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let mut headers = self.headers.iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        Some(found.value)
    }
}

/// How a request body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// That many bytes; none for most requests.
    Sized(u64),
    /// The chunked transfer coding.
    Chunked,
}

/// Why a request is refused. The connection closes after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Not HTTP/1.x as the RFC writes it.
    Malformed(&'static str),
    /// A transfer coding that is not ours (RFC 9112 section 6.1).
    UnknownCoding,
    /// A method that this server does not implement: CONNECT.
    Method,
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
    /// The head is larger than allowed, or has more fields.
    TooLarge,
    /// The target is longer than allowed.
    TargetTooLong,
    /// The head did not arrive in time.
    TooSlow,
}

impl Refused {
    /// The status that tells the client.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooSlow => 408,
            Self::TargetTooLong => 414,
            Self::TooLarge => 431,
            Self::UnknownCoding | Self::Method => 501,
            Self::Version => 505,
        }
    }

    /// What the client is told besides the status.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed(_) => "Invalid HTTP request received.",
            other => reason_phrase(i64::from(other.status())),
        }
    }

    /// What was wrong, for the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(what) => what,
            Self::TooSlow => "the request head did not arrive in time",
            Self::TooLarge => "the request head is too large",
            Self::TargetTooLong => "the request target is too long",
            Self::UnknownCoding => "unknown transfer coding",
            Self::Method => "CONNECT is not implemented",
            Self::Version => "HTTP version not supported",
        }
    }
}

/// Finds the end of a head that arrives in pieces, looking at each byte once.
#[derive(Debug, Default, Clone, Copy)]
pub struct HeadScan {
    /// Start of the line that is being read.
    line: usize,
    /// Bytes already looked at.
    seen: usize,
    /// Start of the request line, after the empty lines that may precede it.
    start: usize,
}

impl HeadScan {
    /// Looks at what is new in `buffer` (the whole head so far). `Some(start..end)` when the head
    /// is complete, with its empty line.
    ///
    /// # Errors
    /// A bare LF (RFC 9112 section 2.2 lets us refuse it), or more bytes than allowed.
    pub fn advance(
        &mut self,
        buffer: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<std::ops::Range<usize>>, Refused> {
        while let Some(found) = memchr::memchr(b'\n', &buffer[self.seen..]) {
            let lf = self.seen + found;
            if lf == self.line || buffer[lf - 1] != b'\r' {
                return Err(Refused::Malformed("a line ends with a bare LF"));
            }
            let empty = lf - 1 == self.line;
            let leading = self.line == self.start;
            self.line = lf + 1;
            self.seen = lf + 1;
            match (empty, leading) {
                (true, true) => self.start = lf + 1,
                (true, false) if lf + 1 > limits.size => return Err(Refused::TooLarge),
                (true, false) => return Ok(Some(self.start..lf + 1)),
                (false, _) => {}
            }
        }
        self.seen = buffer.len();
        let is_request_line = self.line == self.start;
        let unfinished = buffer.len() - self.line;
        if is_request_line && unfinished > limits.target + AROUND_TARGET {
            Err(Refused::TargetTooLong)
        } else if buffer.len() > limits.size {
            Err(Refused::TooLarge)
        } else {
            Ok(None)
        }
    }
}

/// Parses a complete head and hands it to `then` while it is borrowed.
///
/// # Errors
/// What the RFC does not allow, or we do not implement.
pub fn parse<R>(
    bytes: &[u8],
    limits: HeadLimits,
    then: impl FnOnce(&mut RequestHead<'_>) -> R,
) -> Result<R, Refused> {
    let mut usual = [MaybeUninit::<Header<'_>>::uninit(); USUAL_FIELDS];
    let mut unusual;
    let fields = match usual.get_mut(..limits.fields) {
        Some(fields) => fields,
        None => {
            unusual = vec![MaybeUninit::uninit(); limits.fields];
            &mut unusual
        }
    };
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, fields) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Refused::Malformed("the head is incomplete")),
        Err(error) => return Err(refusal(error, bytes)),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Refused::Malformed("the request line is incomplete"));
    };
    if method == "CONNECT" {
        return Err(Refused::Method);
    }
    if target.len() > limits.target {
        return Err(Refused::TargetTooLong);
    }
    let http10 = version == 0;
    let fields = Fields::read(request.headers, http10)?;
    let Target {
        authority,
        path,
        query,
    } = Target::parse(method, target.as_bytes())?;
    Ok(then(&mut RequestHead {
        method,
        path,
        query,
        version: if http10 {
            Version::Http10
        } else {
            Version::Http11
        },
        authority,
        headers: request.headers,
        body: fields.body,
        // RFC 9110 section 10.1.1: an expectation in an HTTP/1.0 request is ignored.
        expects_continue: fields.expects_continue && !http10,
        keep_alive: if http10 {
            fields.keep_alive && !fields.close
        } else {
            !fields.close
        },
        upgrade: fields.upgrade,
        proxied: fields.proxied,
        forwarded: None,
    }))
}

fn refusal(error: httparse::Error, bytes: &[u8]) -> Refused {
    match error {
        httparse::Error::TooManyHeaders => Refused::TooLarge,
        httparse::Error::Version if names_other_version(bytes) => Refused::Version,
        httparse::Error::Version => Refused::Malformed("malformed HTTP version"),
        httparse::Error::HeaderName => Refused::Malformed("malformed header name"),
        httparse::Error::HeaderValue => Refused::Malformed("malformed header value"),
        httparse::Error::NewLine => Refused::Malformed("malformed line ending"),
        _ => Refused::Malformed("malformed request line"),
    }
}

/// Whether the request line ends in a well-formed version other than ours, such as `HTTP/2.0`.
fn names_other_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit())
        && !matches!(version, b"HTTP/1.0" | b"HTTP/1.1")
}

/// What the fields say that concerns the server itself.
#[derive(Debug)]
struct Fields {
    body: BodyLength,
    expects_continue: bool,
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    proxied: bool,
}

impl Fields {
    fn read(headers: &[Header<'_>], http10: bool) -> Result<Self, Refused> {
        let mut hosts = 0;
        let mut length = None;
        let mut chunked = None;
        let mut fields = Self {
            body: BodyLength::Sized(0),
            expects_continue: false,
            close: false,
            keep_alive: false,
            upgrade: false,
            proxied: false,
        };
        for Header { name, value } in headers {
            // The length tells most fields apart without comparing them.
            match name.len() {
                4 if name.eq_ignore_ascii_case("host") => {
                    hosts += 1;
                    check_host(value)?;
                }
                6 if name.eq_ignore_ascii_case("expect") => {
                    fields.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                        fields.close |= option.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                        fields.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                    }
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let first = length.replace(content_length(value)?).is_none();
                    if !first {
                        return Err(Refused::Malformed("more than one content-length"));
                    }
                }
                9 | 15 | 17 if is_proxy_field(name) => fields.proxied = true,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if chunked.is_some() {
                        return Err(Refused::Malformed("more than one transfer-encoding"));
                    }
                    chunked = Some(transfer_coding(value)?);
                }
                _ => {}
            }
        }
        match hosts {
            1 => {}
            0 if http10 => {}
            0 => return Err(Refused::Malformed("no host")),
            _ => return Err(Refused::Malformed("more than one host")),
        }
        if chunked.is_some() {
            // RFC 9112 section 6.1: both may be an attempt at smuggling; HTTP/1.0 knows no codings.
            if length.is_some() {
                return Err(Refused::Malformed(
                    "both content-length and transfer-encoding",
                ));
            }
            if http10 {
                return Err(Refused::Malformed(
                    "transfer-encoding in an HTTP/1.0 request",
                ));
            }
            fields.body = BodyLength::Chunked;
        } else {
            fields.body = BodyLength::Sized(length.unwrap_or(0));
        }
        Ok(fields)
    }
}

/// RFC 9112 section 3.2: a host that is no `uri-host [":" port]` is answered 400. Empty is legal.
pub(super) fn check_host(value: &[u8]) -> Result<(), Refused> {
    const MALFORMED: Refused = Refused::Malformed("malformed host");
    let port = if let Some(literal) = value.strip_prefix(b"[") {
        let end = memchr::memchr(b']', literal).ok_or(MALFORMED)?;
        let address = &literal[..end];
        if !address
            .iter()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'%'))
        {
            return Err(MALFORMED);
        }
        match &literal[end + 1..] {
            [] => return Ok(()),
            [b':', port @ ..] => port,
            _ => return Err(MALFORMED),
        }
    } else {
        let (name, port) = match memchr::memchr(b':', value) {
            Some(colon) => (&value[..colon], &value[colon + 1..]),
            None => (value, &[][..]),
        };
        // RFC 3986 section 3.2.2, reg-name: unreserved, pct-encoded, sub-delims without the comma,
        // which only a joined pair of fields would bring.
        let legal = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=".contains(b);
        if !name.iter().all(legal) {
            return Err(MALFORMED);
        }
        port
    };
    if port.len() <= 5 && port.iter().all(u8::is_ascii_digit) {
        Ok(())
    } else {
        Err(MALFORMED)
    }
}

/// RFC 9110 section 8.6: `1*DIGIT`, nothing else; a list is refused.
pub(super) fn content_length(value: &[u8]) -> Result<u64, Refused> {
    const MALFORMED: Refused = Refused::Malformed("malformed content-length");
    // 19 digits are beyond any body and cannot overflow.
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    Ok(value
        .iter()
        .fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// The one coding we implement is `chunked`, once and alone.
fn transfer_coding(value: &[u8]) -> Result<(), Refused> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let chunked = codings
        .clone()
        .filter(|c| c.eq_ignore_ascii_case(b"chunked"))
        .count();
    match (chunked, codings.next_back()) {
        (1, Some(last)) if last.eq_ignore_ascii_case(b"chunked") => Err(Refused::UnknownCoding),
        (0, Some(last)) if !last.is_empty() => Err(Refused::UnknownCoding),
        _ => Err(Refused::Malformed("malformed transfer-encoding")),
    }
}

/// A request target, taken apart.
struct Target<'a> {
    authority: Option<&'a [u8]>,
    path: &'a [u8],
    query: &'a [u8],
}

impl<'a> Target<'a> {
    /// RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS.
    fn parse(method: &str, target: &'a [u8]) -> Result<Self, Refused> {
        let (authority, rest) = match target {
            [b'/', ..] => (None, target),
            b"*" if method == "OPTIONS" => (None, target),
            _ => {
                let (authority, rest) = absolute_form(target)?;
                (Some(authority), rest)
            }
        };
        // A fragment is never sent; Uvicorn's parser drops one that is.
        let rest = memchr::memchr(b'#', rest).map_or(rest, |end| &rest[..end]);
        let (path, query) = match memchr::memchr(b'?', rest) {
            Some(mark) => (&rest[..mark], &rest[mark + 1..]),
            None => (rest, &[][..]),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Ok(Self {
            authority,
            path,
            query,
        })
    }
}

fn absolute_form(target: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    const MALFORMED: Refused = Refused::Malformed("malformed request target");
    let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let rest = after_scheme.ok_or(MALFORMED)?;
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // RFC 9110 section 4.2.4: user information in an http URI is not to be trusted.
    if authority.is_empty() || check_host(authority).is_err() {
        return Err(MALFORMED);
    }
    Ok((authority, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        size: 100,
        target: 50,
        fields: 128,
    };

    fn check(head: &str) -> Result<(BodyLength, bool), u16> {
        parse(head.as_bytes(), LIMITS, |head| (head.body, head.keep_alive)).map_err(Refused::status)
    }

    fn with_fields(fields: &str) -> Result<(BodyLength, bool), u16> {
        check(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    #[test]
    fn the_end_of_a_head_is_found_in_pieces() {
        let head = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        let mut scan = HeadScan::default();
        for end in 0..head.len() - 5 {
            assert_eq!(
                scan.advance(&head[..end], LIMITS),
                Ok(None),
                "after {end} bytes"
            );
        }
        assert_eq!(scan.advance(head, LIMITS), Ok(Some(4..head.len() - 4)));
    }

    #[test]
    fn bare_line_feeds_and_large_heads_are_refused() {
        for head in ["\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost: a\n\r\n"] {
            let refused = HeadScan::default().advance(head.as_bytes(), LIMITS);
            assert_eq!(refused.map_err(Refused::status), Err(400), "{head:?}");
        }
    }

    #[test]
    fn heads_are_limited_in_size_target_and_fields() {
        let scanned = |head: &str| HeadScan::default().advance(head.as_bytes(), LIMITS);
        let line = "GET / HTTP/1.1\r\n";
        let field = format!("{line}a: {}", "x".repeat(100));
        assert_eq!(scanned(&field), Err(Refused::TooLarge));
        assert_eq!(scanned(&format!("{field}\r\n\r\n")), Err(Refused::TooLarge));
        assert_eq!(
            scanned(&format!("/{}", "x".repeat(114))),
            Err(Refused::TargetTooLong)
        );
        let parsed = |target: usize, fields: usize, limits| {
            let head = format!("GET /{} HTTP/1.1\r\nhost: a\r\n", "x".repeat(target - 1));
            let head = head + &"a: b\r\n".repeat(fields - 1) + "\r\n";
            parse(head.as_bytes(), limits, |head| head.headers.len())
        };
        assert_eq!(parsed(50, 128, LIMITS), Ok(128));
        assert_eq!(parsed(51, 1, LIMITS), Err(Refused::TargetTooLong));
        assert_eq!(parsed(1, 129, LIMITS), Err(Refused::TooLarge));
        let few = HeadLimits {
            fields: 3,
            ..LIMITS
        };
        assert_eq!(
            (parsed(1, 3, few), parsed(1, 4, few)),
            (Ok(3), Err(Refused::TooLarge))
        );
        let many = HeadLimits {
            fields: 500,
            ..LIMITS
        };
        assert_eq!(
            (parsed(1, 500, many), parsed(1, 501, many)),
            (Ok(500), Err(Refused::TooLarge))
        );
    }

    #[test]
    fn bodies_are_sized_or_chunked() {
        assert_eq!(with_fields(""), Ok((BodyLength::Sized(0), true)));
        assert_eq!(
            with_fields("content-length: 7\r\n"),
            Ok((BodyLength::Sized(7), true))
        );
        let chunked = with_fields("Transfer-Encoding: Chunked\r\n");
        assert_eq!(chunked, Ok((BodyLength::Chunked, true)));
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for (fields, status) in [
            ("content-length: 5\r\ncontent-length: 5\r\n", 400),
            ("content-length: 5, 5\r\n", 400),
            ("content-length: +5\r\n", 400),
            ("content-length: 0x5\r\n", 400),
            ("content-length:\r\n", 400),
            ("content-length: 99999999999999999999\r\n", 400),
            ("content-length: 5\r\ntransfer-encoding: chunked\r\n", 400),
            ("transfer-encoding: chunked, chunked\r\n", 400),
            (
                "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
                400,
            ),
            ("transfer-encoding: chunked, gzip\r\n", 400),
            ("transfer-encoding: gzip, chunked\r\n", 501),
            ("transfer-encoding: gzip\r\n", 501),
            ("transfer-encoding:\r\n", 400),
        ] {
            assert_eq!(with_fields(fields), Err(status), "{fields:?}");
        }
        let old = check("POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!(old, Err(400));
    }

    #[test]
    fn a_host_is_one_and_well_formed() {
        for host in [
            "a",
            "a.b:80",
            "[::1]",
            "[::1]:8000",
            "",
            "a_b",
            "127.0.0.1:",
            "xn--a%41",
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert!(check(&head).is_ok(), "{host:?}");
        }
        for host in [
            "a b", "a/b", "a@b", "a,b", "a:b", "[::1", "[::1]x", "a:123456", "a?b", "é",
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(check(&head), Err(400), "{host:?}");
        }
        assert_eq!(check("GET / HTTP/1.1\r\n\r\n"), Err(400));
        assert_eq!(
            check("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
            Err(400)
        );
        assert!(check("GET / HTTP/1.0\r\n\r\n").is_ok());
    }

    #[test]
    fn targets_are_taken_apart() {
        let target = |method: &str, target: &str| {
            let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            parse(head.as_bytes(), LIMITS, |head| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(head.path), text(head.query), head.authority.map(text))
            })
            .map_err(Refused::status)
        };
        let of = |path: &str, query: &str| (path.to_owned(), query.to_owned(), None);
        assert_eq!(target("GET", "/a%20b?x=1?y"), Ok(of("/a%20b", "x=1?y")));
        assert_eq!(target("GET", "/a#b"), Ok(of("/a", "")));
        assert_eq!(target("OPTIONS", "*"), Ok(of("*", "")));
        let absolute = ("/".to_owned(), "q".to_owned(), Some("h:1".to_owned()));
        assert_eq!(target("GET", "http://h:1?q"), Ok(absolute));
        for (method, bad) in [
            ("GET", "*"),
            ("GET", "a"),
            ("GET", "http://"),
            ("GET", "ftp://a/"),
        ] {
            assert_eq!(target(method, bad), Err(400), "{bad:?}");
        }
        assert_eq!(target("CONNECT", "a:1"), Err(501));
    }

    #[test]
    fn connections_persist_by_version_and_option() {
        let kept = |version: &str, option: &str| {
            let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{option}\r\n");
            check(&head).map(|(_, keep_alive)| keep_alive)
        };
        assert_eq!(kept("1.1", ""), Ok(true));
        assert_eq!(kept("1.1", "Connection: x, Close\r\n"), Ok(false));
        assert_eq!(kept("1.0", ""), Ok(false));
        assert_eq!(kept("1.0", "Connection: Keep-Alive\r\n"), Ok(true));
        assert_eq!(kept("2.0", ""), Err(505));
        assert_eq!(kept("x", ""), Err(400));
    }

    #[test]
    fn what_httparse_refuses_is_a_400() {
        for head in [
            "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            "G T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nx: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
            "GET / http/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(check(head), Err(400), "{head:?}");
        }
    }
}
