//! Waiting on a thread of the pool, with the interpreter let go.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};

use pyo3::prelude::*;

use super::Shared;

thread_local! {
    static WAKER: Waker = Waker::from(Arc::new(Unpark(thread::current())));
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// Asks `poll` until it is ready; while it is not, other threads run Python, and the server's thread
/// is to do its part.
pub fn until_ready<T>(
    py: Python<'_>,
    shared: &Shared,
    mut poll: impl FnMut(&Waker) -> Poll<T>,
) -> T {
    WAKER.with(|waker| {
        loop {
            match poll(waker) {
                Poll::Ready(value) => return value,
                // Woken for nothing, also by what woke the last wait too late: it asks again.
                Poll::Pending => py.detach(|| shared.threads.await_owner(thread::park)),
            }
        }
    })
}
