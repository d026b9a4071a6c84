//! Cancelling the task of one request, whose time is up.

use std::cell::RefCell;
use std::collections::HashSet;

use pyo3::intern;
use pyo3::prelude::*;

use crate::done::Request;
use crate::{event_loop, light, running};

/// The message of the cancellation, which the coroutine can read.
const MESSAGE: &str = "Task cancelled, --timeout-request exceeded";

thread_local! {
    /// Requests that were cancelled and whose coroutines have not ended.
    static CANCELLED: RefCell<HashSet<Request>> = RefCell::default();
}

/// Cancels the task of a request. One that has ended, or ends without a wait, is left alone.
pub fn cancel(py: Python<'_>, request: Request) {
    let (task, light) = (
        running::task_of(py, request),
        light::of_request(py, request),
    );
    if task.is_none() && light.is_none() {
        return;
    }
    CANCELLED.with_borrow_mut(|cancelled| cancelled.insert(request));
    if let Some(task) = task
        && let Err(error) = task.call_method1(py, intern!(py, "cancel"), (MESSAGE,))
    {
        error.write_unraisable(py, None);
    }
    if let Some(light) = light {
        light.get().close(py, MESSAGE);
    }
    if let Err(error) = event_loop::nudge(py) {
        error.write_unraisable(py, None);
    }
}

/// Whether this request was cancelled, now that its coroutine has ended.
pub fn was_cancelled(request: Request) -> bool {
    CANCELLED.with_borrow_mut(|cancelled| !cancelled.is_empty() && cancelled.remove(&request))
}
