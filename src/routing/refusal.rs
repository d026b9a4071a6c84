//! The answers to clients whose request is for no application.

use crate::http_status::reason_phrase;

/// The first byte of a TLS record with a handshake, and of one with an alert (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;
const ALERT: u8 = 0x15;

/// Alerts (RFC 8446 section 6.2).
const DECODE_ERROR: u8 = 50;
const INTERNAL_ERROR: u8 = 80;
const UNRECOGNIZED_NAME: u8 = 112;

/// After so many seconds an application that cannot be had may be there.
const RETRY_AFTER: u64 = 10;

/// An answer, after which the connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// In HTTP/1.1.
    Http(u16, String),
    /// In HTTP/2, where it is the connection that is refused.
    Http2(String),
    /// In TLS: a fatal alert.
    Tls(u8),
}

impl Refusal {
    /// No application has the name.
    pub(super) const TLS_UNKNOWN: Self = Self::Tls(UNRECOGNIZED_NAME);
    /// One has it, and cannot be had.
    pub(super) const TLS_UNAVAILABLE: Self = Self::Tls(INTERNAL_ERROR);

    pub(super) fn of(is_http2: bool, status: u16, text: &str) -> Self {
        match is_http2 {
            true => Self::Http2(text.to_owned()),
            false => Self::Http(status, text.to_owned()),
        }
    }

    /// The request that the bytes begin is malformed.
    pub(super) fn malformed(bytes: &[u8], why: &str) -> Self {
        match bytes {
            [HANDSHAKE, ..] => Self::Tls(DECODE_ERROR),
            _ if is_http2(bytes) => Self::Http2(why.to_owned()),
            _ => Self::Http(400, "Invalid HTTP request received.".to_owned()),
        }
    }

    /// The bytes do not say which application the request is for.
    pub(super) fn too_large(bytes: &[u8]) -> Self {
        match bytes {
            [HANDSHAKE, ..] => Self::Tls(DECODE_ERROR),
            _ => Self::of(is_http2(bytes), 431, reason_phrase(431)),
        }
    }

    /// It has taken too long to say it.
    pub(super) fn too_slow(bytes: &[u8]) -> Option<Self> {
        let is_http1 = !bytes.is_empty() && bytes[0] != HANDSHAKE && !is_http2(bytes);
        is_http1.then(|| Self::of(false, 408, reason_phrase(408)))
    }

    /// The application takes no connections.
    pub(super) fn unavailable(bytes: &[u8]) -> Self {
        match bytes {
            [HANDSHAKE, ..] => Self::TLS_UNAVAILABLE,
            _ => Self::of(is_http2(bytes), 503, "Service Unavailable\n"),
        }
    }

    /// The status, in HTTP/1.1.
    #[cfg(test)]
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Http(status, _) => Some(*status),
            Self::Http2(_) | Self::Tls(_) => None,
        }
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Http(status, text) => http(*status, text).into_bytes(),
            Self::Http2(text) => http2(text),
            Self::Tls(alert) => vec![ALERT, 3, 3, 0, 2, 2, *alert],
        }
    }
}

fn is_http2(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PRI ")
}

fn http(status: u16, text: &str) -> String {
    let again = match status {
        503 => format!("retry-after: {RETRY_AFTER}\r\n"),
        _ => String::new(),
    };
    format!(
        "HTTP/1.1 {status} {}\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\n{again}connection: close\r\n\r\n{text}",
        reason_phrase(status.into()),
        text.len()
    )
}

/// SETTINGS, which come first, and GOAWAY: over HTTP/1.1 the client would hear more.
fn http2(text: &str) -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const HTTP_1_1_REQUIRED: u8 = 0xd;
    // A few words of ours.
    let length = u8::try_from(8 + text.len()).unwrap_or(8);
    let text = &text.as_bytes()[..usize::from(length) - 8];
    let goaway = [0, 0, length, 7, 0, 0, 0, 0, 0];
    let to = [0, 0, 0, 0, 0, 0, 0, HTTP_1_1_REQUIRED];
    [&SETTINGS[..], &goaway, &to, text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_has_its_refusal() {
        let told = |refusal: Refusal| String::from_utf8(refusal.bytes()).unwrap();
        let answer = told(Refusal::unavailable(b"GET"));
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"));
        assert!(
            answer.contains("retry-after: 10\r\n")
                && answer.ends_with("\r\n\r\nService Unavailable\n")
        );
        assert_eq!(
            Refusal::unavailable(b"\x16\x03").bytes(),
            b"\x15\x03\x03\x00\x02\x02\x50"
        );
        let goaway = Refusal::malformed(b"PRI * HTTP/2.0", "no").bytes();
        assert_eq!(goaway[9..], *b"\0\0\x0a\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0dno");
        assert_eq!(Refusal::too_slow(b""), None);
        assert_eq!(Refusal::too_slow(b"GET").unwrap().status(), Some(408));
    }
}
