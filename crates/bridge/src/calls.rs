//! Isolated calls that start from a template: the *calls socket*.
//!
//! The template makes a pair of sockets, whose one end workers inherit when they are forked from it; that of
//! `--isolated-template` is given one end by the supervisor, as the workers are given the other. A worker names
//! its end in its environment; `lowmem_serve/isolated/forked.py` sends a packet into it for each call, with three descriptors:
//! the connection of the call, a socket for its status, and its lifeline; and with `--request-id` a fourth, which its
//! output goes into. The template forks a process for it,
//! a child of its own, and reports over the status socket its pid, later how it has ended. The caller sends
//! the function to the process itself, and only once it knows the pid: a packet that waits while the template is
//! stopped has no effect any more when the caller has given up.
//!
//! A template that declines closes the status socket. A call that runs when the template ends goes on: its
//! lifeline is the caller's.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};

use pyo3::intern;
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::fstat;
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus, pidfd_open, waitpid};

use lowmem_base::config::WorkerConfig;
use lowmem_base::control::{Channel, Received, WorkerEnd, socket_pair};
use lowmem_base::sys::fork::Side;
use lowmem_base::sys::{memory, process, session, title};

use crate::forking::{self, has_hung_up};
use crate::package;

/// Where a worker names its end: the descriptor's number, and the socket's, so that a process that has
/// inherited the variable and not the socket takes no other descriptor for it.
const VARIABLE: &str = "LOWMEM_SERVE_CALLS";

/// The module that runs in the process of a call.
pub const MODULE: &str = "isolated.child";

/// A packet's only content.
type Packets = Channel<(), ()>;

/// At the start the pid and the anonymous memory that is inherited; at the end the exit code, a signal's
/// number negative, and nothing.
type Status = Channel<(i32, u64), ()>;

/// A template's side.
#[derive(Debug)]
pub struct Calls {
    packets: Packets,
    running: Vec<Running>,
}

/// A process that was forked for a call.
#[derive(Debug)]
struct Running {
    pid: Pid,
    ended: OwnedFd,
    status: Status,
}

/// The descriptors of a call, in its process.
#[derive(Debug)]
pub struct Call {
    connection: OwnedFd,
    lifeline: OwnedFd,
    /// Where its output goes, unless to the template's own.
    output: Option<OwnedFd>,
}

impl Calls {
    /// The template's side of a new pair, and the callers' end.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, callers) = socket_pair()?;
        Ok((Self::over(ours), callers))
    }

    /// The template's side of a pair that the supervisor has made.
    pub fn over(packets: OwnedFd) -> Self {
        Self {
            packets: Packets::over(packets),
            running: Vec::new(),
        }
    }

    /// Waits for a message of the supervisor or a packet; reports each call that ends.
    pub fn wait(&mut self, control: &WorkerEnd) -> io::Result<()> {
        loop {
            let (own, ended): (Vec<bool>, Vec<bool>) = {
                let fixed = [control.as_fd(), self.packets.as_fd()];
                let running = self.running.iter().map(|call| call.ended.as_fd());
                let waited = fixed.into_iter().chain(running);
                let mut polled: Vec<_> = waited
                    .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                    .collect();
                retry_on_intr(|| poll(&mut polled, None))?;
                let ready = polled.iter().map(|one| !one.revents().is_empty());
                let ready: Vec<bool> = ready.collect();
                (ready[..2].to_vec(), ready[2..].to_vec())
            };
            let mut ended = ended.into_iter();
            self.running.retain(|call| {
                let has_ended = ended.next().unwrap_or(false);
                if has_ended {
                    call.reap();
                }
                !has_ended
            });
            if own.contains(&true) {
                return Ok(());
            }
        }
    }

    /// Forks a process for each packet, unless what was imported is outdated. Returns in the template, and
    /// the call in its process.
    pub fn start(
        &mut self,
        py: Python<'_>,
        config: &WorkerConfig,
        is_current: impl Fn() -> bool,
    ) -> Option<Call> {
        loop {
            let descriptors = match self.packets.receive() {
                Ok(Received::Message((), descriptors)) => descriptors,
                Ok(Received::Nothing | Received::Closed) => return None,
                Err(error) => {
                    tracing::debug!("A packet for an isolated call is not understood: {error}");
                    continue;
                }
            };
            let mut descriptors = descriptors.into_iter();
            let (Some(connection), Some(status), Some(lifeline)) =
                (descriptors.next(), descriptors.next(), descriptors.next())
            else {
                continue;
            };
            let output = descriptors.next();
            if has_hung_up(connection.as_fd()) || !is_current() {
                continue;
            }
            // Before the first fork: the processes of later calls have it.
            if let Err(error) = package::import(py, config.start.package.as_deref(), MODULE) {
                tracing::error!("Isolated calls cannot start from the template: {error}");
                continue;
            }
            let inherited = memory::resident();
            match forking::child(py) {
                Ok(Side::New) => {
                    return Some(Call {
                        connection,
                        lifeline,
                        output,
                    });
                }
                Ok(Side::Old(pid)) => self.add(pid, inherited, status),
                Err(error) => tracing::error!("Cannot fork a process for a call: {error}"),
            }
        }
    }

    /// Tells the caller of its process. It has been sent nothing yet, so that it can be given up.
    fn add(&mut self, pid: Pid, inherited: u64, status: OwnedFd) {
        let status = Status::over(status);
        let began = (pid.as_raw_nonzero().get(), inherited);
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(ended) => {
                // A caller that has gone has closed the connection, which ends the process.
                let _ = status.send(&began, &[ended.as_fd()]);
                self.running.push(Running { pid, ended, status });
            }
            Err(error) => {
                tracing::error!("Cannot watch the process of a call: {error}");
                process::kill(pid);
                let _ = waitpid(Some(pid), WaitOptions::empty());
            }
        }
    }
}

/// In a worker: keeps the callers' end for the rest of its life, and names it.
pub fn keep_callers_end(py: Python<'_>, callers: OwnedFd) -> PyResult<()> {
    let socket = fstat(&callers).map_err(io::Error::from)?.st_ino;
    let environment = py.import("os")?.getattr(intern!(py, "environ"))?;
    let number = callers.into_raw_fd();
    environment.set_item(VARIABLE, format!("{number}:{socket}"))
}

impl Running {
    /// It has ended: its number is free, and the caller told.
    fn reap(&self) {
        let Ok(Some((_, status))) = waitpid(Some(self.pid), WaitOptions::empty()) else {
            return;
        };
        let _ = self.status.send(&(code(status), 0), &[]);
    }
}

/// Called with the function that the process has been told to call, and names the process after it.
#[pyclass(frozen, module = "lowmem_serve")]
struct Show {
    role: String,
}

#[pymethods]
impl Show {
    fn __call__(&self, function: &str) {
        title::set(&format!("{} {function}", self.role));
    }
}

fn code(status: WaitStatus) -> i32 {
    match status.terminating_signal() {
        Some(signal) => -signal,
        None => status.exit_status().unwrap_or_default(),
    }
}

impl Call {
    /// Runs the function that the caller names; returns the exit code.
    ///
    /// # Errors
    /// Our package was not found, or raised.
    pub fn run(self, py: Python<'_>, config: &WorkerConfig) -> PyResult<i32> {
        session::begin(self.lifeline.as_fd())?;
        if has_hung_up(self.lifeline.as_fd()) {
            // The caller went before the kernel watched it.
            return Ok(0);
        }
        rustix::stdio::dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
        if let Some(output) = self.output {
            rustix::stdio::dup2_stdout(&output).map_err(io::Error::from)?;
            rustix::stdio::dup2_stderr(&output).map_err(io::Error::from)?;
        }
        // Both for the rest of this process's life: the lifeline is of use while it is open.
        std::mem::forget(self.lifeline);
        let connection = self.connection.into_raw_fd();
        let module = package::import(py, config.start.package.as_deref(), MODULE)?;
        let show = Py::new(
            py,
            Show {
                role: config.called("isolated"),
            },
        )?;
        module
            .call_method1(intern!(py, "forked"), (connection, show))?
            .extract()
    }
}
