//! Runs that a template was asked for: between the asking and the pid, which takes milliseconds. A template that
//! does not answer in time costs the run that time, and nothing runs twice: a process that it forks later
//! finds its control socket closed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tracing::info;

use super::output::Output;
use super::policy::Now;
use super::run::{Order, Parts, Run};
use super::{Jobs, Purpose, now};
use crate::control::{Channel, Received, SupervisorEnd, socket_pair};
use crate::jobs::{Outcome, Start, Why};
use crate::sys::process::Ending;
use crate::sys::session;

/// How long a template may take to fork, which takes milliseconds where the machine has a processor for it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Asks the application's template, with these descriptors; whether there is one to be asked.
pub(super) type Fork<'a> = &'a dyn Fn(&[BorrowedFd<'_>]) -> bool;

/// Over it comes the pid.
type Status = Channel<(), i32>;

#[derive(Debug)]
pub(super) struct Starting {
    pub purpose: Purpose,
    order: Order,
    /// When it was begun.
    began: Now,
    until: Instant,
    status: Status,
    parts: Parts,
}

impl Starting {
    /// Asks for a process; nothing if there is no template, or no descriptor is left.
    fn ask(fork: Fork<'_>, order: &Order) -> io::Result<Option<(Status, Parts)>> {
        let (output, writer) = Output::new(&order.job, &order.run)?;
        let (reader, lifeline) = session::lifeline()?;
        let (control, theirs) = SupervisorEnd::pair()?;
        let (status, told) = socket_pair()?;
        let attached = [theirs.as_fd(), told.as_fd(), reader.as_fd(), writer.as_fd()];
        let parts = Parts {
            control,
            lifeline,
            output,
        };
        Ok(fork(&attached).then(|| (Status::over(status), parts)))
    }

    pub(super) fn source(&self) -> BorrowedFd<'_> {
        self.status.as_fd()
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

impl Jobs {
    /// Starts a run: at once, or by the template in this turn.
    pub(super) fn begin(&mut self, purpose: Purpose, order: Order, now: Now) {
        match order.start {
            Start::Fresh => self.start_fresh(purpose, &order, now),
            Start::Template => self.wanted.push((purpose, order)),
        }
    }

    /// Asks the template for the runs that are wanted of it.
    pub(super) fn ask_template(&mut self, fork: Fork<'_>, now: Now) {
        for (purpose, order) in std::mem::take(&mut self.wanted) {
            match Starting::ask(fork, &order) {
                Ok(Some((status, parts))) => self.starting.push(Starting {
                    purpose,
                    order,
                    began: now,
                    until: now.steady + PATIENCE,
                    status,
                    parts,
                }),
                Ok(None) | Err(_) => self.start_without_template(purpose, &order, now),
            }
        }
    }

    /// Handles what the template has answered, or has not in time.
    pub(super) fn hear_template(&mut self, now: Now) {
        for starting in std::mem::take(&mut self.starting) {
            match starting.status.receive() {
                Ok(Received::Message(pid, _)) => match Pid::from_raw(pid.max(0)) {
                    Some(pid) => self.forked(starting, pid, now),
                    None => self.start_without_template(starting.purpose, &starting.order, now),
                },
                Ok(Received::Nothing) if now.steady < starting.until => {
                    self.starting.push(starting)
                }
                // Everything of it closes.
                _ => self.start_without_template(starting.purpose, &starting.order, now),
            }
        }
        if self.starting.is_empty() {
            self.strangers.clear();
        }
    }

    fn forked(&mut self, starting: Starting, pid: Pid, now: Now) {
        self.is_without_template = false;
        let ended = self.strangers.iter().position(|(own, _)| *own == pid);
        let Starting {
            purpose,
            order,
            began,
            parts,
            ..
        } = starting;
        match Run::forked(&order, pid, parts, began) {
            Ok(run) => self.started(purpose, run),
            Err(reason) => return self.not_started(purpose, &order, &reason, now),
        }
        if let Some(at) = ended {
            let (pid, ending) = self.strangers.swap_remove(at);
            self.ended(pid, ending);
        }
    }

    fn start_without_template(&mut self, purpose: Purpose, order: &Order, now: Now) {
        // Said once, until there is one again.
        if !std::mem::replace(&mut self.is_without_template, true) {
            let (job, run) = (order.job.as_str(), order.run.as_str());
            info!(
                job,
                run, "No template is ready for start = \"template\"; starting fresh."
            );
        }
        self.start_fresh(purpose, order, now);
    }

    /// A process has ended that is not known: it may be one whose pid the template has not told yet.
    pub(super) fn note_stranger(&mut self, pid: Pid, ending: Ending) {
        if !self.starting.is_empty() {
            self.strangers.push((pid, ending));
        }
    }

    /// Those that are meant are not started any more.
    pub(super) fn abandon(&mut self, why: Why, is_meant: impl Fn(&Purpose) -> bool) {
        let now = now();
        let starting = std::mem::take(&mut self.starting);
        let (gone, kept): (Vec<_>, Vec<_>) =
            starting.into_iter().partition(|own| is_meant(&own.purpose));
        self.starting = kept;
        let wanted = std::mem::take(&mut self.wanted);
        let (unasked, kept): (Vec<_>, Vec<_>) = wanted
            .into_iter()
            .partition(|(purpose, _)| is_meant(purpose));
        self.wanted = kept;
        let gone = gone.into_iter().map(|own| (own.purpose, own.order));
        for (purpose, order) in gone.chain(unasked) {
            self.came_to_nothing(purpose, &order, Outcome::Ended(why), now);
        }
    }
}
