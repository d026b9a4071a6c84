//! The template of `--isolated-template`, seen from outside: a process that isolated calls are forked from.
//!
//! Workers have one end of the *calls socket*, the template reads the other; both are kept here, so that they
//! outlast workers and templates alike. While no template is ready this side looks at the socket: the first
//! packet has one started, and is declined like those that follow until it is ready, by closing what is attached.
//! Its caller then starts a fresh interpreter at once, and waits for nothing. So an application that makes no
//! call has no template, and one that sleeps has none either.
//!
//! A template that could not be made is tried again when modules may have changed: after SIGHUP, a change of
//! the source or of the settings, or when the application wakes up. One that ends later is made again by the next
//! call.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Pid;
use tracing::{debug, error, warn};

use crate::config::WorkerConfig;
use crate::control::{Channel, FromWorker, Received, SupervisorEnd, ToWorker, socket_pair};
use crate::launch::Launch;
use crate::sys::fork;
use crate::sys::process::{self, Ending};

#[derive(Debug)]
pub(super) struct IsolatedTemplate {
    /// The end that workers get.
    callers: OwnedFd,
    /// The end that the template gets; a packet has no content but its descriptors.
    packets: Channel<(), ()>,
    process: Option<Process>,
    has_failed: bool,
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    control: SupervisorEnd,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Importing,
    Ready,
    /// Its socket is closed; its end is reported by waitpid.
    Ending,
}

impl Process {
    /// Handles what it has said.
    fn hear(&mut self) {
        loop {
            self.stage = match (self.control.receive(), self.stage) {
                (Ok(Received::Nothing), _) => return,
                (Ok(Received::Message(FromWorker::Preloaded, _)), Stage::Importing) => {
                    debug!(
                        "The template for isolated calls (pid {}) is ready",
                        self.pid
                    );
                    Stage::Ready
                }
                (Ok(Received::Message(..)), stage) => stage,
                (Ok(Received::Closed) | Err(_), Stage::Ready) => return self.stage = Stage::Ending,
                (Ok(Received::Closed) | Err(_), _) => return,
            };
        }
    }
}

impl IsolatedTemplate {
    /// Nothing, if no module was named.
    pub(super) fn of(worker: &WorkerConfig) -> io::Result<Option<Box<Self>>> {
        if worker.application.isolated_template.is_empty() {
            return Ok(None);
        }
        // Calls that run when a template ends are taken in.
        fork::take_orphans_in()?;
        let (packets, callers) = socket_pair()?;
        Ok(Some(Box::new(Self {
            callers,
            packets: Channel::over(packets),
            process: None,
            has_failed: false,
        })))
    }

    /// The end for a worker.
    pub(super) fn callers(&self) -> BorrowedFd<'_> {
        self.callers.as_fd()
    }

    /// The descriptors to wait on.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        // A closed socket would wake the supervisor without end.
        let process = self.process.as_ref();
        let process = process.filter(|own| own.stage != Stage::Ending);
        let control = process.map(|own| own.control.as_fd());
        let packets = (!self.is_ready()).then(|| self.packets.as_fd());
        control.into_iter().chain(packets)
    }

    fn is_ready(&self) -> bool {
        let process = self.process.as_ref();
        process.is_some_and(|own| own.stage == Stage::Ready)
    }

    /// Handles what the template has said, and the calls that come while there is none.
    pub(super) fn turn(&mut self, launch: &Launch, worker: &WorkerConfig) {
        if let Some(process) = &mut self.process {
            process.hear();
        }
        if !self.is_ready() && self.decline() && self.process.is_none() && !self.has_failed {
            self.start(launch, worker);
        }
    }

    /// Declines the calls that wait; whether there was one.
    fn decline(&self) -> bool {
        let mut has_declined = false;
        while let Ok(Received::Message(..)) = self.packets.receive() {
            has_declined = true;
        }
        has_declined
    }

    fn start(&mut self, launch: &Launch, worker: &WorkerConfig) {
        let started = launch.start().and_then(|(pid, control)| {
            let first = ToWorker::Isolate(Box::new(worker.clone()));
            let sent = control.send(&first, &[self.packets.as_fd()]);
            sent.inspect_err(|_| process::kill(pid))?;
            Ok((pid, control))
        });
        match started {
            Ok((pid, control)) => {
                self.process = Some(Process {
                    pid,
                    control,
                    stage: Stage::Importing,
                });
            }
            Err(reason) => {
                self.has_failed = true;
                error!("Cannot start the template for isolated calls: {reason}");
            }
        }
    }

    /// A process has ended; whether it was the template.
    pub(super) fn ended(&mut self, pid: Pid, ending: Ending) -> bool {
        let Some(process) = self.process.take_if(|own| own.pid == pid) else {
            return false;
        };
        if process.stage != Stage::Importing {
            warn!(
                "The template for isolated calls (pid {pid}) {ending}; the next call has another one made."
            );
        } else {
            self.has_failed = true;
            error!(
                "The template for isolated calls (pid {pid}) {ending}; calls start fresh interpreters until the \
                 next SIGHUP."
            );
        }
        true
    }

    /// Modules may have changed. One that is there is followed by another at once; what is imported now is
    /// never mixed with what was before.
    pub(super) fn renew(&mut self, launch: &Launch, worker: &WorkerConfig) {
        self.has_failed = false;
        if self.process.take().is_some() {
            self.start(launch, worker);
        }
    }

    /// Ends it, as its socket closes; the next call makes another one.
    pub(super) fn end(&mut self) {
        self.has_failed = false;
        self.process = None;
    }
}
