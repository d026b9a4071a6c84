//! `--log-config`: log lines and access lines as records of Python's logging.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use lowmem_base::config::{LogLevel, WorkerConfig};
use lowmem_base::telemetry::{self, AccessLine, Records};

use crate::package;
use crate::report;

/// `event` of the module, while Python's logging is in use.
static EVENT: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Why Python's logging could not be configured; it has been logged.
#[derive(Debug)]
pub struct Unusable;

/// What is said goes to Python's logging until this is dropped, which is before Python ends.
#[derive(Debug)]
pub struct Redirected(());

impl Drop for Redirected {
    fn drop(&mut self) {
        telemetry::redirect(None);
        set_event(None);
    }
}

/// Configures Python's logging, if a file is given, and sends it everything from now on.
///
/// # Errors
/// The file cannot be used.
pub fn install(py: Python<'_>, config: &WorkerConfig) -> Result<Option<Redirected>, Unusable> {
    let Some(log_config) = &config.log_config else {
        return Ok(None);
    };
    let file = &log_config.file;
    match configured(py, config, file, log_config.level) {
        Ok(records) => {
            set_event(Some(records.event.clone_ref(py)));
            telemetry::redirect(Some(Arc::new(records)));
            Ok(Some(Redirected(())))
        }
        Err(error) => {
            let what = format!("Cannot use --log-config {}", file.display());
            let kind = error.get_type(py).name();
            if kind.is_ok_and(|kind| kind == "LogConfigError") {
                tracing::error!("{what}: {}", error.value(py));
            } else {
                report::exception(py, &what, &error);
            }
            Err(Unusable)
        }
    }
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

fn configured(
    py: Python<'_>,
    config: &WorkerConfig,
    file: &Path,
    level: Option<LogLevel>,
) -> PyResult<PythonRecords> {
    let module = package::import(py, config.package.as_deref(), "log_config")?;
    let options = PyDict::new(py);
    options.set_item("access_log", config.access_log)?;
    module.call_method(
        "configure",
        (file.to_string_lossy(), level.map(number)),
        Some(&options),
    )?;
    Ok(PythonRecords {
        event: module.getattr("event")?.unbind(),
        access: module.getattr("access")?.unbind(),
    })
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

impl Records for PythonRecords {
    fn event(&self, level: LogLevel, message: &str) {
        // Where Python takes no calls any more there is nobody to write it.
        Python::try_attach(|py| written(py, self.event.call1(py, (number(level), message))));
    }

    fn access(&self, line: &AccessLine<'_>) {
        Python::try_attach(|py| {
            let client = line.client.to_string();
            let arguments = (client, line.method, line.path(), line.version, line.status);
            written(py, self.access.call1(py, arguments));
        });
    }
}

/// Handlers deal with their own errors; what is raised nevertheless must not end a request.
fn written(py: Python<'_>, result: PyResult<Py<PyAny>>) {
    if let Err(error) = result {
        error.write_unraisable(py, Some(intern!(py, "--log-config").as_any()));
    }
}

/// The level's number in Python's logging; Uvicorn's for trace.
fn number(level: LogLevel) -> u8 {
    match level {
        LogLevel::Critical => 50,
        LogLevel::Error => 40,
        LogLevel::Warning => 30,
        LogLevel::Info => 20,
        LogLevel::Debug => 10,
        LogLevel::Trace => 5,
    }
}
