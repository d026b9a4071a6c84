//! The steps that a worker, a template and the process of a call have in common before they import.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::sys::same_pages;
use lowmem_base::telemetry;

use crate::interpreter;
use crate::lazy_imports;
use crate::package;
use crate::private_names;
use crate::python_log::{self, Redirected};
use crate::report;

/// The application can't be served, and why has been logged (UVICORN_PARITY a2).
pub(super) const CANNOT_SERVE: i32 = 3;

pub(super) fn out_of_place() -> PyErr {
    PyRuntimeError::new_err("the supervisor sent no configuration")
}

/// Sets up logging, `sys.path` and Python's logging before the application is imported.
pub(super) fn prepare(
    py: Python<'_>,
    config: &WorkerConfig,
) -> PyResult<Result<Option<Redirected>, python_log::Unusable>> {
    telemetry::init(&config.log).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    if config.application.merges_pages
        && let Err(error) = same_pages::merge()
    {
        tracing::warn!("--ksm: the kernel merges no pages of this process: {error}");
    }
    if let Err(missing) = private_names::load() {
        tracing::error!("{missing}");
        return Ok(Err(python_log::Unusable));
    }
    interpreter::prepare(py, config)?;
    if let Some(directory) = &config.start.package {
        package::offer(py, directory)?;
    }
    Ok(python_log::install(py, config))
}

/// Makes the chosen imports lazy; or the exit code, after the reason has been logged.
pub(super) fn make_lazy(py: Python<'_>, config: &WorkerConfig) -> Result<(), i32> {
    lazy_imports::install(py, config).map_err(|error| {
        report::exception(py, "Cannot make imports lazy", &error);
        CANNOT_SERVE
    })
}

/// Imported objects stay: the collector need not look at them again, and pages that a full collection
/// would write to stay shared.
pub(super) fn freeze_heap(py: Python<'_>) -> PyResult<()> {
    let gc = py.import("gc")?;
    gc.call_method0("collect")?;
    gc.call_method0("freeze")?;
    Ok(())
}
