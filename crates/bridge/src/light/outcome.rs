//! One step of a coroutine, and its outcome.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::report;

/// The outcome of a step.
pub enum Outcome {
    Returned(Py<PyAny>),
    Raised(PyErr),
    Yielded(Py<PyAny>),
}

/// Runs a coroutine to its next wait or its end.
pub fn send_none(coroutine: &Bound<'_, PyAny>) -> Outcome {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: attached; the coroutine and None are alive, and `result` receives a new reference
    // unless the answer is an error, which leaves an exception set.
    let sent = unsafe { ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &mut result) };
    if sent == ffi::PySendResult::PYGEN_ERROR {
        return match report::caught(|| Err::<(), _>(PyErr::fetch(py))) {
            Err(error) => Outcome::Raised(error),
            Ok(()) => Outcome::Returned(py.None()),
        };
    }
    // SAFETY: a new reference, as said above.
    let value = unsafe { Bound::from_owned_ptr(py, result) }.unbind();
    if sent == ffi::PySendResult::PYGEN_RETURN {
        Outcome::Returned(value)
    } else {
        Outcome::Yielded(value)
    }
}

/// The value that our awaitables yield when there is no loop.
#[pyclass(frozen, module = "lowmem_serve")]
struct Waiting;

/// The one [`Waiting`].
pub fn waiting(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static WAITING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let token = WAITING.get_or_try_init(py, || Py::new(py, Waiting).map(Py::into_any))?;
    Ok(token.bind(py))
}
