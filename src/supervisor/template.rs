//! The template, seen from outside: where workers come from with `--preload`, `--reload` and
//! `--keep-template`.
//!
//! It is a process like a worker's, started in the same way, with a control socket of its own; the
//! supervisor stays without Python. A worker that is needed waits here until the template has
//! imported the application; then the template forks, reports the pid, and the worker, a
//! child of the supervisor's like any other ([`crate::sys::fork`]), gets its configuration. Before
//! that it does nothing, so that none can end unnoticed.
//!
//! A template that ends before it is ready takes the workers that wait with it: to the pool they
//! ended as it did, and an import that raises is logged as without a template. One that ends
//! later is started again: at once if it had lived for a while, else when the next worker is needed.
//! Serving workers do not need it. SIGHUP renews it, since what it has imported may be outdated; the
//! old one stays until the new one is ready, and makes workers again if that cannot import the application.
//!
//! One that is learned ([`super::warm`]) is only a quicker start: no worker waits for it to be ready, and a
//! worker that it does not fork is started without it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tracing::{debug, error, warn};

use super::pool::WorkerId;
use crate::control::{FromWorker, Received, SupervisorEnd, ToWorker, Unfit};
use crate::launch::Launch;
use crate::sys::process::{self, Ending};

/// A template that was ready for this long is started again as soon as it ends.
const PROVEN: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Template {
    /// The first message to it.
    first: ToWorker,
    purpose: Purpose,
    process: Option<Process>,
    /// The one before it, which was ready, until this one is.
    previous: Option<Process>,
    /// Workers that wait for it to be ready.
    wanted: VecDeque<WorkerId>,
    /// The pid of the last one, which stands for workers that it took with it.
    last: Option<Pid>,
}

/// The purpose of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Every worker is forked by it.
    Preload,
    /// A worker is forked by it if it is ready.
    Learned,
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    control: SupervisorEnd,
    ready: Option<Instant>,
    /// The modules and packages that it has, if it has told.
    packages: Vec<String>,
    /// Workers that it was asked to fork, in this order.
    asked: VecDeque<WorkerId>,
    /// Of those that it was asked for first, so many are now wanted of another template.
    disowned: usize,
}

impl Process {
    /// Leaves to another template what it was asked for.
    fn disown(&mut self) -> VecDeque<WorkerId> {
        self.disowned += self.asked.len();
        std::mem::take(&mut self.asked)
    }
}

/// The result for a worker that was wanted.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It has this pid, and waits for its configuration.
    Forked(WorkerId, Pid),
    /// There is none.
    Lost(WorkerId, Ending),
    /// There is none, and it should be started without a template.
    Declined(WorkerId),
    /// The template cannot be made.
    Unfit(Unfit),
}

impl Outcome {
    /// The worker that it is about.
    pub(super) fn worker(&self) -> Option<WorkerId> {
        match self {
            Self::Forked(id, _) | Self::Lost(id, _) | Self::Declined(id) => Some(*id),
            Self::Unfit(_) => None,
        }
    }
}

impl Purpose {
    /// The result for a worker that the template does not fork.
    fn lost(self, id: WorkerId, ending: Ending) -> Outcome {
        match self {
            Self::Preload => Outcome::Lost(id, ending),
            Self::Learned => Outcome::Declined(id),
        }
    }
}

impl Template {
    pub(super) fn new(first: ToWorker, purpose: Purpose) -> Self {
        Self {
            first,
            purpose,
            process: None,
            previous: None,
            wanted: VecDeque::new(),
            last: None,
        }
    }

    /// The next process gets another first message.
    pub(super) fn take(&mut self, first: ToWorker) {
        self.first = first;
    }

    /// Whether the next worker should come from it.
    pub(super) fn should_fork(&self) -> bool {
        let process = self.process.as_ref();
        self.purpose == Purpose::Preload || process.is_some_and(|own| own.ready.is_some())
    }

    /// The modules and packages that it has, if it has told.
    pub(super) fn packages(&self) -> impl Iterator<Item = &str> {
        let packages = self.process.iter().flat_map(|own| &own.packages);
        packages.map(String::as_str)
    }

    /// Asks for the process of a run, if the template is ready: an answer comes over the second of these
    /// descriptors, or it is closed. One that was replaced, and waits for its successor, is not asked: what
    /// it has imported is outdated.
    pub(super) fn fork_run(&self, descriptors: &[BorrowedFd<'_>]) -> bool {
        let process = self.process.as_ref().filter(|own| own.ready.is_some());
        process.is_some_and(|own| own.control.send(&ToWorker::ForkRun, descriptors).is_ok())
    }

    /// Adds a worker to those that are wanted.
    pub(super) fn want(&mut self, launch: &Launch, id: WorkerId) -> io::Result<()> {
        if self.process.is_none() {
            self.start(launch)?;
        }
        self.wanted.push_back(id);
        Ok(())
    }

    /// Starts the template.
    pub(super) fn start(&mut self, launch: &Launch) -> io::Result<()> {
        let (pid, control) = launch.start()?;
        if let Err(reason) = control.send(&self.first, &[]) {
            error!("Cannot send its configuration to the template ({pid}): {reason}");
            process::kill(pid);
        }
        self.last = Some(pid);
        self.process = Some(Process {
            pid,
            control,
            ready: None,
            packages: Vec::new(),
            asked: VecDeque::new(),
            disowned: 0,
        });
        Ok(())
    }

    /// Asks for each worker that waits, if the template is ready; gives their control sockets.
    pub(super) fn ask(&mut self) -> Vec<(WorkerId, SupervisorEnd)> {
        let Some(process) = self.process.as_mut().filter(|own| own.ready.is_some()) else {
            return Vec::new();
        };
        let mut asked = Vec::new();
        while let Some(id) = self.wanted.pop_front() {
            let sent = SupervisorEnd::pair().and_then(|(ours, theirs)| {
                process.control.send(&ToWorker::Fork, &[theirs.as_fd()])?;
                Ok(ours)
            });
            match sent {
                Ok(ours) => {
                    process.asked.push_back(id);
                    asked.push((id, ours));
                }
                Err(reason) => {
                    error!(
                        "Cannot ask the template ({}) for a worker: {reason}",
                        process.pid
                    );
                    // Its end brings everything that waits to one, too.
                    process::kill(process.pid);
                    self.wanted.push_front(id);
                    break;
                }
            }
        }
        asked
    }

    /// The outcomes that it has reported since the last call.
    pub(super) fn heard(&mut self) -> Vec<Outcome> {
        let Some(process) = &mut self.process else {
            return Vec::new();
        };
        let mut outcomes = Vec::new();
        while let Ok(Received::Message(message, _)) = process.control.receive() {
            match message {
                FromWorker::Packages(packages) => process.packages = packages,
                FromWorker::Preloaded => {
                    debug!("The template (pid {}) is ready", process.pid);
                    process.ready = Some(Instant::now());
                    // The socket of the one before it closes, which ends it.
                    self.previous = None;
                }
                // Its socket is closed already, so that it ends.
                FromWorker::Forked(_) if process.disowned > 0 => process.disowned -= 1,
                FromWorker::Forked(pid) => {
                    let Some(id) = process.asked.pop_front() else {
                        continue;
                    };
                    outcomes.push(match pid.and_then(Pid::from_raw) {
                        Some(pid) => Outcome::Forked(id, pid),
                        None => self.purpose.lost(id, Ending::Code(127)),
                    });
                }
                FromWorker::Unfit(unfit) => outcomes.push(Outcome::Unfit(unfit)),
                _ => error!("The template ({}) sent a message out of place", process.pid),
            }
        }
        outcomes
    }

    /// A process has ended; if it was the template, the workers that waited for it have none.
    pub(super) fn ended(
        &mut self,
        launch: &Launch,
        pid: Pid,
        ending: Ending,
    ) -> Option<Vec<Outcome>> {
        if self.previous.take_if(|own| own.pid == pid).is_some() {
            return Some(Vec::new());
        }
        let process = self.process.take_if(|own| own.pid == pid)?;
        let proven = process.ready.is_some_and(|since| since.elapsed() >= PROVEN);
        let is_restarted = self.purpose == Purpose::Preload;
        if process.ready.is_some() && is_restarted {
            error!("The template (pid {pid}) {ending}; another one is made of the application.");
        }
        let waited = process.asked.into_iter().chain(self.wanted.drain(..));
        let lost = waited.map(|id| self.purpose.lost(id, ending)).collect();
        if let Some(previous) = self.previous.take() {
            warn!(
                "The new template (pid {pid}) {ending}; workers come from the one before it (pid {}) until the next SIGHUP.",
                previous.pid
            );
            self.last = Some(previous.pid);
            self.process = Some(previous);
        } else if proven
            && is_restarted
            && let Err(reason) = self.start(launch)
        {
            error!("Cannot start a template: {reason}");
        }
        Some(lost)
    }

    /// Replaces the template. Workers that it has not forked yet are wanted of the new one; their
    /// sockets are of no use any more. Without a template there is nothing to replace.
    pub(super) fn renew(&mut self, launch: &Launch) -> Vec<WorkerId> {
        let Some(mut old) = self.process.take() else {
            return Vec::new();
        };
        let disowned = old.disown();
        for id in disowned.iter().rev() {
            self.wanted.push_front(*id);
        }
        // One that is not ready ends, as its socket closes; the one before it stays where it is.
        if old.ready.is_some() {
            self.previous = Some(old);
        }
        if let Err(reason) = self.start(launch) {
            error!("Cannot start a template: {reason}");
            self.process = self.previous.take();
        }
        disowned.into()
    }

    /// Ends it by closing its socket, without a wait for its end.
    pub(super) fn end(&mut self) {
        (self.process, self.previous) = (None, None);
    }

    /// Ends it, as its socket closes; the workers that it has not forked.
    pub(super) fn retire(self) -> Vec<WorkerId> {
        let asked = self.process.map(|own| own.asked).unwrap_or_default();
        asked.into_iter().chain(self.wanted).collect()
    }

    /// A worker is wanted no more.
    pub(super) fn forget(&mut self, id: WorkerId) {
        self.wanted.retain(|wanted| *wanted != id);
    }

    /// Ends a template that keeps a worker waiting for too long.
    pub(super) fn kill(&self) {
        if let Some(process) = &self.process {
            process::kill(process.pid);
        }
    }

    /// Its pid, or that of the one that was there.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.last
    }

    /// The socket to wait on.
    pub(super) fn control(&self) -> Option<&SupervisorEnd> {
        self.process.as_ref().map(|process| &process.control)
    }
}
