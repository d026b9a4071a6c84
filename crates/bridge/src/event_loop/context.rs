//! `contextvars` from Rust.

use pyo3::prelude::*;

use crate::private_names::functions;

/// `contextvars.copy_context()`
///
/// # Errors
/// No memory.
pub fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; the result is a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, (functions().context_copy_current)()) }
}

/// `context.copy()`
///
/// # Errors
/// No memory, or not a context.
pub fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    // SAFETY: attached, and `context` is alive; the result is a new reference, or null with an
    // exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, (functions().context_copy)(context.as_ptr())) }
}

/// `context.run(call)`
///
/// # Errors
/// The call's error, or the context is already entered.
pub fn run<R>(context: &Bound<'_, PyAny>, call: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let py = context.py();
    // SAFETY: attached, and `context` is alive; -1 leaves an exception set.
    if unsafe { (functions().context_enter)(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let result = call();
    // SAFETY: as above; `result` holds what the call raised, so nothing is set meanwhile.
    if unsafe { (functions().context_exit)(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    result
}
