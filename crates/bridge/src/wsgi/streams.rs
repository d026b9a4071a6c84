//! Responses without a length that have begun: those that do not end when they should are given up.
//!
//! A thread cannot be ended. One that is between two pieces of such a response stops there; one that waits
//! for its next piece is not waited for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use lowmem_http::server::Exchange;

#[derive(Default)]
pub struct Streams {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that have begun. Some of them have ended.
    begun: Vec<Weak<Exchange>>,
    given_up: Vec<Arc<Exchange>>,
}

impl Streams {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begun(&self, exchange: &Arc<Exchange>) {
        let begun = &mut self.lock().begun;
        if begun.len() == begun.capacity() {
            begun.retain(|one| one.strong_count() > 0);
        }
        begun.push(Arc::downgrade(exchange));
    }

    /// Gives up those that should have ended. Returns their number.
    pub fn give_up(&self) -> usize {
        let begun = std::mem::take(&mut self.lock().begun);
        let begun = begun.iter().filter_map(Weak::upgrade);
        // Without the lock: connections are woken.
        let given_up: Vec<_> = begun.filter(|exchange| exchange.give_up()).collect();
        let count = given_up.len();
        self.lock().given_up.extend(given_up);
        count
    }

    /// How many have been given up and have not ended.
    pub fn not_awaited(&self) -> usize {
        let given_up = &mut self.lock().given_up;
        given_up.retain(|exchange| !exchange.has_finished());
        given_up.len()
    }
}
