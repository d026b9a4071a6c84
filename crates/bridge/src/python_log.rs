//! Log lines and access lines as records of Python's logging: with `--log-config`, and where the
//! application asks for one of Uvicorn's loggers.
//!
//! Many applications set a filter on `uvicorn.access` or write to `uvicorn.error`. Under Uvicorn these
//! loggers are configured before the application is imported. Here that is done when it first asks for
//! one of them, so that an application that does not pays nothing: `logging.getLogger` of such a name is
//! noticed by a function in front of the manager's own ([`Front`]), which goes with it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use lowmem_base::config::{LogLevel, WorkerConfig};
use lowmem_base::telemetry;

use crate::import_watch::{self, Watch};
use crate::package;
use crate::records::{self, number};
use crate::report;

/// The settings for configuring Uvicorn's loggers.
static ASKED: Mutex<Option<Asked>> = Mutex::new(None);

const ROOT: &str = "uvicorn";

const ACCESS: &str = "uvicorn.access";

/// The loggers that Uvicorn configures.
const LOGGERS: [&str; 3] = [ROOT, "uvicorn.error", ACCESS];

const LOGGING: Watch = Watch {
    module: "logging",
    askers: &[],
    imported: stand_in_front,
};

/// The settings that have a part in Uvicorn's loggers.
#[derive(Clone)]
struct Asked {
    package: Option<PathBuf>,
    level: LogLevel,
    access_log: bool,
    colors: (bool, bool),
}

/// Why Python's logging could not be configured; it has been logged.
#[derive(Debug)]
pub struct Unusable;

/// Log lines go to Python's logging until this is dropped, which is before Python ends.
#[derive(Debug)]
pub struct Redirected(());

impl Drop for Redirected {
    fn drop(&mut self) {
        records::end();
    }
}

/// Configures Python's logging, if a file is given, and sends it everything from now on. Otherwise has
/// the application's asking for Uvicorn's loggers noticed.
///
/// # Errors
/// The file cannot be used.
pub fn install(py: Python<'_>, config: &WorkerConfig) -> Result<Option<Redirected>, Unusable> {
    let Some(log_config) = &config.log.python else {
        return Ok(watched(py, config));
    };
    let file = &log_config.file;
    match configured(py, config, file, log_config.level) {
        Ok(()) => Ok(Some(Redirected(()))),
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

/// Has the application's asking for Uvicorn's loggers noticed. Without it they are as any others.
fn watched(py: Python<'_>, config: &WorkerConfig) -> Option<Redirected> {
    config.start.package.as_ref()?;
    let asked = Asked {
        package: config.start.package.clone(),
        level: config.log.level,
        access_log: config.server.access.enabled,
        colors: (config.log.stderr_colors, config.server.access.colors),
    };
    *ASKED.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    let modules = py.import("sys").and_then(|sys| sys.getattr("modules"));
    let is_loaded = modules.and_then(|modules| modules.contains(LOGGING.module));
    let noticed = match is_loaded {
        Ok(true) => stand_in_front(py),
        _ => import_watch::install(py, &LOGGING),
    };
    if let Err(error) = noticed {
        tracing::debug!("Uvicorn's loggers have no effect: {error}");
    }
    Some(Redirected(()))
}

/// Puts [`Front`] in the place of the manager's `getLogger`, and placeholders of the names where others
/// look through all loggers.
fn stand_in_front(py: Python<'_>) -> PyResult<()> {
    let logging = py.import("logging")?;
    let manager = logging.getattr("root")?.getattr("manager")?;
    let loggers = manager.getattr("loggerDict")?;
    for name in LOGGERS {
        if loggers.contains(name)? {
            return ask(py, name);
        }
    }
    for name in LOGGERS {
        let placeholder = logging.getattr("PlaceHolder")?.call1((py.None(),))?;
        placeholder.getattr("loggerMap")?.call_method0("clear")?;
        loggers.set_item(name, placeholder)?;
    }
    let front = Front {
        inherited: manager.getattr("getLogger")?.unbind(),
    };
    manager.setattr("getLogger", Py::new(py, front)?)
}

/// In front of `logging.Manager.getLogger` until the application has asked for the access logger.
#[pyclass(frozen, module = "lowmem_serve")]
struct Front {
    inherited: Py<PyAny>,
}

#[pymethods]
impl Front {
    fn __call__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        if let Ok(text) = name.cast::<PyString>()
            && let Ok(text) = text.to_str()
            && LOGGERS.contains(&text)
            && let Err(error) = ask(py, text)
        {
            report::exception(py, "Cannot configure Uvicorn's loggers", &error);
        }
        self.inherited.call1(py, (name,))
    }
}

/// The application wants this logger.
fn ask(py: Python<'_>, name: &str) -> PyResult<()> {
    // The code below asks for loggers, too.
    let asked = {
        let mut slot = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
        slot.take()
    };
    if let Some(asked) = asked {
        let module = package::import(py, asked.package.as_deref(), "uvicorn_loggers")?;
        let write = wrap_pyfunction!(write_line, py)?;
        let (stderr, stdout) = asked.colors;
        let level = number(asked.level);
        module.call_method1(
            "configure",
            (level, asked.access_log, stderr, stdout, write),
        )?;
        records::begin(&module)?;
    }
    if name == ACCESS && !records::include_access() {
        let manager = py.import("logging")?.getattr("root")?.getattr("manager")?;
        let own = manager.getattr("__dict__")?;
        if own.contains("getLogger")? {
            manager.delattr("getLogger")?;
        }
    }
    Ok(())
}

/// Writes a record that nothing has changed the form of, as without Python's logging.
#[pyfunction]
fn write_line(py: Python<'_>, level: i64, text: &str) {
    let level = match level {
        50.. => LogLevel::Critical,
        40.. => LogLevel::Error,
        30.. => LogLevel::Warning,
        20.. => LogLevel::Info,
        10.. => LogLevel::Debug,
        _ => LogLevel::Trace,
    };
    py.detach(|| telemetry::write_line(level, text));
}

fn configured(
    py: Python<'_>,
    config: &WorkerConfig,
    file: &Path,
    level: Option<LogLevel>,
) -> PyResult<()> {
    let module = package::import(py, config.start.package.as_deref(), "log_config")?;
    let options = PyDict::new(py);
    options.set_item("access_log", config.server.access.enabled)?;
    module.call_method(
        "configure",
        (file.to_string_lossy(), level.map(number)),
        Some(&options),
    )?;
    records::include_access();
    records::begin(&module)
}
