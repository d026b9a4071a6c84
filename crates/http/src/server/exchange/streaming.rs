//! Responses that are sent in pieces: which of them have no end of their own.

use std::time::{Duration, Instant};

use super::{Arrival, Ending, Exchange, Peer, State, part};
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
    /// is no event stream, which ends on request.
    pub(in crate::server) fn would_lose(&self) -> bool {
        let state = self.lock();
        let is_written = state.response.is_complete() && state.taken + state.out.len() == 0;
        state.peer != Peer::Gone && !is_written && !state.is_events()
    }

    /// Whether more of the response is wanted: not after the client has gone, and not of an event stream
    /// that should end.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        let state = self.lock();
        let should_end = state.is_dismissed && state.is_events();
        state.peer != Peer::Gone && !should_end
    }

    /// Ends a stream in its application's place, which goes on with it though it was told to end it, or
    /// though the client of an event stream has gone. Says whether it is such a stream. An event stream
    /// ends in order. Of any other more may have been to come, and the client must see that.
    pub fn give_up(&self) -> bool {
        let mut state = self.lock();
        let is_left = state.peer == Peer::Gone && state.is_events();
        let is_told = state.is_dismissed || is_left;
        if !is_told || state.finished || state.response.is_complete() {
            return false;
        }
        if state.is_events() {
            self.end_if_dismissed(&mut state);
        }
        if !state.response.is_complete() {
            state.ending = Ending::Cut;
        }
        part(state);
        true
    }

    /// Whether the application has returned or raised.
    #[must_use]
    pub fn has_finished(&self) -> bool {
        self.lock().finished
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

impl State {
    /// Whether an event stream has begun.
    fn is_events(&self) -> bool {
        self.streaming.is_some_and(|streaming| streaming.is_events)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::exchange;
    use super::*;
    use crate::server::response::Outgoing;

    /// A response of this type has begun, and goes on.
    fn streams(kind: &[u8]) -> Exchange {
        let exchange = exchange();
        exchange.arrive(b"", true);
        let _ = exchange.poll_receive(None);
        let mut head = ResponseHead::new(exchange.begin().unwrap(), 200);
        head.field(b"content-type", kind).unwrap();
        exchange.start(head).unwrap();
        exchange.body(Piece::Small(b"data: 1\n\n"), true).unwrap();
        exchange
    }

    fn sent(exchange: &Exchange) -> (String, Ending) {
        let mut out = Outgoing::default();
        let ending = exchange.look(&mut out, None).ending;
        (String::from_utf8_lossy(out.peek()).into_owned(), ending)
    }

    #[test]
    fn an_event_stream_whose_application_does_not_listen_ends_in_order() {
        let exchange = streams(b"text/event-stream");
        assert!(
            exchange.wants_more() && !exchange.give_up(),
            "not asked to end"
        );
        sent(&exchange);
        exchange.dismiss_endless(None, Instant::now());
        assert!(!exchange.wants_more());
        assert!(exchange.give_up());
        assert_eq!(sent(&exchange), ("0\r\n\r\n".to_owned(), Ending::Close));
        // Once; and pieces that are sent later are discarded.
        assert!(!exchange.give_up());
        exchange.body(Piece::Small(b"data: 2\n\n"), true).unwrap();
        assert_eq!(sent(&exchange), (String::new(), Ending::Close));
    }

    #[test]
    fn another_stream_is_cut_when_it_has_gone_on_for_long() {
        let exchange = streams(b"text/csv");
        exchange.dismiss_endless(Some(Duration::from_secs(30)), Instant::now());
        assert!(!exchange.give_up());
        sent(&exchange);
        exchange.dismiss_endless(Some(Duration::ZERO), Instant::now());
        assert!(exchange.wants_more(), "it may still end by itself");
        assert!(exchange.give_up());
        assert_eq!(sent(&exchange), (String::new(), Ending::Cut));
    }

    #[test]
    fn an_event_stream_whose_client_has_gone_is_given_up_until_it_has_ended() {
        let left = streams(b"text/event-stream");
        left.disconnect();
        assert!(left.give_up());
        let ended = streams(b"text/event-stream");
        ended.body(Piece::Small(b""), false).unwrap();
        ended.disconnect();
        assert!(!ended.give_up());
        let other = streams(b"text/csv");
        other.disconnect();
        assert!(!other.give_up());
    }
}
