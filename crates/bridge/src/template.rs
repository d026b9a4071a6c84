//! The template (`--preload`): a process that has imported the application, and that workers are
//! forked from.
//!
//! The template has one thread and serves nothing. Its heap is collected and frozen before the first
//! fork, so that no collection in a worker writes to the pages that all of them share. For each
//! worker the supervisor sends one end of a control socket; the template forks
//! ([`lowmem_base::sys::fork`]) and tells the pid, and in the new process this module returns: from
//! there on it is a worker like one that has imported the application itself, whose first message
//! is its configuration. What belongs to a process (signal handlers, the event loop, the runtime,
//! the TLS key) is made after the fork.
//!
//! The log warns of objects that an import leaves behind and that a fork does not copy, or shares: threads,
//! which exist in the template only, and sockets, on which all workers would talk at once.
//! Python's own `random` is seeded anew in each worker (`os.register_at_fork`, run by
//! `PyOS_AfterFork_Child`); generators of other libraries are not.

use std::os::fd::OwnedFd;

use pyo3::intern;
use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::control::{FromWorker, Received, ToWorker, WorkerEnd};
use lowmem_base::sys::fork::Side;
use lowmem_base::sys::inventory;

use crate::calls::{Call, Calls};
use crate::forking;
use crate::runs::{self, Run};

/// Imports the application, and warns of what it leaves behind that a fork does not carry over.
///
/// # Errors
/// The error of `import`.
pub fn import<T>(
    py: Python<'_>,
    import: impl FnOnce() -> PyResult<Result<T, i32>>,
) -> PyResult<Result<T, i32>> {
    let before = inventory::sockets();
    let imported = import()?;
    if imported.is_ok() {
        warn_of_threads(py);
        for socket in inventory::sockets() {
            if !before.contains(&socket) {
                tracing::warn!(
                    "--preload: the import has opened {socket}, which all workers share; open it in \
                     lifespan startup or at the first use"
                );
            }
        }
    }
    Ok(imported)
}

fn warn_of_threads(py: Python<'_>) {
    let count = inventory::threads();
    if count > 1 {
        let names = names_of_threads(py).unwrap_or_default();
        tracing::warn!(
            "--preload: the import has started {} thread(s), which workers do not have{names}; start \
             them in lifespan startup or at the first use",
            count - 1
        );
    }
}

/// ": a, b", if Python knows them.
fn names_of_threads(py: Python<'_>) -> PyResult<String> {
    let modules = py.import("sys")?.getattr("modules")?;
    if !modules.contains("threading")? {
        return Ok(String::new());
    }
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?;
    let mut names = Vec::new();
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        if !thread.is(&main) {
            names.push(thread.getattr(intern!(py, "name"))?.to_string());
        }
    }
    Ok(if names.is_empty() {
        String::new()
    } else {
        format!(": {}", names.join(", "))
    })
}

/// The kind of a process that a template has forked.
#[derive(Debug)]
pub enum Forked {
    /// A worker, with its control socket, and the end of the calls socket that it may have.
    Worker(WorkerEnd, OwnedFd),
    /// The process of an isolated call.
    Call(Call),
    /// The process of a run of a job.
    Run(Run),
}

/// Forks a worker, or the process of a run, whenever the supervisor asks for one, and a process for each
/// isolated call, as long as the template `is_current`. Returns in each of them, and nothing in the template, when the supervisor needs it
/// no more.
///
/// # Errors
/// The supervisor can't be understood.
pub fn fork_workers(
    py: Python<'_>,
    control: WorkerEnd,
    config: &WorkerConfig,
    is_current: impl Fn() -> bool,
) -> PyResult<Option<Forked>> {
    let (mut calls, callers) = Calls::pair()?;
    // A supervisor that is gone closes the socket, which is the end here, too.
    let mut told = control.send(&FromWorker::Preloaded, &[]);
    while told.is_ok() {
        py.detach(|| calls.wait(&control))?;
        if let Some(call) = calls.start(py, config, &is_current) {
            return Ok(Some(Forked::Call(call)));
        }
        let (message, descriptors) = match control.receive()? {
            Received::Message(message, descriptors) => (message, descriptors),
            Received::Nothing => continue,
            Received::Closed => break,
        };
        if message == ToWorker::ForkRun {
            // Without an answer it is started without the template.
            let run = is_current().then(|| runs::start(py, config, descriptors));
            if let Some(run) = run.flatten() {
                return Ok(Some(Forked::Run(run)));
            }
            continue;
        }
        let (ToWorker::Fork, Some(theirs)) = (message, descriptors.into_iter().next()) else {
            break;
        };
        if !is_current() {
            let _ = control.send(&FromWorker::Forked(None), &[]);
            break;
        }
        told = match forking::sibling(py) {
            Ok(Side::New) => {
                return Ok(Some(Forked::Worker(WorkerEnd::adopt(theirs)?, callers)));
            }
            Ok(Side::Old(pid)) => {
                let pid = pid.as_raw_nonzero().get();
                control.send(&FromWorker::Forked(Some(pid)), &[])
            }
            Err(error) => {
                tracing::error!("Cannot fork a worker: {error}");
                control.send(&FromWorker::Forked(None), &[])
            }
        };
    }
    Ok(None)
}

/// Forks a process for each isolated call, and no worker. Returns in each of them, and nothing in the template,
/// when the supervisor needs it no more.
///
/// # Errors
/// The supervisor can't be understood.
pub fn fork_calls(
    py: Python<'_>,
    control: WorkerEnd,
    config: &WorkerConfig,
    mut calls: Calls,
) -> PyResult<Option<Call>> {
    control.send(&FromWorker::Preloaded, &[])?;
    loop {
        py.detach(|| calls.wait(&control))?;
        // Its end first: one that is replaced forks nothing more of what it has imported.
        if !matches!(control.receive()?, Received::Nothing) {
            return Ok(None);
        }
        if let Some(call) = calls.start(py, config, || true) {
            return Ok(Some(call));
        }
    }
}
