//! ASGI's "Early Hints" and "HTTP Trailers" extensions.

use super::{Exchange, Peer, State, fields, wake};
use crate::asgi::http::{Framing, Refusal, Version};
use crate::server::response::{Piece, Refused, ResponseHead};

/// Hints that may wait to be sent over HTTP/2. The response repeats their links, so further ones
/// are left out.
const MAX_HINTS: usize = 16;

impl Exchange {
    /// Takes `http.response.early_hint`, as the head of an interim response. A client that takes none is
    /// sent none.
    ///
    /// # Errors
    /// The response has started.
    pub fn hint(&self, head: ResponseHead) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.peer == Peer::Gone {
            return Ok(());
        }
        state.response.may_hint()?;
        if !self.request.hints {
            return Ok(());
        }
        if self.request.version == Version::Http2 {
            if state.interim.len() < MAX_HINTS {
                state.interim.push(fields::hint(head));
            }
        } else if self.has_room_in(&state) {
            state.out.put(Piece::Small(&head.finish_interim()));
        }
        let connection = state.connection.take();
        drop(state);
        wake(connection);
        Ok(())
    }

    /// The start that was just taken said that trailers follow the body. Where they were not announced the
    /// response ends with its body all the same.
    pub fn promise_trailers(&self) {
        if self.request.trailers {
            self.lock().response.promise_trailers();
        }
    }

    /// Takes `http.response.trailers`, as the fields of a head. A client that takes none is sent none.
    ///
    /// # Errors
    /// They are not due.
    pub fn trailers(&self, head: ResponseHead, more: bool) -> Result<(), Refused> {
        let mut state = self.lock();
        let framing = match state.response.trailers(more) {
            _ if state.peer == Peer::Gone => return Ok(()),
            // To this client the response has ended with its body.
            Err(Refusal::AlreadyComplete) if !self.request.trailers => return Ok(()),
            framing => framing?,
        };
        if !matches!(framing, Framing::Bodiless(_)) {
            state.trailers.extend_from_slice(head.take_apart().lines());
        }
        if !more {
            self.put_trailers(&mut state, framing);
        }
        let receivers = state.receivers_if(!more);
        let connection = state.connection.take();
        drop(state);
        for waker in receivers.into_iter().chain(connection) {
            waker.wake();
        }
        Ok(())
    }

    /// Ends a response whose trailers do not come.
    pub(super) fn end_trailers(&self, state: &mut State) {
        if let Ok(framing) = state.response.trailers(false) {
            self.put_trailers(state, framing);
        }
    }

    /// Over HTTP/2 the connection takes them as a block, behind the body.
    fn put_trailers(&self, state: &mut State, framing: Framing) {
        if framing == Framing::Chunked && self.request.version != Version::Http2 {
            let lines = std::mem::take(&mut state.trailers);
            for part in [&b"0\r\n"[..], &lines, b"\r\n"] {
                state.out.put(Piece::Small(part));
            }
        }
    }

    /// The heads for HTTP/2 that come before the response's.
    pub(in crate::server) fn take_interim(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.lock().interim)
    }

    /// The trailers for HTTP/2, once the body has been sent.
    pub(in crate::server) fn take_trailers(&self) -> Vec<u8> {
        let lines = std::mem::take(&mut self.lock().trailers);
        fields::trailers(&lines)
    }
}
