//! Calls to connections to end their requests when the worker ends.

use std::cell::Cell;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{Connections, Entry, InFlight, Unanswered};

/// A call to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Call {
    /// Say which of its requests are not answered yet.
    Tell,
    /// End what has no end of its own: event streams and WebSockets, and responses without a length
    /// that have gone on for so long.
    EndStreams(Option<Duration>),
    /// Tell all applications that their clients are gone.
    EndAll,
}

impl Connections {
    /// Tells the applications of all open requests that their clients are gone.
    pub(in crate::server) fn end_all(&self) {
        self.call(Call::EndAll);
    }

    /// Tells those whose responses have no end of their own.
    pub(in crate::server) fn end_streams(&self, from: Option<Duration>) {
        self.call(Call::EndStreams(from));
    }

    /// Asks every connection which of its requests are not answered; they reply through
    /// [`Self::tell_unfinished`]. Connections of HTTP/2 do so in their next turn.
    pub(in crate::server) fn ask_for_unfinished(&self) {
        self.unfinished.borrow_mut().clear();
        self.call(Call::Tell);
    }

    /// Whether one of the requests that were open at [`Self::ask_for_unfinished`] still is.
    pub(in crate::server) fn has_unfinished(&self) -> bool {
        let unfinished = self.unfinished.borrow();
        let mut open = unfinished.iter().filter_map(Weak::upgrade);
        open.any(|request| request.would_lose())
    }

    /// A connection's answer to [`Call::Tell`].
    pub(in crate::server) fn tell_unfinished(&self, request: &Arc<dyn Unanswered>) {
        if request.would_lose() {
            self.unfinished.borrow_mut().push(Arc::downgrade(request));
        }
    }

    fn call(&self, call: Call) {
        for entry in self.entries() {
            self.call_one(&entry, call);
        }
    }

    fn call_one(&self, entry: &Entry, call: Call) {
        let in_flight = entry.in_flight.borrow().clone();
        match (in_flight, call) {
            (Some(InFlight::One(request)), Call::Tell) => self.tell_unfinished(&request),
            (Some(InFlight::One(request)), Call::EndStreams(from)) => {
                request.dismiss_endless(from, Instant::now());
            }
            (Some(InFlight::One(request)), Call::EndAll) => request.dismiss(),
            // A WebSocket's session has no request that is answered.
            (None, Call::EndStreams(_)) | (Some(InFlight::Streams), _) => entry.set_call(call),
            (None, Call::Tell | Call::EndAll) => {}
        }
    }
}

impl Entry {
    fn set_call(&self, call: Call) {
        let call_before = Cell::replace(&self.call, Some(call));
        // The call that ends more stays.
        if call_before == Some(Call::EndAll) {
            self.call.set(call_before);
        }
        self.wake();
    }
}
