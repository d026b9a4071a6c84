//! Starting a worker process: the one place that knows the two ways of doing it.
//!
//! A Python with a shared library is loaded into this very executable, started again in its worker
//! mode ([`become_worker`]); a static Python is started itself. Either way the same Python lines
//! ([`BOOT`]) load the workers' shared object and hand it the control socket, and nothing after
//! them knows which way it was.

mod boot;
mod worker_mode;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Pid;

use crate::config::Place;
use crate::control::SupervisorEnd;
use crate::environment::{Environment, Linkage};
use crate::sys::user::User;
use crate::sys::{process, session};

use boot::{BOOT, WITHOUT_SITE};
pub use worker_mode::{become_worker, is_worker};

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
    /// Their working directory, if it is not this process's.
    pub directory: Option<PathBuf>,
    /// Their user, if it is not this process's.
    pub user: Option<User>,
    /// They begin as Python does without `site`: what is forked from them enters an environment of its own.
    pub without_site: bool,
}

impl Launch {
    /// The place that a process takes which is forked from a template of several applications.
    pub fn place(&self) -> Option<Place> {
        let directory = self.directory.clone()?;
        Some(Place {
            directory,
            variables: self.variables.clone(),
            python: self.environment.python.clone(),
        })
    }

    /// Starts a worker, which waits for its first message on the control socket.
    pub fn start(&self) -> io::Result<(Pid, SupervisorEnd)> {
        let (ours, theirs) = SupervisorEnd::pair()?;
        let command = self.command(&theirs);
        let pid = process::start(command, theirs, self.user.clone());
        Ok((pid.map_err(|error| self.explained(error))?, ours))
    }

    /// Starts a process for a run, in a session of its own, with further variables. It waits for its
    /// first message.
    pub fn start_run(
        &self,
        variables: &[(&str, String)],
        lifeline: OwnedFd,
        output: OwnedFd,
    ) -> io::Result<(Pid, SupervisorEnd)> {
        let (ours, theirs) = SupervisorEnd::pair()?;
        let mut command = self.command(&theirs);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        let pid = session::start(command, Some(theirs), lifeline, output, self.user.clone());
        Ok((pid.map_err(|error| self.explained(error))?, ours))
    }

    /// Starts another program for a run, in the same way.
    pub fn start_program(
        &self,
        words: &[String],
        directory: &Path,
        variables: &[(&str, String)],
        lifeline: OwnedFd,
        output: OwnedFd,
    ) -> io::Result<Pid> {
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory);
        self.surround(&mut command);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        session::start(command, None, lifeline, output, self.user.clone())
    }

    /// Names the directory that keeps its user from starting Python, or the place that this executable is started again
    /// by, if it is that.
    fn explained(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::NotFound && !Path::new("/proc/self").exists() {
            return io::Error::other("/proc is not mounted, and the server needs it");
        }
        let Some(user) = &self.user else {
            return error;
        };
        if error.kind() != io::ErrorKind::PermissionDenied {
            return error;
        }
        let python = &self.environment.python;
        let real = python.canonicalize().ok();
        let programs = [Some(python.as_path()), real.as_deref()];
        let programs = programs.into_iter().flatten().filter_map(Path::parent);
        let mut directories = programs.chain(self.directory.as_deref());
        match directories.find_map(|directory| user.reaches(directory).err()) {
            Some(closed) => io::Error::new(
                error.kind(),
                format!(
                    "user {} may not enter {}; give it the right to (chown or chmod), or choose another user",
                    user.name,
                    closed.display()
                ),
            ),
            None => error,
        }
    }

    fn command(&self, control: &OwnedFd) -> Command {
        let mut command = self.interpreter();
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command.arg(&self.core).arg(control.as_raw_fd().to_string());
        self.surround(&mut command);
        command
    }

    /// The environment of the application.
    fn surround(&self, command: &mut Command) {
        // The sockets that systemd has passed are this process's; no other may take them for its own.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// The command up to BOOT's own arguments.
    fn interpreter(&self) -> Command {
        let python = &self.environment.python;
        match &self.environment.linkage {
            Linkage::Shared(library) => worker_mode::command(library, python, self.without_site),
            Linkage::Static => {
                let mut command = Command::new(python);
                command.args(self.without_site.then_some(WITHOUT_SITE));
                command.args(["-c", BOOT]);
                command
            }
        }
    }
}
