//! Imports that wait for their first use: `python/lowmem_serve/lazy`, set to work for the worker.

use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;

use crate::package;

/// The module of our package that does it.
const MODULE: &str = "lazy";

/// Makes the chosen imports wait. Called before the application is imported.
///
/// # Errors
/// Our package was not found, or raised.
pub fn install(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    if config.lazy_imports.is_empty() {
        return Ok(());
    }
    let module = config.app.split(':').next().unwrap_or_default();
    let directory = config.app_dir.to_string_lossy();
    let arguments = (&config.lazy_imports, module, directory, true);
    package::import(py, config.package.as_deref(), MODULE)?.call_method1("install", arguments)?;
    Ok(())
}

/// Tells it that the application is loaded, and requests are what follows.
///
/// # Errors
/// It raised.
pub fn settle(py: Python<'_>, config: &WorkerConfig) -> PyResult<()> {
    if config.lazy_imports.is_empty() {
        return Ok(());
    }
    package::import(py, config.package.as_deref(), MODULE)?.call_method0("settle")?;
    Ok(())
}
