//! The coroutines of requests and of the lifespan that have not ended.
//!
//! asyncio holds its tasks weakly, so those of requests are held here. A drain waits for the ones that
//! count for it; a light task ([`crate::light`]) is held there, and counted here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use pyo3::intern;
use pyo3::prelude::*;

use crate::done::{Done, Request};
use crate::report;

thread_local! {
    static RUNNING: RefCell<Running> = RefCell::default();
}

#[derive(Default)]
struct Running {
    tasks: HashMap<usize, Kept<PyAny>>,
    /// How many coroutines a drain waits for, light ones included.
    awaited: usize,
    /// The wait for the last of them.
    waiting: Option<Waker>,
}

/// A task that has not ended.
pub struct Kept<T> {
    pub task: Py<T>,
    /// A drain waits for it.
    pub awaited: bool,
    pub done: Done,
}

impl<T> Kept<T> {
    pub fn new(task: Py<T>, done: &Done) -> Self {
        Self {
            task,
            awaited: done.holds_up_drain(),
            done: Arc::clone(done),
        }
    }
}

/// Counts a coroutine that has begun to wait.
pub fn enter<T>(kept: &Kept<T>) {
    RUNNING.with_borrow_mut(|running| running.awaited += usize::from(kept.awaited));
}

/// Ends [`enter`]. Called without a borrow of what held `kept`: a waker is called.
pub fn leave<T>(kept: &Kept<T>) {
    let waiting = RUNNING.with_borrow_mut(|running| {
        running.awaited -= usize::from(kept.awaited);
        if running.awaited == 0 {
            running.waiting.take()
        } else {
            None
        }
    });
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

/// Holds an `asyncio.Task` and calls `done` when it has ended, which may be now.
///
/// # Errors
/// The exception that asyncio raised.
pub fn follow(task: Bound<'_, PyAny>, done: Done) -> PyResult<()> {
    let py = task.py();
    if is_done(&task)? {
        done.done(py, result(&task));
        return Ok(());
    }
    let key = task.as_ptr() as usize;
    let kept = Kept::new(task.clone().unbind(), &done);
    enter(&kept);
    RUNNING.with_borrow_mut(|running| running.tasks.insert(key, kept));
    let callback = Py::new(py, DoneCallback { done })?;
    task.call_method1(intern!(py, "add_done_callback"), (callback,))
        .map(drop)
}

/// Whether an `asyncio.Task` has ended.
///
/// # Errors
/// It is no task.
pub fn is_done(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    task.call_method0(intern!(task.py(), "done"))?.is_truthy()
}

/// The result or the exception of a finished task.
fn result<'py>(task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    report::caught(|| task.call_method0(intern!(task.py(), "result")))
}

/// Called by asyncio when a task is done.
#[pyclass(frozen, module = "lowmem_serve")]
struct DoneCallback {
    done: Done,
}

#[pymethods]
impl DoneCallback {
    fn __call__(&self, py: Python<'_>, task: &Bound<'_, PyAny>) {
        self.done.done(py, result(task));
        let key = task.as_ptr() as usize;
        let kept = RUNNING.with_borrow_mut(|running| running.tasks.remove(&key));
        if let Some(kept) = kept {
            leave(&kept);
        }
    }
}

/// Whether a request's task ended with this error: its client gets a 500, and the error is logged.
/// An application that calls `sys.exit` in a request does not end the worker.
pub fn ended_with(py: Python<'_>, error: &PyErr) -> bool {
    all(py).iter().any(|task| {
        let task = task.bind(py);
        is_done(task).unwrap_or(false)
            && result(task).is_err_and(|own| own.value(py).is(error.value(py)))
    })
}

/// The tasks of requests, and of the lifespan.
pub fn all(py: Python<'_>) -> Vec<Py<PyAny>> {
    RUNNING.with_borrow(|running| {
        let tasks = running.tasks.values();
        tasks.map(|kept| kept.task.clone_ref(py)).collect()
    })
}

/// The tasks that a drain waits for.
pub fn awaited(py: Python<'_>) -> Vec<Py<PyAny>> {
    RUNNING.with_borrow(|running| of_a_drain(py, running.tasks.values()))
}

/// Those of `kept` that a drain waits for.
pub fn of_a_drain<'a, T: 'a>(
    py: Python<'_>,
    kept: impl Iterator<Item = &'a Kept<T>>,
) -> Vec<Py<T>> {
    kept.filter(|kept| kept.awaited)
        .map(|kept| kept.task.clone_ref(py))
        .collect()
}

/// The listeners to the ends of those that a drain waits for.
pub fn requests() -> Vec<Done> {
    RUNNING.with_borrow(|running| requests_of(running.tasks.values()))
}

/// Those of `kept` that a drain waits for.
pub fn requests_of<'a, T: 'a>(kept: impl Iterator<Item = &'a Kept<T>>) -> Vec<Done> {
    kept.filter(|kept| kept.awaited)
        .map(|kept| Arc::clone(&kept.done))
        .collect()
}

/// The task of a request, if it waits.
pub fn task_of(py: Python<'_>, request: Request) -> Option<Py<PyAny>> {
    RUNNING.with_borrow(|running| {
        let mut tasks = running.tasks.values();
        let kept = tasks.find(|kept| Request::told_by(&kept.done) == request);
        kept.map(|kept| kept.task.clone_ref(py))
    })
}

/// The number of coroutines that a drain waits for.
pub fn count() -> usize {
    RUNNING.with_borrow(|running| running.awaited)
}

/// Ready when no coroutine runs that a drain waits for.
pub async fn finished() {
    poll_fn(|cx| {
        RUNNING.with_borrow_mut(|running| {
            if running.awaited == 0 {
                return Poll::Ready(());
            }
            running.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
    })
    .await;
}
