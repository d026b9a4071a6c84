//! Writing a response's head: its status line, its fields, its framing.

use super::Defaults;
use super::date::with_date;
use super::token::{are_text, are_token};
use crate::asgi::http::{Declared, Framing};
use lowmem_base::status::reason_phrase;

/// Fields that say how a message is framed, where it goes, or how its body must be read: it is too late for
/// them behind the body.
const NO_TRAILERS: [&[u8]; 16] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"host",
    b"keep-alive",
    b"proxy-connection",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"www-authenticate",
];

/// Why a header field of the application is refused (RFC 9110 section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadField {
    /// The name is no token.
    Name,
    /// The value has a control character, such as CR, LF or NUL.
    Value,
    /// A `content-length` that is no number, or two that differ.
    Length,
    /// One that the server writes itself into the answer to a WebSocket's handshake.
    Reserved,
    /// One that may not stand behind a body.
    Trailer,
}

impl std::fmt::Display for BadField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "Invalid HTTP header name",
            Self::Value => "Invalid HTTP header value",
            Self::Length => "Invalid HTTP content-length header",
            Self::Trailer => "This header cannot be a trailer, which follows the body",
            Self::Reserved => "The server itself writes this header of a WebSocket's handshake",
        })
    }
}

/// The head of a response while its application's fields are added.
#[derive(Debug)]
pub struct ResponseHead {
    bytes: Vec<u8>,
    /// Where the fields begin, after the status line.
    fields: usize,
    /// The status, not checked yet.
    pub(in crate::server) status: i64,
    declared: Declared,
    close: bool,
    has_date: bool,
    has_server: bool,
}

impl ResponseHead {
    /// Writes the status line into `buffer`, which must be empty.
    #[must_use]
    pub fn new(buffer: Vec<u8>, status: i64) -> Self {
        Self::begin(buffer, status, reason_phrase(status).as_bytes())
    }

    /// The same with a reason phrase of the application's own (RFC 9112 section 4).
    ///
    /// # Errors
    /// The phrase has a control character.
    pub fn with_reason(buffer: Vec<u8>, status: i64, reason: &[u8]) -> Result<Self, BadField> {
        if are_text(reason) {
            Ok(Self::begin(buffer, status, reason))
        } else {
            Err(BadField::Value)
        }
    }

    fn begin(mut buffer: Vec<u8>, status: i64, reason: &[u8]) -> Self {
        buffer.extend_from_slice(b"HTTP/1.1 ");
        buffer.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        buffer.push(b' ');
        buffer.extend_from_slice(reason);
        buffer.extend_from_slice(b"\r\n");
        Self {
            fields: buffer.len(),
            bytes: buffer,
            status,
            declared: Declared::default(),
            close: false,
            has_date: false,
            has_server: false,
        }
    }

    /// Adds a field. Those that frame the body are remembered, and written by [`Self::finish`].
    ///
    /// # Errors
    /// The field could not stand on the wire.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        if !are_token(name) {
            return Err(BadField::Name);
        }
        if !are_text(value) {
            return Err(BadField::Value);
        }
        let value = value.trim_ascii();
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => self.has_date = true,
            6 if name.eq_ignore_ascii_case(b"server") => self.has_server = true,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                // We say `close` ourselves, once; `keep-alive` is ours to decide.
                let mut options = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
                self.close |= options.clone().any(|o| o.eq_ignore_ascii_case(b"close"));
                if options.all(|o| {
                    o.eq_ignore_ascii_case(b"close") || o.eq_ignore_ascii_case(b"keep-alive")
                }) {
                    return Ok(());
                }
            }
            14 if is_length(name) => return self.length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                self.declared.chunked = true;
                return Ok(());
            }
            _ => {}
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn length(&mut self, value: &[u8]) -> Result<(), BadField> {
        let length = std::str::from_utf8(value)
            .ok()
            .filter(|v| !v.starts_with('+'));
        let length = length
            .and_then(|v| v.parse().ok())
            .ok_or(BadField::Length)?;
        match self.declared.length.replace(length) {
            Some(other) if other != length => Err(BadField::Length),
            _ => Ok(()),
        }
    }

    /// The `content-length` among the fields.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.declared.length
    }

    /// The body's length and framing as the fields declare them.
    pub(in crate::server) fn declared(&self) -> Declared {
        self.declared
    }

    /// Whether the application wants the connection closed.
    pub(in crate::server) fn wants_close(&self) -> bool {
        self.close
    }

    /// Whether its content type is that of server-sent events.
    pub(in crate::server) fn is_event_stream(&self) -> bool {
        const NAME: &[u8] = b"content-type:";
        const TYPE: &[u8] = b"text/event-stream";
        let lines = self.bytes.split(|byte| *byte == b'\n');
        let mut types = lines.filter_map(|line| {
            let (name, value) = line.split_at_checked(NAME.len())?;
            name.eq_ignore_ascii_case(NAME).then_some(value)
        });
        types.any(|value| {
            let value = value.trim_ascii_start();
            let (kind, rest) = value.split_at_checked(TYPE.len()).unwrap_or((&[], value));
            let ends = rest.first().is_none_or(|next| b"; \r".contains(next));
            kind.eq_ignore_ascii_case(TYPE) && ends
        })
    }

    /// The parts, for a version of HTTP that writes them in another way.
    pub(in crate::server) fn take_apart(self) -> Told {
        Told {
            status: self.status,
            bytes: self.bytes,
            fields: self.fields,
            has_date: self.has_date,
            has_server: self.has_server,
        }
    }

    /// Adds a field that stands behind a body (RFC 9110 section 6.5.1).
    ///
    /// # Errors
    /// The field could not stand on the wire, or not there.
    pub fn trailer(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        if NO_TRAILERS.iter().any(|it| name.eq_ignore_ascii_case(it)) {
            return Err(BadField::Trailer);
        }
        self.field(name, value)
    }

    /// Ends the head of an interim response: it has what the application says, and nothing else.
    pub(in crate::server) fn finish_interim(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// Ends the head: framing, defaults, the connection option.
    #[must_use]
    pub fn finish(self, framing: Framing, defaults: &Defaults, option: Persist) -> Vec<u8> {
        let mut bytes = self.bytes;
        match framing {
            Framing::Length(length) | Framing::Bodiless(Some(length)) => {
                bytes.extend_from_slice(b"content-length: ");
                bytes.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                bytes.extend_from_slice(b"\r\n");
            }
            Framing::Chunked => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::UntilClose | Framing::Bodiless(None) => {}
        }
        bytes.extend_from_slice(match option {
            Persist::Default => b"",
            Persist::Close => b"connection: close\r\n",
            Persist::KeepAlive => b"connection: keep-alive\r\n",
        });
        bytes.extend_from_slice(b"\r\n");
        // Uvicorn's order: the server's own fields first. Which those are is known only now.
        let server: &[u8] = match defaults.server && !self.has_server {
            true => b"server: lowmem-serve\r\n",
            false => b"",
        };
        if defaults.date && !self.has_date {
            with_date(|date| insert(&mut bytes, self.fields, [date, server, &defaults.fields]));
        } else {
            insert(&mut bytes, self.fields, [b"", server, &defaults.fields]);
        }
        bytes
    }
}

/// Whether a field announces the length. Most write it so, which is one comparison.
fn is_length(name: &[u8]) -> bool {
    const NAME: &[u8] = b"content-length";
    name == NAME || name.eq_ignore_ascii_case(NAME)
}

/// Makes room for `parts` at this place, and puts them there.
fn insert(bytes: &mut Vec<u8>, mut at: usize, parts: [&[u8]; 3]) {
    let end = bytes.len();
    let length: usize = parts.iter().map(|part| part.len()).sum();
    bytes.resize(end + length, 0);
    bytes.copy_within(at..end, at + length);
    for part in parts {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
}

/// The head of a response, as the application gave it.
#[derive(Debug)]
pub(in crate::server) struct Told {
    pub(in crate::server) status: i64,
    bytes: Vec<u8>,
    fields: usize,
    pub(in crate::server) has_date: bool,
    pub(in crate::server) has_server: bool,
}

impl Told {
    /// The fields as HTTP/1.1 writes them, but for those that frame the body.
    pub(in crate::server) fn lines(&self) -> &[u8] {
        &self.bytes[self.fields..]
    }
}

/// The connection's persistence according to the head (RFC 9112 section 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persist {
    /// Nothing: HTTP/1.1 stays open.
    Default,
    /// It closes.
    Close,
    /// An HTTP/1.0 connection that stays open.
    KeepAlive,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn plain_defaults() -> Defaults {
        Defaults {
            server: true,
            date: false,
            fields: Vec::new(),
            closing: AtomicBool::new(false),
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[test]
    fn a_head_keeps_the_order_of_its_fields() {
        let mut head = ResponseHead::new(Vec::new(), 200);
        for (name, value) in [
            ("a", "1"),
            ("b", "2"),
            ("A", " 3 "),
            ("content-length", "5"),
        ] {
            head.field(name.as_bytes(), value.as_bytes())
                .expect("a good field");
        }
        assert_eq!(head.declared().length, Some(5));
        let bytes = head.finish(Framing::Length(5), &plain_defaults(), Persist::Default);
        let expected = "HTTP/1.1 200 OK\r\nserver: lowmem-serve\r\n\
                        a: 1\r\nb: 2\r\nA: 3\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(text(&bytes), expected);
    }

    #[test]
    fn the_application_may_name_the_server_and_close() {
        let mut head = ResponseHead::new(Vec::new(), 299);
        head.field(b"Server", b"mine").expect("a good field");
        head.field(b"Connection", b"Close").expect("a good field");
        assert!(head.wants_close());
        let bytes = head.finish(Framing::Chunked, &plain_defaults(), Persist::Close);
        let expected = "HTTP/1.1 299 \r\nServer: mine\r\ntransfer-encoding: chunked\r\n\
                        connection: close\r\n\r\n";
        assert_eq!(text(&bytes), expected);
    }

    #[test]
    fn fields_that_could_split_a_response_are_refused() {
        let mut head = ResponseHead::new(Vec::new(), 200);
        for name in ["", "a b", "a:", "a\r\nb", "é"] {
            assert_eq!(
                head.field(name.as_bytes(), b"x"),
                Err(BadField::Name),
                "{name:?}"
            );
        }
        for value in ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "\x7f"] {
            assert_eq!(
                head.field(b"x", value.as_bytes()),
                Err(BadField::Value),
                "{value:?}"
            );
        }
        for value in ["x", "-1", "+1", "1, 1", ""] {
            let refused = head.field(b"content-length", value.as_bytes());
            assert_eq!(refused, Err(BadField::Length), "{value:?}");
        }
        assert_eq!(head.field(b"x", "é\t".as_bytes()), Ok(()));
    }

    #[test]
    fn the_servers_own_fields_come_first() {
        let mut head = ResponseHead::new(Vec::new(), 204);
        head.field(b"a", b"1").expect("a good field");
        let defaults = Defaults {
            date: true,
            fields: b"x: y\r\n".to_vec(),
            ..plain_defaults()
        };
        let bytes = head.finish(Framing::Bodiless(None), &defaults, Persist::Default);
        let text = text(&bytes);
        let lines: Vec<_> = text.split("\r\n").collect();
        assert_eq!(lines[0], "HTTP/1.1 204 No Content");
        assert!(lines[1].starts_with("date: ") && lines[1].ends_with(" GMT"));
        assert_eq!(lines[2..], ["server: lowmem-serve", "x: y", "a: 1", "", ""]);
    }
}
