//! `contextvars` from Rust.

use pyo3::ffi;
use pyo3::prelude::*;

// Exported by every CPython since 3.7, but not part of the stable ABI, so pyo3 hides them.
unsafe extern "C" {
    fn PyContext_CopyCurrent() -> *mut ffi::PyObject;
    fn PyContext_Copy(context: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyContext_Enter(context: *mut ffi::PyObject) -> std::ffi::c_int;
    fn PyContext_Exit(context: *mut ffi::PyObject) -> std::ffi::c_int;
}

/// `contextvars.copy_context()`
///
/// # Errors
/// No memory.
pub fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; the result is a new reference, or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, PyContext_CopyCurrent()) }
}

/// `context.copy()`
///
/// # Errors
/// No memory, or not a context.
pub fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = context.py();
    // SAFETY: attached, and `context` is alive; the result is a new reference, or null with an
    // exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, PyContext_Copy(context.as_ptr())) }
}

/// `context.run(call)`
///
/// # Errors
/// What the call returns, or that the context is already entered.
pub fn run<R>(context: &Bound<'_, PyAny>, call: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    let py = context.py();
    // SAFETY: attached, and `context` is alive; -1 leaves an exception set.
    if unsafe { PyContext_Enter(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    let result = call();
    // SAFETY: as above; `result` holds what the call raised, so nothing is set meanwhile.
    if unsafe { PyContext_Exit(context.as_ptr()) } < 0 {
        return Err(PyErr::fetch(py));
    }
    result
}
