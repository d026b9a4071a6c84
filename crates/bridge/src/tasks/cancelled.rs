//! Cancelling the task of one request, whose time is up.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;

use super::RUNNING;
use crate::done::{Done, WhenDone};
use crate::event_loop;

/// What a cancelled coroutine can read.
const MESSAGE: &str = "Task cancelled, --timeout-request exceeded";

thread_local! {
    /// Requests that were cancelled and whose coroutines have not ended.
    static CANCELLED: RefCell<HashSet<Request>> = RefCell::default();
}

/// Which request a task works on: the place of what is told when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request(usize);

impl Request {
    pub fn of<T: WhenDone>(request: &T) -> Self {
        Self(std::ptr::from_ref(request) as usize)
    }

    pub fn told_by(done: &Done) -> Self {
        Self(Arc::as_ptr(done).cast::<()>() as usize)
    }
}

/// Cancels the task of a request. One that has ended, or ends without a wait, is left alone.
pub fn cancel(py: Python<'_>, request: Request) {
    let (task, light) = RUNNING.with_borrow(|running| {
        let mut tasks = running.tasks.values();
        let mut lights = running.lights.values();
        let task = tasks.find(|kept| kept.request == request);
        let light = lights.find(|kept| kept.request == request);
        (
            task.map(|kept| kept.task.clone_ref(py)),
            light.map(|kept| kept.task.clone_ref(py)),
        )
    });
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
