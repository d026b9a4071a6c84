//! The client's side of a WebSocket as the fuzz targets see it.

use super::extension;
use super::frame::{self, Opcode};
use super::inbound::{Data, Event, Inbound};

/// The messages of a client.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// A message.
    Message(Data),
    /// A ping, with its payload.
    Ping(Vec<u8>),
    /// A pong, with its payload.
    Pong(Vec<u8>),
    /// A close frame: its code and reason.
    Close(u16, String),
}

/// Everything that `bytes` say, which come `step` at a time, and the code of what ends them, if
/// anything does. No message may have more than `max_size` bytes.
#[must_use]
pub fn read(bytes: &[u8], step: usize, max_size: usize, deflate: bool) -> (Vec<Said>, Option<u16>) {
    let mut inbound = Inbound::new(max_size, deflate);
    let mut said = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        let mut rest = piece;
        while !rest.is_empty() {
            match inbound.advance(rest) {
                Ok((consumed, event)) => {
                    rest = &rest[consumed..];
                    said.extend(event.map(of));
                }
                Err(violation) => return (said, Some(violation.code)),
            }
        }
    }
    (said, None)
}

fn of(event: Event) -> Said {
    match event {
        Event::Message(data) => Said::Message(data),
        Event::Ping(payload) => Said::Ping(payload),
        Event::Pong(payload) => Said::Pong(payload),
        Event::Close(close) => Said::Close(close.code, close.reason),
    }
}

/// A text or binary message as a client sends it: one frame, masked.
#[must_use]
pub fn message(payload: &[u8], text: bool, mask: [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let opcode = if text { Opcode::Text } else { Opcode::Binary };
    frame::write_head(&mut bytes, opcode, false, payload.len());
    bytes[1] |= 0x80;
    bytes.extend_from_slice(&mask);
    frame::unmask(&mut bytes, payload, mask, 0);
    bytes
}

/// The answer to a value of `sec-websocket-extensions`; nothing where that is malformed.
#[must_use]
pub fn extensions(value: &[u8]) -> Option<Option<String>> {
    let agreed = extension::negotiate(std::iter::once(value))?;
    Some(agreed.map(|agreement| agreement.to_string()))
}
