//! Waiting on a thread of the pool, with the interpreter let go.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};

use pyo3::prelude::*;

use super::hub;
use super::shared::Shared;

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

/// Calls `poll` until it is ready. While it is not, other threads run Python, and the server's thread
/// is woken to make progress.
///
/// # Errors
/// The exception that another greenlet has thrown into this one, if this is a greenlet.
pub fn until_ready<T>(
    py: Python<'_>,
    shared: &Shared,
    mut poll: impl FnMut(&Waker) -> Poll<T>,
) -> PyResult<T> {
    if let Some(hub) = shared.hub.as_ref().filter(|_| hub::is_here()) {
        return hub.until_ready(py, &shared.threads, poll);
    }
    WAKER.with(|waker| {
        loop {
            match poll(waker) {
                Poll::Ready(value) => return Ok(value),
                // Woken for nothing, also by what woke the last wait too late: it asks again.
                Poll::Pending => py.detach(|| shared.threads.await_owner(thread::park)),
            }
        }
    })
}
