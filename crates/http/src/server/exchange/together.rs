//! The unsent bytes of all responses of an HTTP/2 connection.
//!
//! One response holds what its `send()` waits at. A client that opens many streams and reads nothing would
//! have a worker hold that for each of them, so their sum has a bound, too: beyond it `send()` waits until
//! nothing of its own response is unsent, and further requests of the connection wait to be started. Frames
//! are still read meanwhile: those that open windows let the responses go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Exchange, Peer, State, WRITE_HIGH_WATER, wake};
use crate::server::response::Outgoing;

/// The bound in bytes: that of the bodies of a connection's requests.
const BOUND: usize = 1024 * 1024;

/// The most that one response counts for, as with one request's body: a single response that its client
/// leaves unread holds nothing up, however large its application has made it.
const SHARE: usize = 256 * 1024;

/// The sum. Applications add to it on any thread.
#[derive(Debug, Default)]
pub(in crate::server) struct Unsent {
    bytes: AtomicUsize,
    /// Something waits until there is less.
    is_awaited: AtomicBool,
}

impl Unsent {
    fn is_over(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= BOUND
    }

    /// Whether something has to wait now. The connection then finds out by [`Self::has_room_again`].
    pub(in crate::server) fn must_wait(&self) -> bool {
        // The second look is behind the note: whatever is sent in between, the connection sees the note, or
        // this sees the room.
        self.is_over() && {
            self.is_awaited.store(true, Ordering::SeqCst);
            self.is_over()
        }
    }

    /// Whether what waited may go on; says so once.
    pub(in crate::server) fn has_room_again(&self) -> bool {
        !self.is_over() && self.is_awaited.swap(false, Ordering::SeqCst)
    }

    fn change(&self, from: usize, to: usize) {
        let (from, to) = (from.min(SHARE), to.min(SHARE));
        if to > from {
            self.bytes.fetch_add(to - from, Ordering::SeqCst);
        } else if from > to {
            self.bytes.fetch_sub(from - to, Ordering::SeqCst);
        }
    }
}

impl Exchange {
    /// Whether `send()` may go on: little is unsent, or the client no longer reads it.
    pub(super) fn has_room_in(&self, state: &State) -> bool {
        let unsent = state.taken + state.out.len();
        let must_wait = || self.together.as_ref().is_some_and(|all| all.must_wait());
        state.peer == Peer::Gone || unsent == 0 || unsent <= WRITE_HIGH_WATER && !must_wait()
    }

    /// Notes what its response has unsent.
    pub(super) fn count_unsent(&self, state: &mut State, bytes: usize) {
        if let Some(together) = &self.together {
            together.change(state.counted, bytes);
            state.counted = bytes;
        }
    }

    /// The connection has taken this much of the response and not sent it.
    pub(in crate::server) fn set_unsent(&self, out: &Outgoing) {
        let mut state = self.lock();
        let bytes = out.in_memory() + state.out.in_memory();
        self.count_unsent(&mut state, bytes);
        drop(state);
        self.set_taken(out.len());
    }

    /// Lets `send()` go on where there is room for more again.
    pub(in crate::server) fn wake_senders(&self) {
        let mut state = self.lock();
        if self.has_room_in(&state) {
            let senders = std::mem::take(&mut state.senders);
            drop(state);
            senders.into_iter().for_each(|sender| wake(Some(sender)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_response_holds_nothing_up_and_several_do_until_some_is_sent() {
        let unsent = Unsent::default();
        unsent.change(0, 64 * BOUND);
        assert!(!unsent.must_wait() && !unsent.has_room_again());
        for _ in 0..3 {
            unsent.change(0, SHARE);
        }
        assert!(unsent.must_wait() && !unsent.has_room_again());
        unsent.change(64 * BOUND, SHARE + 1);
        assert!(unsent.must_wait());
        unsent.change(SHARE + 1, SHARE - 1);
        assert!(unsent.has_room_again() && !unsent.has_room_again());
        unsent.change(SHARE - 1, 0);
        for _ in 0..3 {
            unsent.change(SHARE, 0);
        }
        assert_eq!(unsent.bytes.into_inner(), 0);
    }
}
