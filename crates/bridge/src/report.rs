//! Telling the operator what Python raised: logged once, with its traceback.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};

use crate::lazy_imports;
use crate::records;

/// The traceback as Python prints it, without the last newline.
pub fn traceback(py: Python<'_>, error: &PyErr) -> String {
    // Before 3.12 an uncaught error keeps its traceback beside the exception.
    let parts = (error.get_type(py), error.value(py), error.traceback(py));
    let formatted = py
        .import(intern!(py, "traceback"))
        .and_then(|module| module.call_method1(intern!(py, "format_exception"), parts))
        .and_then(|lines| lines.extract::<Vec<Bound<'_, PyString>>>());
    match formatted {
        Ok(lines) => {
            let lines: Vec<_> = lines.iter().map(text).collect();
            with_title(lines.concat().trim_end())
        }
        // No memory, or a broken __str__: the type says more than nothing.
        Err(_) => name(&error.get_type(py)),
    }
}

/// What UTF-8 cannot have is escaped, as Python's stderr has it: the name of a file may hold such characters.
pub fn text(text: &Bound<'_, PyString>) -> String {
    if let Ok(text) = text.to_str() {
        return text.to_owned();
    }
    let escaped = text.call_method1(intern!(text.py(), "encode"), ("utf-8", "backslashreplace"));
    let escaped = escaped.and_then(|bytes| Ok(bytes.cast_into::<PyBytes>()?));
    escaped.map_or_else(
        |_| text.to_string_lossy().into_owned(),
        |bytes| String::from_utf8_lossy(bytes.as_bytes()).into_owned(),
    )
}

/// A syntax error without a frame comes without the line that people and programs look for.
fn with_title(traceback: &str) -> String {
    if traceback.starts_with("  File ") {
        format!("Traceback (most recent call last):\n{traceback}")
    } else {
        traceback.to_owned()
    }
}

fn name(kind: &Bound<'_, PyType>) -> String {
    kind.name()
        .map_or_else(|_| "an exception".to_owned(), |name| name.to_string())
}

/// The result of `call`, with a panic of ours that comes back through Python turned into an exception: pyo3
/// would resume the panic, which would end the task that runs coroutines.
///
/// # Errors
/// The exception that was raised.
pub fn caught<R>(call: impl FnOnce() -> PyResult<R>) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        Err(PyRuntimeError::new_err(
            "the server panicked, as told above",
        ))
    })
}

/// Logs `what` and the traceback of `error`.
pub fn exception(py: Python<'_>, what: &str, error: &PyErr) {
    lazy_imports::note(py, error);
    if !records::exception(py, what, error) {
        tracing::error!("{what}\n{}", traceback(py, error));
    }
}
