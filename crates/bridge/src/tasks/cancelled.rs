//! Cancelling the task of one request: its time is up, or it is a stream that does not end.

use std::cell::RefCell;
use std::collections::HashMap;

use pyo3::intern;
use pyo3::prelude::*;

use crate::done::Request;
use crate::{event_loop, light, running};

thread_local! {
    /// Requests that were cancelled and whose coroutines have not ended.
    static CANCELLED: RefCell<HashMap<Request, Why>> = RefCell::default();
}

/// The reason why a request is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    RequestTimeout,
    /// Its response is a stream that should have ended.
    Stream,
}

impl Why {
    /// The message of the cancellation, which the coroutine can read.
    fn message(self) -> &'static str {
        match self {
            Self::RequestTimeout => "Task cancelled, --timeout-request exceeded",
            Self::Stream => "Task cancelled, its stream did not end when the server stopped",
        }
    }
}

/// Ends streams whose coroutines go on with them though they should have ended, and cancels these. Returns their
/// number.
pub fn give_up_streams(py: Python<'_>) -> usize {
    let mut all = running::requests();
    all.extend(light::requests());
    // Called without a borrow: a coroutine that waits for its client is woken.
    all.retain(|done| done.give_up_stream());
    for done in &all {
        cancel(py, Request::told_by(done), Why::Stream);
    }
    all.len()
}

/// Cancels the task of a request. One that has ended, or ends without a wait, is left alone.
pub fn cancel(py: Python<'_>, request: Request, why: Why) {
    let (task, light) = (
        running::task_of(py, request),
        light::of_request(py, request),
    );
    if task.is_none() && light.is_none() {
        return;
    }
    CANCELLED.with_borrow_mut(|cancelled| cancelled.insert(request, why));
    if let Some(task) = task
        && let Err(error) = task.call_method1(py, intern!(py, "cancel"), (why.message(),))
    {
        error.write_unraisable(py, None);
    }
    if let Some(light) = light {
        light.get().close(py, why.message());
    }
    if let Err(error) = event_loop::nudge(py) {
        error.write_unraisable(py, None);
    }
}

/// Why this request was cancelled, if it was, now that its coroutine has ended.
pub fn was_cancelled(request: Request) -> Option<Why> {
    CANCELLED.with_borrow_mut(|cancelled| {
        if cancelled.is_empty() {
            None
        } else {
            cancelled.remove(&request)
        }
    })
}
