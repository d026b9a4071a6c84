//! The connection's half: what it writes, what has arrived, how the connection ends.

use std::task::Waker;

use super::super::frame::{self, Violation};
use super::super::inbound::Data;
use super::Conversation;
use super::state::Link;
use crate::asgi::websocket::{Close, Session};
use crate::server::connections::Unanswered;
use crate::server::response::{Outgoing, Piece};

/// The connection's view of the conversation.
#[derive(Debug, Clone, Copy)]
pub(in crate::server::websocket) struct View {
    pub(in crate::server::websocket) link: Link,
    /// There is room for another message.
    pub(in crate::server::websocket) room: bool,
}

impl Conversation {
    /// Moves pending output to `out` and returns the state of the conversation; wakes `waker` at the next
    /// change.
    pub(in crate::server::websocket) fn look(&self, out: &mut Outgoing, waker: &Waker) -> View {
        let mut state = self.lock();
        if !state.out.is_empty() {
            out.append(&mut state.out);
        }
        match &mut state.connection {
            Some(old) if old.will_wake(waker) => {}
            slot => *slot = Some(waker.clone()),
        }
        View {
            link: state.link,
            room: state.has_room_to_read(),
        }
    }

    /// So many bytes of what was taken are still to be written.
    pub(in crate::server::websocket) fn set_taken(&self, taken: usize) {
        let mut state = self.lock();
        state.taken = taken;
        if !state.has_room_to_send() {
            return;
        }
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.into_iter().for_each(Waker::wake);
    }

    /// A message has arrived; says whether there is room for another. One that comes after the
    /// application's close is dropped.
    pub(in crate::server::websocket) fn arrived(&self, data: Data) -> bool {
        let mut state = self.lock();
        if state.session != Session::Accepted {
            return true;
        }
        state.unread += data.len();
        state.inbox.push_back(data);
        let room = state.has_room_to_read();
        let receivers = std::mem::take(&mut state.receivers);
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
        room
    }

    /// The client's close frame has arrived: it is answered with its own code, unless it is the
    /// answer to ours (RFC 6455 section 5.5.1).
    pub(in crate::server::websocket) fn peer_closed(&self, close: Close) {
        let mut state = self.lock();
        if state.link == Link::Open {
            state.out.put(Piece::Small(&frame::close(&close)));
        }
        let wakers = state.ended(close);
        drop(state);
        wakers.wake();
    }

    /// The client broke the protocol or a limit, or is silent: it is sent the code, and no longer read from.
    pub(in crate::server::websocket) fn fail(&self, violation: Violation) {
        let close = Close {
            code: violation.code,
            reason: violation.reason.to_owned(),
        };
        self.peer_closed(close);
    }

    /// The worker stops: the client is sent 1012, and the application receives the disconnect.
    pub(in crate::server::websocket) fn restart(&self) {
        let mut state = self.lock();
        if state.session == Session::Accepted {
            state.session = Session::Disconnected;
            let wakers = state.say_close(Close::code(Close::RESTART));
            drop(state);
            wakers.wake();
        }
    }

    /// The connection is lost, or is about to be cut.
    pub(in crate::server) fn lost(&self) {
        let mut state = self.lock();
        // Let go without the lock: pieces may be objects of the application's, with a destructor.
        let unsent = std::mem::take(&mut state.out);
        state.taken = 0;
        let wakers = state.ended(Close::code(Close::ABNORMAL));
        drop(state);
        drop(unsent);
        wakers.wake();
    }

    /// The worker stops soon, and the handshake is not answered: the server answers it.
    pub(in crate::server) fn dismiss(&self) {
        let mut state = self.lock();
        if state.session != Session::Connecting {
            return;
        }
        let opening = state.opening.take();
        let wakers = state.ended(Close::code(Close::RESTART));
        drop(state);
        if let Some(opening) = opening {
            opening.exchange.refuse(503, "Service Unavailable");
        }
        wakers.wake();
    }
}

impl Unanswered for Conversation {
    fn dismiss(&self) {
        Self::dismiss(self);
    }
}
