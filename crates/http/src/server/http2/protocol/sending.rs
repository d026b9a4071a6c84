//! Sending: fields, DATA, windows, resets and the end.

use bytes::Bytes;

use super::frame::{self, MAX_PAYLOAD};
use super::{CONNECTION_WINDOW, Code, FIRST_WINDOW, Protocol, Role, STREAM_WINDOW, Violation};
use crate::server::hpack::encode;

/// The data of the PING that follows the first GOAWAY.
pub(super) const QUESTION: &[u8; 8] = b"all seen";

/// The cost of a refused request to the abuse budget: it takes more work than a small frame.
const REFUSAL: u32 = 10;

/// Output beyond which no DATA is added: it is written in few system calls, and the streams take turns.
const ENOUGH: usize = 64 * 1024;

impl Protocol {
    /// The server's connection preface (RFC 9113 section 3.4).
    pub(super) fn introduce(&mut self) {
        let head_size = u32::try_from(self.terms.head_size).unwrap_or(u32::MAX);
        let settings = [
            (frame::MAX_CONCURRENT_STREAMS, self.terms.streams),
            (frame::INITIAL_WINDOW_SIZE, STREAM_WINDOW),
            (frame::MAX_HEADER_LIST_SIZE, head_size),
            (frame::ENABLE_CONNECT_PROTOCOL, 1),
        ];
        let told = if self.terms.connect {
            &settings[..]
        } else {
            &settings[..3]
        };
        let mut payload = Vec::with_capacity(24);
        for (setting, value) in told {
            payload.extend_from_slice(&setting.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.wire.frame(frame::SETTINGS, 0, 0, &payload);
        self.send_window_update(0, CONNECTION_WINDOW - FIRST_WINDOW);
    }

    /// Sends a block of fields, and with `ended` nothing behind them.
    pub(in crate::server::http2) fn send_fields(&mut self, id: u32, block: &[u8], ended: bool) {
        let update = if self.has_sent_fields {
            &[]
        } else {
            encode::NO_TABLE
        };
        self.has_sent_fields = true;
        let end = if ended { frame::END_STREAM } else { 0 };
        let fits = block.len() + update.len() <= MAX_PAYLOAD;
        if fits && update.is_empty() {
            let flags = end | frame::END_HEADERS;
            return self.wire.frame(frame::HEADERS, flags, id, block);
        }
        let block = [update, block].concat();
        let count = block.len().div_ceil(MAX_PAYLOAD);
        for (number, piece) in block.chunks(MAX_PAYLOAD).enumerate() {
            let (kind, end) = match number {
                0 => (frame::HEADERS, end),
                _ => (frame::CONTINUATION, 0),
            };
            let is_last = number + 1 == count;
            let flags = if is_last {
                end | frame::END_HEADERS
            } else {
                end
            };
            self.wire.frame(kind, flags, id, piece);
        }
    }

    /// Whether enough waits to be written.
    pub(in crate::server::http2) fn is_full(&self) -> bool {
        self.wire.len() >= ENOUGH
    }

    /// How much DATA may be sent on a stream at once; nothing while enough waits to be written.
    pub(in crate::server::http2) fn room(&mut self, id: u32) -> usize {
        if self.is_full() {
            return 0;
        }
        let window = self.streams.get(id).map_or(0, |stream| stream.to_send);
        let window = window.min(self.to_send).max(0);
        usize::try_from(window).map_or(MAX_PAYLOAD, |window| window.min(MAX_PAYLOAD))
    }

    /// Sends DATA, for which there is [`Self::room`].
    pub(in crate::server::http2) fn send_data(&mut self, id: u32, data: &[u8], ended: bool) {
        self.count(id, data.len());
        self.wire.frame(frame::DATA, u8::from(ended), id, data);
    }

    /// The same without copying.
    pub(in crate::server::http2) fn send_shared(&mut self, id: u32, data: Bytes, ended: bool) {
        self.count(id, data.len());
        let flags = u8::from(ended);
        self.wire.shared_frame(frame::DATA, flags, id, data);
    }

    fn count(&mut self, id: u32, bytes: usize) {
        self.to_send -= bytes as i64;
        let mut left = self.to_send;
        if let Some(stream) = self.streams.get(id) {
            stream.to_send -= bytes as i64;
            left = left.min(stream.to_send);
        }
        self.earn(bytes, left);
    }

    /// Everything has been sent on a stream. A client that has not ended its side is told that the
    /// rest is not wanted (section 8.1).
    pub(in crate::server::http2) fn finish(&mut self, id: u32) {
        match self.streams.get(id) {
            Some(stream) if !stream.half_closed => self.reset(id, Code::NoError),
            _ => {
                self.streams.remove(id);
            }
        }
    }

    /// Ends a stream at once.
    pub(in crate::server::http2) fn reset(&mut self, id: u32, code: Code) {
        self.streams.remove(id);
        self.streams.note_reset(id, Role::Server);
        let payload = (code as u32).to_be_bytes();
        self.wire.frame(frame::RST_STREAM, 0, id, &payload);
    }

    /// The same for a request that makes no sense (section 8.1.1).
    ///
    /// # Errors
    /// There have been too many.
    pub(in crate::server::http2) fn refuse(
        &mut self,
        id: u32,
        code: Code,
    ) -> Result<(), Violation> {
        self.reset(id, code);
        self.charge_abuse(REFUSAL)
    }

    /// So many bytes of what came on a stream have been used up.
    pub(in crate::server::http2) fn release(&mut self, id: u32, bytes: usize) {
        self.release_connection(bytes);
        let Some(stream) = self.streams.get(id).filter(|stream| !stream.half_closed) else {
            return;
        };
        if let Some(increment) = stream.receiving.release(bytes) {
            self.send_window_update(id, increment);
        }
    }

    /// The same where the stream is gone.
    pub(in crate::server::http2) fn release_connection(&mut self, bytes: usize) {
        if let Some(increment) = self.receiving.release(bytes) {
            self.send_window_update(0, increment);
        }
    }

    fn send_window_update(&mut self, id: u32, increment: u32) {
        let payload = increment.to_be_bytes();
        self.wire.frame(frame::WINDOW_UPDATE, 0, id, &payload);
    }

    /// Tells the client to send no more requests, while those on their way are still taken
    /// (section 6.8).
    pub(in crate::server::http2) fn send_away(&mut self) {
        self.send_goaway(frame::MAX_31, Code::NoError);
    }

    /// Asks for a sign that it has heard that.
    pub(in crate::server::http2) fn ask(&mut self) {
        self.wire.frame(frame::PING, 0, 0, QUESTION);
    }

    /// Tells the client that nothing behind its last request is looked at.
    pub(in crate::server::http2) fn go_away(&mut self, code: Code) {
        self.last_taken = self.streams.last;
        self.send_goaway(self.last_taken, code);
    }

    fn send_goaway(&mut self, last: u32, code: Code) {
        let payload = [last.to_be_bytes(), (code as u32).to_be_bytes()].concat();
        self.wire.frame(frame::GOAWAY, 0, 0, &payload);
    }
}
