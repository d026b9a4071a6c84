//! Runs of jobs that start from a template: `start = "template"`.
//!
//! The supervisor asks with [`ToWorker::ForkRun`]. The process is the supervisor's child, as a worker is, and does
//! nothing before it is told what to run: a supervisor that has waited too long closes its end, and what is forked
//! then finds nothing to do.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use pyo3::intern;
use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::control::{Channel, RunConfig, ToWorker, WorkerEnd};
use lowmem_base::sys::fork::Side;
use lowmem_base::sys::{session, title};

use crate::forking::{self, has_hung_up};
use crate::package;

const MODULE: &str = "running";

/// Over it goes the pid.
type Status = Channel<i32, ()>;

/// The descriptors of a run, in its process.
#[derive(Debug)]
pub struct Run {
    control: OwnedFd,
    lifeline: OwnedFd,
    output: OwnedFd,
}

/// Forks a process for a run; what is not possible is declined by closing its sockets. Returns in the template, and
/// the run in its process.
pub fn start(py: Python<'_>, config: &WorkerConfig, descriptors: Vec<OwnedFd>) -> Option<Run> {
    let Ok([control, status, lifeline, output]) = <[OwnedFd; 4]>::try_from(descriptors) else {
        return None;
    };
    if has_hung_up(control.as_fd()) {
        return None;
    }
    match forking::sibling(py) {
        Ok(Side::New) => Some(Run {
            control,
            lifeline,
            output,
        }),
        Ok(Side::Old(pid)) => {
            // A supervisor that has given up has closed the control socket, which ends the process.
            let _ = Status::over(status).send(&pid.as_raw_nonzero().get(), &[]);
            // Only now, as the first run waits for its pid: the processes of later runs have it.
            if let Err(error) = package::import(py, config.start.package.as_deref(), MODULE) {
                tracing::error!(
                    "Cannot import the modules of runs; each run imports them itself: {error}"
                );
            }
            None
        }
        Err(error) => {
            tracing::error!("Cannot fork a process for a run: {error}");
            None
        }
    }
}

impl Run {
    /// Makes the process a run's, and waits for what it should run; nothing if it is wanted no more.
    ///
    /// # Errors
    /// The process cannot have a session, or its output, of its own.
    pub fn begin(self, py: Python<'_>) -> PyResult<Option<RunConfig>> {
        session::begin(self.lifeline.as_fd())?;
        if has_hung_up(self.lifeline.as_fd()) {
            // The supervisor has given up before the kernel watched the lifeline.
            return Ok(None);
        }
        let nothing = File::open("/dev/null")?;
        rustix::stdio::dup2_stdin(nothing).map_err(io::Error::from)?;
        rustix::stdio::dup2_stdout(&self.output).map_err(io::Error::from)?;
        rustix::stdio::dup2_stderr(&self.output).map_err(io::Error::from)?;
        // For the rest of this process's life: it is of use while it is open.
        std::mem::forget(self.lifeline);
        let control = WorkerEnd::adopt(self.control)?;
        match py.detach(|| control.wait())? {
            Some((ToWorker::Run(run), _)) => Ok(Some(*run)),
            _ => Ok(None),
        }
    }
}

/// Runs it, and ends the process.
///
/// # Errors
/// Our package was not found, or raised.
pub fn run(py: Python<'_>, run: &RunConfig) -> PyResult<i32> {
    title::set(&run.worker.called(&format!("run {}", run.function)));
    let text = |path: &Option<std::path::PathBuf>| {
        path.as_ref()
            .map(|path| path.to_string_lossy().into_owned())
    };
    let module = package::import(py, run.worker.start.package.as_deref(), MODULE)?;
    let arguments = (
        &run.function,
        text(&run.task),
        text(&run.result),
        &run.variables,
    );
    module
        .call_method1(intern!(py, "forked"), arguments)?
        .extract()
}
