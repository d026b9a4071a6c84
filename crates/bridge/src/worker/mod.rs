//! A worker's life, from its first message: it imports the application, or is forked from a template
//! that has; what comes then is in [`serving`].

mod isolated;
mod place;
mod preparing;
mod run;
mod serving;

use std::os::fd::OwnedFd;

use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::control::{FromWorker, SharedBy, ToImport, ToWorker, WorkerEnd};
use lowmem_base::sys::{limits, startup, stop_signals, title};
use lowmem_base::telemetry::{self, paint};

use crate::compiling;
use crate::interpreter::{self, Loaded};
use crate::runs;
use crate::shared_heap;
use crate::signals;
use crate::template::{self, Forked};
use crate::warm;
use preparing::{CANNOT_SERVE, freeze_heap, make_lazy, out_of_place, prepare};
use serving::work;

/// Runs the worker, or the template that workers are forked from; returns its exit code.
///
/// # Errors
/// An exception that no Python code handled, including SystemExit.
pub fn main(py: Python<'_>, control: OwnedFd) -> PyResult<i32> {
    let control = WorkerEnd::adopt(control)?;
    match control.wait()? {
        Some((ToWorker::Start(config), descriptors)) => {
            let Ok(_redirected) = prepare(py, &config)? else {
                return Ok(CANNOT_SERVE);
            };
            if let Err(code) = make_lazy(py, &config) {
                return Ok(code);
            }
            start_serving(py, control, *config, descriptors, None)
        }
        Some((ToWorker::Preload(config), _)) => preload(py, control, &config),
        Some((ToWorker::Warm(config, import), _)) => warm_up(py, control, &config, &import),
        Some((ToWorker::Isolate(config), descriptors)) => {
            isolated::template(py, control, &config, descriptors)
        }
        Some((ToWorker::Run(run), _)) => run::once(py, &run),
        // It is wanted no more, or its supervisor has gone.
        None => Ok(0),
        Some(_) => Err(out_of_place()),
    }
}

/// Imports the application and serves it.
fn start_serving(
    py: Python<'_>,
    control: WorkerEnd,
    config: WorkerConfig,
    mut descriptors: Vec<OwnedFd>,
    callers: Option<OwnedFd>,
) -> PyResult<i32> {
    let stop = begin(py, &config)?;
    place::take(py, &config, &mut descriptors, callers)?;
    if let Err(code) = isolated::check(py, &config) {
        return Ok(code);
    }
    match import(py, &config)? {
        Ok(loaded) => work(py, (control, stop), config, descriptors, loaded),
        Err(code) => Ok(code),
    }
}

/// Imports what the application does not have of its own, and makes workers of it, which import
/// the application. Returns in the template, at its end, and in each worker.
fn warm_up(
    py: Python<'_>,
    control: WorkerEnd,
    config: &WorkerConfig,
    imports: &ToImport,
) -> PyResult<i32> {
    let Ok(_redirected) = prepare(py, config)? else {
        return Ok(CANNOT_SERVE);
    };
    title::set(&config.title("template"));
    let _stop = stop_signals::install()?;
    if let Err(code) = make_lazy(py, config) {
        return Ok(code);
    }
    let is_shared = imports.shared_by != SharedBy::Application;
    let prepared = compiling::apart(py, config, || {
        let unfit = warm::prepare(py, config, imports)?;
        if unfit.is_none() && is_shared {
            shared_heap::rehearse(py, config)?;
        }
        Ok::<_, PyErr>(unfit)
    });
    if imports.shared_by == SharedBy::Python {
        interpreter::hide_missing_site(py)?;
    }
    if let Some(unfit) = prepared?? {
        // Fails without a supervisor, which is then no longer there to act on it.
        let _ = control.send(&FromWorker::Unfit(unfit), &[]);
        return Ok(0);
    }
    let files = warm::Files::imported(py, config)?;
    if is_shared {
        // Before the holes of the heap are filled: what this leaves would be new ones. It fails without a supervisor,
        // whose end is seen below.
        let _ = control.send(&FromWorker::Packages(warm::packages(py, config)?), &[]);
        shared_heap::settle(py, config)?;
    } else {
        if config.application.gc_freeze {
            freeze_heap(py)?;
        }
        // No fork needs the code pages and the stack that the imports have used.
        startup::forget();
    }
    tracing::debug!(
        "Imported the packages that the application uses [{}]",
        paint::cyan(std::process::id())
    );
    let (control, callers) =
        match template::fork_workers(py, control, config, || files.are_current())? {
            None => return Ok(0),
            Some(Forked::Worker(control, callers)) => (control, callers),
            Some(Forked::Call(call)) => {
                warm::renew(py, config)?;
                return call.run(py, config);
            }
            Some(Forked::Run(run)) => {
                let Some(run) = run.begin(py)? else {
                    return Ok(0);
                };
                return match settle_in(py, &run.worker, imports.shared_by)? {
                    Ok(()) => runs::run(py, &run),
                    Err(code) => Ok(code),
                };
            }
        };
    let (config, descriptors) = match py.detach(|| control.wait())? {
        Some((ToWorker::Start(config), descriptors)) => (config, descriptors),
        // It is wanted no more.
        None => return Ok(0),
        Some(_) => return Err(out_of_place()),
    };
    if config.start.place.is_some() {
        telemetry::name_lines(config.log.application.as_deref().map(Into::into));
    }
    if let Err(code) = settle_in(py, &config, imports.shared_by)? {
        return Ok(code);
    }
    // A call would be forked without the worker's environment: it starts an interpreter of its own.
    let callers = (imports.shared_by != SharedBy::Python).then_some(callers);
    start_serving(py, control, *config, descriptors, callers)
}

/// The first thing in a process that a template has forked: it is its application's from then on. A template of
/// several applications has renewed its caches itself, and has no lazy imports: those are each application's own. The
/// exit code, if it cannot serve.
fn settle_in(
    py: Python<'_>,
    config: &WorkerConfig,
    shared_by: SharedBy,
) -> PyResult<Result<(), i32>> {
    let Some(place) = &config.start.place else {
        warm::renew(py, config)?;
        return Ok(Ok(()));
    };
    warm::take_place(py, config, place, shared_by)?;
    Ok(make_lazy(py, config))
}

/// Imports the application and makes workers of it. Returns in the template, at its end, and in
/// each worker.
fn preload(py: Python<'_>, control: WorkerEnd, config: &WorkerConfig) -> PyResult<i32> {
    let Ok(_redirected) = prepare(py, config)? else {
        return Ok(CANNOT_SERVE);
    };
    title::set(&config.title("template"));
    // Ctrl-C reaches the whole group; the template ends with its supervisor.
    let _stop = stop_signals::install()?;
    if let Err(code) = make_lazy(py, config) {
        return Ok(code);
    }
    if let Err(code) = isolated::check(py, config) {
        return Ok(code);
    }
    let loaded = match template::import(py, || import(py, config))? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    if config.application.gc_freeze {
        freeze_heap(py)?;
    }
    startup::forget();
    tracing::info!(
        "Imported the application for all workers [{}]",
        paint::cyan(std::process::id())
    );
    let (control, callers) = match template::fork_workers(py, control, config, || true)? {
        None => return Ok(0),
        Some(Forked::Worker(control, callers)) => (control, callers),
        Some(Forked::Call(call)) => return call.run(py, config),
        Some(Forked::Run(run)) => {
            return match run.begin(py)? {
                Some(run) => runs::run(py, &run),
                None => Ok(0),
            };
        }
    };
    let (config, mut descriptors) = match py.detach(|| control.wait())? {
        Some((ToWorker::Start(config), descriptors)) => (config, descriptors),
        // It is wanted no more.
        None => return Ok(0),
        Some(_) => return Err(out_of_place()),
    };
    let stop = begin(py, &config)?;
    place::take(py, &config, &mut descriptors, Some(callers))?;
    work(py, (control, stop), *config, descriptors, loaded)
}

/// A worker's first line, and what is its own from then on.
fn begin(py: Python<'_>, config: &WorkerConfig) -> PyResult<OwnedFd> {
    title::set(&config.title("worker"));
    tracing::info!(
        "Started server process [{}]",
        paint::cyan(std::process::id())
    );
    limits::raise_descriptors();
    let stop = stop_signals::install()?;
    signals::install(py)?;
    Ok(stop)
}

/// The application, or the exit code after the reason has been logged.
///
/// Before there is a loop, as Uvicorn has it: applications call `asyncio.run` and Django's
/// synchronous parts while they are imported.
fn import(py: Python<'_>, config: &WorkerConfig) -> PyResult<Result<Loaded, i32>> {
    let loaded = compiling::apart(py, config, || interpreter::load(py, config))?;
    Ok(loaded.map_err(|error| error.report(py)))
}
