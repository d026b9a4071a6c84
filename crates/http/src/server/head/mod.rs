//! Reading a request head: where it ends, what it says, and what is refused (RFC 9112).
//!
//! httparse takes the lines apart; what it lets pass and the RFC does not is refused here, because
//! every leniency is a way to smuggle a request past a proxy that reads it differently.

mod fields;
mod host;
mod scan;
mod target;
#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use httparse::Header;

use super::proxy::Forwarded;
use crate::asgi::http::Version;
use fields::Fields;
pub(super) use fields::{content_length, is_connections};
pub(super) use host::check_host;
use lowmem_base::status::reason_phrase;
pub use scan::HeadScan;
pub(super) use target::Target;

/// The part of the connection preface (RFC 9113 section 3.4) that looks like a head to a server that reads
/// HTTP/1.1, with a version that no other request has. Two bytes and an empty line follow.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// So many fields are taken apart without memory of their own; a browser sends some 30.
const USUAL_FIELDS: usize = 128;

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
    /// The number of its bytes at which the application is mounted: `root_path`, `SCRIPT_NAME`.
    pub root: usize,
    /// The part behind the first `?`, without it.
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
    /// It has fields in which a proxy describes the client.
    pub proxied: bool,
    /// The client takes fields behind a body, and the version can say them.
    pub trailers: bool,
    /// The client takes `103 Early Hints`: any over HTTP/2; over HTTP/1.1, whose older clients take it for the
    /// response, a browser that navigates.
    pub hints: bool,
    /// The statements of a trusted proxy; read only where there are such fields.
    pub forwarded: Option<Forwarded>,
}

impl RequestHead<'_> {
    /// The path below what the application is mounted at.
    #[must_use]
    pub fn path_below(&self) -> &[u8] {
        &self.path[self.root..]
    }

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
    /// Another application answers such requests, and the connection cannot go there.
    Misdirected,
}

impl Refused {
    /// The status that tells the client.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooSlow => 408,
            Self::TargetTooLong => 414,
            Self::Misdirected => 421,
            Self::TooLarge => 431,
            Self::UnknownCoding | Self::Method => 501,
            Self::Version => 505,
        }
    }

    /// The text that the client gets besides the status.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Malformed(_) => "Invalid HTTP request received.",
            other => reason_phrase(i64::from(other.status())),
        }
    }

    /// The fault, for the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(what) => what,
            Self::TooSlow => "the request head did not arrive in time",
            Self::TooLarge => "the request head is too large",
            Self::TargetTooLong => "the request target is too long",
            Self::Misdirected => "another application answers this host and path",
            Self::UnknownCoding => "unknown transfer coding",
            Self::Method => "CONNECT is not implemented",
            Self::Version => "HTTP version not supported",
        }
    }
}

/// Parses a complete head and hands it to `then` while it is borrowed.
///
/// # Errors
/// The head is not allowed by the RFC, or not implemented.
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
        root: 0,
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
        trailers: fields.trailers && !http10,
        hints: fields.hints && !http10,
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
