//! Log lines, access lines and exceptions as records of Python's logging, while that is in use.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;

use lowmem_base::config::LogLevel;
use lowmem_base::telemetry::{self, AccessLine, Records};

/// `event` of the module, while Python's logging is in use.
static EVENT: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// The application has asked for the access logger.
static ACCESS_ASKED: AtomicBool = AtomicBool::new(false);

/// Sends all lines to `event` and `access` of this module from now on.
///
/// # Errors
/// The module has no such functions.
pub fn begin(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let records = PythonRecords::of(module)?;
    set_event(Some(records.event.clone_ref(module.py())));
    telemetry::redirect(Some(Arc::new(records)));
    Ok(())
}

/// Ends [`begin`].
pub fn end() {
    telemetry::redirect(None);
    set_event(None);
}

/// Sends access lines, too. Returns whether they were sent before.
pub fn include_access() -> bool {
    ACCESS_ASKED.swap(true, Ordering::Relaxed)
}

/// Logs an exception with its traceback as `exc_info`; says whether Python's logging is in use.
pub fn exception(py: Python<'_>, what: &str, error: &PyErr) -> bool {
    let event = {
        let slot = EVENT.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|event| event.clone_ref(py))
    };
    let Some(event) = event else {
        return false;
    };
    written(
        py,
        event.call1(py, (number(LogLevel::Error), what, error.value(py))),
    );
    true
}

fn set_event(event: Option<Py<PyAny>>) {
    let mut slot = EVENT.lock().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut *slot, event);
    drop(slot);
    drop(before);
}

/// The functions of the module.
struct PythonRecords {
    event: Py<PyAny>,
    access: Py<PyAny>,
}

impl PythonRecords {
    fn of(module: &Bound<'_, PyModule>) -> PyResult<Self> {
        Ok(Self {
            event: module.getattr("event")?.unbind(),
            access: module.getattr("access")?.unbind(),
        })
    }
}

impl Records for PythonRecords {
    fn event(&self, level: LogLevel, message: &str) {
        // Where Python takes no calls any more the line is lost.
        Python::try_attach(|py| {
            written(py, self.event.call1(py, (number(level), message)));
        });
    }

    fn access(&self, line: &AccessLine<'_>) -> bool {
        // A logger that nothing was set on writes what is written without it.
        if !ACCESS_ASKED.load(Ordering::Relaxed) {
            return false;
        }
        let done = Python::try_attach(|py| {
            let client = line.client.to_string();
            let trace = line.trace().map(|trace| (trace.trace_id, trace.span_id));
            let arguments = (
                client,
                line.method,
                line.path(),
                line.version,
                line.status,
                trace,
            );
            let done = written(py, self.access.call1(py, arguments));
            done.is_none_or(|done| done.extract(py).unwrap_or(true))
        });
        done.unwrap_or(true)
    }
}

/// Handlers deal with their own errors; what is raised nevertheless must not end a request.
fn written(py: Python<'_>, result: PyResult<Py<PyAny>>) -> Option<Py<PyAny>> {
    result
        .map_err(|error| error.write_unraisable(py, Some(intern!(py, "logging").as_any())))
        .ok()
}

/// The level's number in Python's logging; Uvicorn's for trace.
pub fn number(level: LogLevel) -> u8 {
    match level {
        LogLevel::Critical => 50,
        LogLevel::Error => 40,
        LogLevel::Warning => 30,
        LogLevel::Info => 20,
        LogLevel::Debug => 10,
        LogLevel::Trace => 5,
    }
}
