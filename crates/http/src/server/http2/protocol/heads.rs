//! HEADERS and CONTINUATION: how streams are opened (RFC 9113 sections 5.1.1, 6.2 and 6.10).

use super::frame::{self, Head};
use super::streams::{self, Absent, Stream, Window};
use super::{
    Code, Event, Protocol, Role, STREAM_WINDOW, Violation, frame_size_error, protocol_error,
};
use crate::server::hpack::FieldList;

/// A block may come in so many frames, and one more for each [`BYTES_A_FRAME`] of the largest.
const FRAMES: usize = 16;
const BYTES_A_FRAME: usize = 1024;

/// The number of bytes that a head's block may have beyond the fields that are allowed, so that a head which
/// is only somewhat too large can be answered.
const TOLERANCE: usize = 64 * 1024;

/// A block of fields that goes on in CONTINUATION frames.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    bytes: Vec<u8>,
    frames: usize,
    ends_stream: bool,
    depends_on_itself: bool,
}

impl Protocol {
    pub(super) fn on_headers(
        &mut self,
        head: &Head,
        payload: &[u8],
        fields: &mut FieldList,
    ) -> Result<Event<'static>, Violation> {
        if !streams::is_clients(head.stream) {
            return Err(protocol_error("HEADERS on a stream that is no client's"));
        }
        let (mut rest, mut padding) = (payload, 0);
        if head.has(frame::PADDED) {
            let (length, behind) = rest
                .split_first()
                .ok_or(frame_size_error("HEADERS without its padding"))?;
            (rest, padding) = (behind, usize::from(*length));
        }
        let mut depends_on_itself = false;
        if head.has(frame::WITH_PRIORITY) {
            let (priority, behind) = rest
                .split_at_checked(5)
                .ok_or(frame_size_error("HEADERS without its priority"))?;
            depends_on_itself = frame::number(priority) & frame::MAX_31 == head.stream;
            rest = behind;
        }
        let length = rest
            .len()
            .checked_sub(padding)
            .ok_or(protocol_error("more padding than payload"))?;
        let mut block = Block {
            stream: head.stream,
            bytes: Vec::new(),
            frames: 1,
            ends_stream: head.has(frame::END_STREAM),
            depends_on_itself,
        };
        if head.has(frame::END_HEADERS) {
            return self.on_block(&block, &rest[..length], fields);
        }
        block.bytes.extend_from_slice(&rest[..length]);
        self.block = Some(Box::new(block));
        Ok(Event::None)
    }

    pub(super) fn on_continuation(
        &mut self,
        head: &Head,
        payload: &[u8],
        fields: &mut FieldList,
    ) -> Result<Event<'static>, Violation> {
        let Some(mut block) = self.block.take() else {
            return Err(protocol_error("CONTINUATION without HEADERS"));
        };
        block.bytes.extend_from_slice(payload);
        block.frames += 1;
        let limit = self.terms.head_size.saturating_add(TOLERANCE);
        if block.bytes.len() > limit || block.frames > FRAMES + limit / BYTES_A_FRAME {
            return Err(Violation {
                code: Code::EnhanceYourCalm,
                why: "a head is far too large",
            });
        }
        if head.has(frame::END_HEADERS) {
            let bytes = std::mem::take(&mut block.bytes);
            return self.on_block(&block, &bytes, fields);
        }
        self.block = Some(block);
        Ok(Event::None)
    }

    /// Takes a whole block. It is decoded whatever it is for: those that follow depend on it.
    fn on_block(
        &mut self,
        block: &Block,
        bytes: &[u8],
        fields: &mut FieldList,
    ) -> Result<Event<'static>, Violation> {
        fields.reset(self.terms.head_size);
        let decoded = self.decoder.decode(bytes, fields);
        decoded.map_err(|_| Violation {
            code: Code::CompressionError,
            why: "a block of fields cannot be decoded",
        })?;
        let id = block.stream;
        if let Some(stream) = self.streams.get(id) {
            let error = match stream {
                _ if block.depends_on_itself => Code::ProtocolError,
                Stream {
                    half_closed: true, ..
                } => Code::StreamClosed,
                // Section 8.1: a second head can only be the trailers.
                _ if !block.ends_stream => Code::ProtocolError,
                stream => {
                    stream.half_closed = true;
                    return Ok(Event::Trailers { stream: id });
                }
            };
            return self.stream_error(id, error);
        }
        match self.streams.absent(id) {
            Absent::Idle => self.open(block),
            _ => self.on_absent(id),
        }
    }

    fn open(&mut self, block: &Block) -> Result<Event<'static>, Violation> {
        let id = block.stream;
        if id > self.last_taken {
            return Ok(Event::None);
        }
        self.streams.pass(id);
        if block.depends_on_itself {
            return self.stream_error(id, Code::ProtocolError);
        }
        if self.streams.len() >= self.terms.streams as usize {
            return self.stream_error(id, Code::RefusedStream);
        }
        self.streams.add(Stream {
            id,
            half_closed: block.ends_stream,
            to_send: i64::from(self.initial_window),
            receiving: Window::new(STREAM_WINDOW),
        });
        Ok(Event::Request {
            stream: id,
            ended: block.ends_stream,
        })
    }

    /// RFC 9113 section 6.4.
    pub(super) fn on_reset(
        &mut self,
        head: &Head,
        payload: &[u8],
    ) -> Result<Event<'static>, Violation> {
        if payload.len() != 4 {
            return Err(frame_size_error("RST_STREAM has 4 bytes"));
        }
        let id = head.stream;
        if !self.streams.remove(id) {
            // Two resets may meet, and one may meet the end of a stream.
            return match self.streams.absent(id) {
                Absent::Idle if id <= self.last_taken || id == 0 => {
                    Err(protocol_error("RST_STREAM on an idle stream"))
                }
                Absent::Skipped => Err(protocol_error("RST_STREAM on an idle stream")),
                _ => self.charge_abuse(1).map(|()| Event::None),
            };
        }
        self.charge_abuse(2)?;
        self.streams.note_reset(id, Role::Client);
        Ok(Event::Reset { stream: id })
    }
}
