//! Measuring what the application's imports cost, when `lowmem-serve imports` has started the worker.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use lowmem_base::config::WorkerConfig;

use crate::package;

/// The probe that measures this worker's imports.
static PROBE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Calls `import`. If the worker should report its imports, they are measured, and the use of the imported
/// modules is watched from then on. Python writes the report when the interpreter ends.
///
/// # Errors
/// The package is not there, or the import system is not as expected.
pub fn measured<T>(
    py: Python<'_>,
    config: &WorkerConfig,
    import: impl FnOnce() -> T,
) -> PyResult<T> {
    let Some(report) = &config.diagnosis.imports_report else {
        return Ok(import());
    };
    let module = package::import(py, config.start.package.as_deref(), "imports")?;
    let probe = module.call_method1("install", (report.to_string_lossy(),))?;
    let imported = import();
    module.call_method1("loaded", (&probe,))?;
    // Only one is made in a process.
    let _ = PROBE.set(py, probe.unbind());
    Ok(imported)
}

/// Watches this thread, which runs code of the application, if imports are measured: before 3.12 the
/// interpreter watches each thread separately.
pub fn watch_thread(py: Python<'_>) {
    if let Some(probe) = PROBE.get(py)
        && let Err(error) = probe.call_method0(py, "watch_thread")
    {
        error.write_unraisable(py, None);
    }
}
