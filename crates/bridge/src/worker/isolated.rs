//! The template of `--isolated-template`: it has imported the modules that were named, and nothing of the
//! application besides. Isolated calls are forked from it, whatever the workers were started from.

use std::os::fd::OwnedFd;

use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::control::WorkerEnd;
use lowmem_base::sys::{startup, stop_signals, title};
use lowmem_base::telemetry::paint;

use super::preparing::{CANNOT_SERVE, freeze_heap, out_of_place, prepare};
use crate::calls::{self, Calls};
use crate::compiling;
use crate::package;
use crate::report;
use crate::template;

/// Imports the modules, and makes processes of them for the packets that come over the first descriptor. Returns
/// in the template, at its end, and in each process when its call has ended.
pub(super) fn template(
    py: Python<'_>,
    control: WorkerEnd,
    config: &WorkerConfig,
    descriptors: Vec<OwnedFd>,
) -> PyResult<i32> {
    let Some(packets) = descriptors.into_iter().next() else {
        return Err(out_of_place());
    };
    let Ok(_redirected) = prepare(py, config)? else {
        return Ok(CANNOT_SERVE);
    };
    title::set(&config.title("isolated template"));
    // Ctrl-C reaches the whole group; the template ends with its supervisor.
    let _stop = stop_signals::install()?;
    package::import(py, config.start.package.as_deref(), calls::MODULE)?;
    for name in &config.application.isolated_template {
        if let Err(error) = compiling::apart(py, config, || py.import(name.as_str()))? {
            report::exception(
                py,
                &format!("--isolated-template: cannot import {name}"),
                &error,
            );
            return Ok(CANNOT_SERVE);
        }
    }
    if config.application.gc_freeze {
        freeze_heap(py)?;
    }
    startup::forget();
    tracing::info!(
        "Imported {} for isolated calls [{}]",
        config.application.isolated_template.join(", "),
        paint::cyan(std::process::id())
    );
    match template::fork_calls(py, control, config, Calls::over(packets))? {
        Some(call) => call.run(py, config),
        None => Ok(0),
    }
}

/// Whether the modules that the template should import can be found: a worker says so when it starts, as the
/// template is only made when the first call comes. Nothing is imported for it. Otherwise the exit code, after
/// the reason has been logged.
pub(super) fn check(py: Python<'_>, config: &WorkerConfig) -> Result<(), i32> {
    for name in &config.application.isolated_template {
        // The import decides where this cannot.
        if !is_there(py, name).unwrap_or(true) {
            tracing::error!(
                "--isolated-template: there is no module {name} for the application's Python; install it, or \
                 correct the name"
            );
            return Err(CANNOT_SERVE);
        }
    }
    Ok(())
}

/// Asks the finders for each part of a dotted name. `importlib.util.find_spec` would import the packages.
fn is_there(py: Python<'_>, name: &str) -> PyResult<bool> {
    let find = py.import("_frozen_importlib")?.getattr("_find_spec")?;
    let ends = name.match_indices('.').map(|(at, _)| at);
    let mut path = py.None().into_bound(py);
    for end in ends.chain([name.len()]) {
        let is_inner = end > name.find('.').unwrap_or(name.len());
        if is_inner && path.is_none() {
            // The part before the dot is a module and no package.
            return Ok(false);
        }
        let spec = find.call1((&name[..end], &path))?;
        if spec.is_none() {
            return Ok(false);
        }
        path = spec.getattr("submodule_search_locations")?;
    }
    Ok(true)
}
