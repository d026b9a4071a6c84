//! Writing a response: its head, its framing, and what waits to be written.

mod date;
mod file;
mod head;
mod outgoing;
mod token;

use std::sync::atomic::AtomicBool;

pub(super) use date::with_date;
pub use file::FilePiece;
pub(super) use file::read_cached;
pub use head::{BadField, Persist, ResponseHead};
pub use outgoing::Piece;
pub(super) use outgoing::{Content, Outgoing};
pub(super) use token::{is_text, is_token};

use crate::asgi::http::{Framing, Refusal};

/// The header fields of every response of this worker, unless its application sets them itself.
#[derive(Debug)]
pub struct Defaults {
    /// `server: lowmem-serve`
    pub server: bool,
    /// `date: …`
    pub date: bool,
    /// Further fields, as they stand on the wire.
    pub fields: Vec<u8>,
    /// Each response closes its connection: the worker drains, and has no successor.
    pub closing: AtomicBool,
}

/// An answer of the server itself, after which the connection closes.
pub(super) fn plain(status: u16, text: &str, defaults: &Defaults, head_only: bool) -> Vec<u8> {
    let framing = Framing::Length(text.len() as u64);
    let mut bytes = plain_head(status).finish(framing, defaults, Persist::Close);
    if !head_only {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

/// The head of an answer of the server itself.
pub(super) fn plain_head(status: u16) -> ResponseHead {
    let mut head = ResponseHead::new(Vec::new(), i64::from(status));
    let legal = head.field(b"content-type", b"text/plain; charset=utf-8");
    debug_assert!(legal.is_ok());
    let more: &[(&[u8], &[u8])] = match status {
        405 => &[(b"allow", b"GET")],
        // RFC 9110 section 15.5.22, RFC 6455 section 4.4.
        426 => &[
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-version", b"13"),
        ],
        503 => &[(b"retry-after", b"1")],
        _ => &[],
    };
    for (name, value) in more {
        let legal = head.field(name, value);
        debug_assert!(legal.is_ok());
    }
    head
}

impl From<BadField> for Refused {
    fn from(bad: BadField) -> Self {
        Self::Field(bad)
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Message(refusal)
    }
}

/// Why a message of the application is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Out of order, or a broken promise.
    Message(Refusal),
    /// A header field that could not stand on the wire.
    Field(BadField),
}
