//! A run's processes, from their start to the end of the last one.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::{Pid, Signal};
use tracing::{debug, warn};

use super::life::{Blow, Life};
use super::output::Output;
use super::policy::Now;
use crate::control::{RunConfig, SupervisorEnd, ToWorker};
use crate::jobs::{Limits, Outcome, Record, Start, Target, Why};
use crate::launch::Launch;
use crate::sys::process::Ending;
use crate::sys::{session, weight};

/// The first look at a run's memory; short runs are the rule.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// A look follows after so many times what the last one took, so that looking costs a hundredth.
const LOOK_SHARE: u32 = 100;

/// But at least so often: for the limit to hold, or for the figure of its peak.
const LONGEST_LOOK_AT_LIMIT: Duration = Duration::from_millis(500);
const LONGEST_LOOK: Duration = Duration::from_secs(2);
const SHORTEST_LOOK: Duration = Duration::from_millis(50);

/// The order of a run.
#[derive(Debug)]
pub(super) struct Order {
    pub target: Target,
    pub limits: Limits,
    pub start: Start,
    /// The job's name, or the task's function: what log lines are marked with.
    pub job: String,
    /// The run's number, or the task's id.
    pub run: String,
    pub attempt: u32,
    pub due: Option<Timestamp>,
    /// The process's message, without a target of its own.
    pub config: RunConfig,
}

impl Order {
    /// The record of a run that came to nothing.
    pub(super) fn without_run(&self, outcome: Outcome, now: Now) -> Record {
        Record {
            run: self.run.clone(),
            due: self.due,
            started: now.wall,
            took: 0.0,
            peak: 0,
            attempt: self.attempt,
            outcome,
        }
    }

    fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("LOWMEM_SERVE_JOB", self.job.clone()),
            ("LOWMEM_SERVE_RUN", self.run.clone()),
            ("LOWMEM_SERVE_ATTEMPT", self.attempt.to_string()),
        ]
    }
}

/// The supervisor's ends of the descriptors that the process gets.
#[derive(Debug)]
pub(super) struct Parts {
    pub control: SupervisorEnd,
    pub lifeline: OwnedFd,
    pub output: Output,
}

/// Tells a process what to run. It is read though this end is closed then.
fn tell(pid: Pid, control: &SupervisorEnd, config: RunConfig) -> io::Result<()> {
    let told = control.send(&ToWorker::Run(Box::new(config)), &[]);
    told.inspect_err(|_| session::signal(pid, Signal::KILL))
}

/// A live run.
#[derive(Debug)]
pub(super) struct Run {
    pub name: String,
    pub target: String,
    pub attempt: u32,
    pub due: Option<Timestamp>,
    pub pid: Pid,
    pub began: Now,
    pub peak: u64,
    pub life: Life,
    max_memory: Option<u64>,
    /// Its session has to be made so much nicer.
    to_lower: Option<i32>,
    look_at: Instant,
    output: Output,
    /// All of it ends when this is closed.
    _lifeline: OwnedFd,
}

impl Run {
    /// Starts a fresh process.
    pub(super) fn fresh(launch: &Launch, order: &Order, now: Now) -> io::Result<Self> {
        let (output, writer) = Output::new(&order.job, &order.run)?;
        let (theirs, lifeline) = session::lifeline()?;
        let variables = order.variables();
        let pid = match &order.target {
            Target::Command(words) => {
                let directory = &order.config.worker.application.directory;
                let pid = launch.start_program(words, directory, &variables, theirs, writer)?;
                session::lower(pid, order.limits.nice);
                pid
            }
            Target::Function(_) => {
                let (pid, control) = launch.start_run(&variables, theirs, writer)?;
                // Before it begins with its work.
                session::lower(pid, order.limits.nice);
                tell(pid, &control, order.config.clone())?;
                pid
            }
        };
        Ok(Self::of(order, pid, output, lifeline, now))
    }

    /// A process that a template has forked, which waits for what it should run.
    pub(super) fn forked(order: &Order, pid: Pid, parts: Parts, began: Now) -> io::Result<Self> {
        let variables = order.variables().into_iter();
        let config = RunConfig {
            variables: variables
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            ..order.config.clone()
        };
        session::lower(pid, order.limits.nice);
        tell(pid, &parts.control, config)?;
        Ok(Self::of(order, pid, parts.output, parts.lifeline, began))
    }

    fn of(order: &Order, pid: Pid, output: Output, lifeline: OwnedFd, now: Now) -> Self {
        let nice = order.limits.nice;
        Self {
            to_lower: (nice != 0).then_some(nice),
            name: order.run.clone(),
            target: order.target.typed(),
            attempt: order.attempt,
            due: order.due,
            pid,
            began: now,
            peak: 0,
            life: Life::new(order.limits.timeout, now.steady),
            max_memory: order.limits.max_memory,
            look_at: now.steady + FIRST_LOOK,
            output,
            _lifeline: lifeline,
        }
    }

    /// Handles everything that has become due: log lines, the end of its time, a look at its memory.
    pub(super) fn turn(&mut self, now: Instant) {
        self.output.pass_on();
        let blow = self.life.tick(now);
        self.strike(blow);
        if self.look_at <= now {
            self.look();
        }
    }

    /// Weighs all of its processes together.
    fn look(&mut self) {
        let began = Instant::now();
        if self
            .to_lower
            .is_some_and(|nice| session::lower_session(self.pid, nice))
        {
            self.to_lower = None;
        }
        let members = session::members(self.pid);
        let own = members.into_iter().filter_map(weight::own).sum();
        self.peak = self.peak.max(own);
        if self.max_memory.is_some_and(|most| own > most) {
            let blow = self.life.kill(Why::Memory(own));
            self.strike(blow);
        }
        let took = began.elapsed();
        let longest = match self.max_memory {
            Some(_) => LONGEST_LOOK_AT_LIMIT,
            None => LONGEST_LOOK,
        };
        self.look_at = began + (took * LOOK_SHARE).clamp(SHORTEST_LOOK, longest);
    }

    pub(super) fn end(&mut self, why: Why, now: Instant) {
        let blow = self.life.end(why, now);
        self.strike(blow);
    }

    pub(super) fn end_within(&mut self, why: Why, patience: Duration, now: Instant) {
        let blow = self.life.end_within(why, patience, now);
        self.strike(blow);
    }

    pub(super) fn kill(&mut self, why: Why) {
        let blow = self.life.kill(why);
        self.strike(blow);
    }

    fn strike(&self, blow: Option<Blow>) {
        match blow {
            Some(Blow::Terminate) => session::signal(self.pid, Signal::TERM),
            Some(Blow::Kill) => session::signal(self.pid, Signal::KILL),
            None => {}
        }
    }

    /// The result, once its first process has ended. The others end with it.
    pub(super) fn finish(self, ending: Ending, now: Now) -> Record {
        session::signal(self.pid, Signal::KILL);
        let outcome = match (ending, self.life.why()) {
            (Ending::Code(0), _) => Outcome::Done,
            (_, Some(why)) => Outcome::Ended(why),
            (Ending::Code(code), None) => Outcome::Code(code),
            (Ending::Signal(number), None) => Outcome::Signal(number),
            (Ending::NoMemory(_), None) => {
                warn!("Run {} of {} {ending}", self.name, self.target);
                Outcome::Signal(libc::SIGKILL)
            }
        };
        self.output.finish();
        debug!("Run {} of {} {outcome}", self.name, self.target);
        Record {
            run: self.name,
            due: self.due,
            started: self.began.wall,
            took: now.steady.duration_since(self.began.steady).as_secs_f64(),
            peak: self.peak,
            attempt: self.attempt,
            outcome,
        }
    }

    pub(super) fn source(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.output.source()
    }

    pub(super) fn next_deadline(&self) -> Instant {
        let life = self.life.next_deadline();
        life.map_or(self.look_at, |deadline| deadline.min(self.look_at))
    }
}
