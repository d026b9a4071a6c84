//! The worker's loop, whichever it is.

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The loop serves from now on.
pub fn set(event_loop: Bound<'_, PyAny>) {
    let py = event_loop.py();
    let first = CURRENT.set(py, event_loop.unbind());
    debug_assert!(first.is_ok(), "the loop is installed once");
}

/// Whether there is one.
pub fn is_set(py: Python<'_>) -> bool {
    CURRENT.get(py).is_some()
}

fn get(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    match CURRENT.get(py) {
        Some(event_loop) => Ok(event_loop.bind(py)),
        None => Err(PyRuntimeError::new_err("there is no event loop yet")),
    }
}

/// The worker's loop.
///
/// # Errors
/// There is none yet.
pub fn current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(get(py)?.clone())
}

/// A future on the worker's loop.
///
/// # Errors
/// There is no loop, or no memory.
pub fn create_future(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    get(py)?.call_method0(intern!(py, "create_future"))
}

/// Makes `task` the current one.
///
/// # Errors
/// Another one is current.
pub fn enter_task(py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    py.import("asyncio.tasks")?
        .call_method1("_enter_task", (get(py)?, task))
        .map(drop)
}

/// Ends [`enter_task`].
///
/// # Errors
/// Another one is current.
pub fn leave_task(py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    py.import("asyncio.tasks")?
        .call_method1("_leave_task", (get(py)?, task))
        .map(drop)
}
