//! Starting a worker process: the one place that knows the two ways of doing it.
//!
//! A Python with a shared library is loaded into this very executable, started again in its worker
//! mode ([`become_worker`]); a static Python is started itself. Either way the same Python lines
//! ([`BOOT`]) load the workers' shared object and hand it the control socket, and nothing after
//! them knows which way it was.

mod worker_mode;

use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Pid;

use crate::control::SupervisorEnd;
use crate::environment::{Environment, Linkage};
use crate::sys::process;

pub use worker_mode::{become_worker, is_worker};

/// What a worker's Python runs first.
const BOOT: &str = include_str!("boot.py");

/// The name of a worker in `ps`, for people.
const TITLE: &str = "lowmem-serve: worker";

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Their Python.
    pub environment: Environment,
    /// The shared object that they load.
    pub core: PathBuf,
    /// The directory of our Python package, which only some features need.
    pub package: Option<PathBuf>,
    /// Variables on top of this process's own.
    pub variables: Vec<(String, String)>,
}

impl Launch {
    /// Starts a worker, which waits for its first message on the control socket.
    pub fn start(&self) -> io::Result<(Pid, SupervisorEnd)> {
        let (ours, theirs) = SupervisorEnd::pair()?;
        let mut command = self.interpreter();
        command.arg(&self.core).arg(theirs.as_raw_fd().to_string());
        // The sockets that systemd has passed are this process's; no other may take them for its own.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let pid = process::start(command, theirs)?;
        Ok((pid, ours))
    }

    /// The command up to BOOT's own arguments.
    fn interpreter(&self) -> Command {
        let python = &self.environment.python;
        match &self.environment.linkage {
            Linkage::Shared(library) => worker_mode::command(library, python),
            Linkage::Static => {
                let mut command = Command::new(python);
                command.args(["-c", BOOT]);
                command
            }
        }
    }
}
