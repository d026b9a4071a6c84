//! Imports that wait for their first use: `python/lowmem_serve/lazy`, set to work for the worker.

use std::ffi::{c_int, c_void};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;

use crate::compiling;
use crate::package;

/// The module of our package that does it.
const MODULE: &str = "lazy";

/// Names whose keys should become plain strings once the worker has nothing else to do.
static UNTIDY: AtomicBool = AtomicBool::new(false);

/// Makes the chosen imports wait. Called before the application is imported.
///
/// # Errors
/// Our package was not found, or raised.
pub fn install(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    if config.application.lazy_imports.is_empty() {
        return Ok(());
    }
    let module = config
        .application
        .path
        .split(':')
        .next()
        .unwrap_or_default();
    let directory = config.application.directory.to_string_lossy();
    let apart = wrap_pyfunction!(compiling::transform_apart, py)?;
    let turns = (Py::new(py, Soon)?, wrap_pyfunction!(tidy_later, py)?);
    let arguments = (
        &config.application.lazy_imports,
        module,
        directory,
        apart,
        turns,
    );
    package::import(py, config.start.package.as_deref(), MODULE)?
        .call_method1("install", arguments)?;
    Ok(())
}

/// Subscribed by a comparison of names that wait: their placeholders may have been copied.
#[pyclass(frozen, module = "lowmem_serve")]
struct Soon;

#[pymethods]
impl Soon {
    /// Replaces them before the main thread's next statements.
    fn __getitem__(&self, _key: &Bound<'_, PyAny>) -> i32 {
        // SAFETY: a function of the expected type, without an argument.
        unsafe { ffi::Py_AddPendingCall(Some(heal), std::ptr::null_mut()) }
    }
}

/// Called by the interpreter on its main thread, with the GIL held.
extern "C" fn heal(_: *mut c_void) -> c_int {
    let healed = || {
        Python::attach(|py| {
            let names = py.import("lowmem_serve.lazy.names");
            if let Err(error) = names.and_then(|names| names.call_method0("heal")) {
                error.write_unraisable(py, None);
            }
        });
    };
    // A panic has been reported by its hook, and must not unwind into C.
    let _ = catch_unwind(healed);
    0
}

/// Makes keys plain before the worker waits.
#[pyfunction]
fn tidy_later() {
    UNTIDY.store(true, Ordering::Relaxed);
}

/// Adds a note to an exception that names waiting imports of the module that raised it.
pub fn note(py: Python<'_>, error: &PyErr) {
    let modules = py.import("sys").and_then(|sys| sys.getattr("modules"));
    let names =
        modules.and_then(|modules| modules.call_method1("get", ("lowmem_serve.lazy.names",)));
    if let Ok(names) = names
        && !names.is_none()
        && let Err(failed) = names.call_method1("note", (error.value(py), error.traceback(py)))
    {
        failed.write_unraisable(py, None);
    }
}

/// Makes keys plain whose names have been imported meanwhile. Called before each wait.
pub fn before_wait() {
    if UNTIDY.load(Ordering::Relaxed) && UNTIDY.swap(false, Ordering::Relaxed) {
        Python::attach(|py| {
            let lazy = py.import("lowmem_serve.lazy");
            if let Err(error) = lazy.and_then(|lazy| lazy.call_method0("settle")) {
                error.write_unraisable(py, None);
            }
        });
    }
}

/// Names the chosen packages that are nowhere: a misspelt one would make nothing lazy, and say nothing.
fn warn_of_unknown(module: &Bound<'_, PyAny>, config: &WorkerConfig) -> PyResult<()> {
    let unknown = module.call_method1("unknown", (&config.application.lazy_imports,))?;
    let unknown: Vec<String> = unknown.extract()?;
    if !unknown.is_empty() {
        tracing::warn!(
            "--lazy-imports: there is no module or package {}, so its imports cannot wait; docs/lazy-imports.md \
             has what can be named",
            unknown.join(", ")
        );
    }
    Ok(())
}

/// Tells it that the application is loaded, and requests are what follows.
///
/// # Errors
/// It raised.
pub fn settle(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    if config.application.lazy_imports.is_empty() {
        return Ok(());
    }
    // A worker that was forked from a template transforms with a companion of its own.
    compiling::own(config.start.package.as_deref());
    let module = package::import(py, config.start.package.as_deref(), MODULE)?;
    module.call_method0("settle")?;
    if config.start.is_first {
        warn_of_unknown(&module, config)?;
    }
    let uncached: Option<String> = module.call_method0("uncached")?.extract()?;
    if let Some(why) = uncached {
        tracing::warn!(
            "--lazy-imports: transformed modules cannot be kept, because {why}; each start transforms \
             them again. PYTHONPYCACHEPREFIX names another directory for them"
        );
    }
    Ok(())
}
