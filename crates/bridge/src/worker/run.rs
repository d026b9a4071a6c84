//! A process that runs one function and ends: a job, or a task of the queue.
//!
//! It is as a script's: no signal handler, no event loop but the function's own, no log lines but
//! those that are printed. `python/lowmem_serve/running.py` has the rest.

use pyo3::prelude::*;

use lowmem_base::control::RunConfig;
use lowmem_base::sys::title;

use crate::interpreter;
use crate::lazy_imports;
use crate::package;
use crate::report;

use super::preparing::CANNOT_SERVE;

/// Runs it; returns the exit code.
///
/// # Errors
/// An exception that ends the process: SystemExit, KeyboardInterrupt.
pub(super) fn once(py: Python<'_>, run: &RunConfig) -> PyResult<i32> {
    title::set(&format!("lowmem-serve: run {}", run.function));
    interpreter::prepare(py, &run.worker)?;
    if let Err(error) = lazy_imports::install(py, &run.worker) {
        report::exception(py, "Cannot make imports lazy", &error);
        return Ok(CANNOT_SERVE);
    }
    let directory = run.worker.start.package.as_deref();
    let running = package::import(py, directory, "running")?;
    let text = |path: &Option<std::path::PathBuf>| {
        path.as_ref()
            .map(|path| path.to_string_lossy().into_owned())
    };
    let arguments = (&run.function, text(&run.task), text(&run.result));
    running.call_method1("run", arguments)?.extract()
}
