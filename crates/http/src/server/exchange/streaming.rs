//! Responses that are sent in pieces: which of them have no end of their own.

use std::time::{Duration, Instant};

use super::{Arrival, Exchange, Peer, State};
use crate::asgi::http::Framing;
use crate::server::response::{Content, Piece, ResponseHead};

/// A response that has begun and is not complete.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streaming {
    since: Instant,
    /// It is an event stream (`text/event-stream`).
    is_events: bool,
    /// Its length was announced.
    is_sized: bool,
}

impl Streaming {
    pub(super) fn begun(head: &ResponseHead, framing: Framing) -> Self {
        Self {
            since: Instant::now(),
            is_events: head.is_event_stream(),
            is_sized: matches!(framing, Framing::Length(_)),
        }
    }

    /// Whether it has no end of its own: an event stream, or one without a length that has gone on
    /// for longer than `from`.
    fn is_endless(self, from: Option<Duration>, now: Instant) -> bool {
        let is_old = from.is_some_and(|from| now.duration_since(self.since) >= from);
        self.is_events || is_old && !self.is_sized
    }
}

impl Exchange {
    /// Tells the application that its client is gone, if its response has no end of its own.
    pub(in crate::server) fn dismiss_endless(&self, from: Option<Duration>, now: Instant) {
        let is_endless = {
            let mut state = self.lock();
            let streaming = state.streaming;
            let is_endless = streaming.is_some_and(|streaming| streaming.is_endless(from, now));
            state.is_dismissed |= is_endless;
            is_endless
        };
        if is_endless {
            self.dismiss();
        }
    }

    /// Whether something would be lost if the worker ended now: the response is not written yet, and
    /// is no event stream, which ends when it is told to.
    pub(in crate::server) fn would_lose(&self) -> bool {
        let state = self.lock();
        let is_written = state.response.is_complete() && state.taken + state.out.len() == 0;
        let is_events = state.streaming.is_some_and(|streaming| streaming.is_events);
        state.peer != Peer::Gone && !is_written && !is_events
    }

    /// Ends a response in order whose application was told that its client is gone, and has returned
    /// without an end.
    pub(super) fn end_if_dismissed(&self, state: &mut State) {
        if !state.is_dismissed || state.arrival == Arrival::Arriving {
            return;
        }
        if let Ok(step) = state.response.body(self.request, 0, false) {
            let end = Content::Piece(Piece::Small(b""));
            state.out.put_body(step.framing, end, step.last);
            self.end_trailers(state);
        }
    }
}
