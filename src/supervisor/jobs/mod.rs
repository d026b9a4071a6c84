//! Jobs and the queue: what runs when is decided by [`policy`] and [`life`], pure functions of what
//! happens and when; here it is done.
//!
//! A run is a process that serves nothing, in a session of its own ([`crate::sys::session`]): it
//! inherits no listener and no connection, is the first to go when memory is short, and ends with the
//! supervisor. There is one schedule, whatever the number of workers; nothing here knows them.

mod alarm;
mod answers;
mod due;
mod ending;
mod every;
mod life;
mod output;
mod plan;
mod policy;
mod queue;
mod run;
mod settings;
mod shown;
mod starting;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Pid;
use tracing::{error, info, warn};

use self::alarm::Alarm;
pub(super) use self::every::EveryJob;
use self::plan::Plan;
use self::policy::{Action, Cause, Event, Now};
use self::queue::{Claimed, Tasks};
use self::run::{Order, Run};
use self::shown::Results;
use self::starting::{Fork, Starting};
use crate::config::WorkerConfig;
use crate::control::RunConfig;
use crate::jobs::state::{Begun, StateDirectory};
use crate::jobs::{Outcome, Target, Why};
use crate::launch::Launch;
use crate::sys::process::Ending;

/// The jobs of an application, its queue, and what runs.
#[derive(Debug)]
pub(super) struct Jobs {
    /// The application, where there are several; the server's own have none.
    owner: Option<Arc<str>>,
    launch: Launch,
    worker: WorkerConfig,
    /// How long runs may take once the server, or the application, ends.
    grace: Duration,
    state: StateDirectory,
    plans: Vec<Plan>,
    tasks: Option<Tasks>,
    /// Runs of tasks that have ended.
    task_results: Results,
    runs: Vec<(Purpose, Run)>,
    /// Runs that the template should be asked for.
    wanted: Vec<(Purpose, Order)>,
    /// Runs that it was asked for.
    starting: Vec<Starting>,
    /// Processes that have ended meanwhile and are not known.
    strangers: Vec<(Pid, Ending)>,
    /// There was no template for the last run that should have been forked from one.
    is_without_template: bool,
    alarm: Alarm,
    /// Nothing starts by itself: its operator has stopped the application.
    is_paused: bool,
    shutdown: Option<Shutdown>,
    /// It has been opened, or a run has ended: what that took is not needed to wait.
    is_unsettled: bool,
}

/// The job or the task that a run belongs to.
#[derive(Debug)]
enum Purpose {
    /// The job with this name.
    Job(String),
    Task(Claimed),
}

/// Runs may end by themselves until then.
#[derive(Debug, Clone, Copy)]
struct Shutdown {
    ask_at: Instant,
    patience: Duration,
}

fn now() -> Now {
    Now {
        wall: Timestamp::now(),
        steady: Instant::now(),
    }
}

impl Jobs {
    /// Nothing starts by itself, or again.
    fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Whether nothing runs any more since the last call.
    fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.is_unsettled)
    }

    /// Does everything that has become due.
    fn turn(&mut self, fork: Fork<'_>) {
        let now = now();
        self.alarm.hear();
        self.hear_template(now);
        for (_, run) in &mut self.runs {
            run.turn(now.steady);
        }
        if let Some(tasks) = &mut self.tasks {
            tasks.turn(now.steady);
        }
        match self.shutdown {
            None if !self.is_paused => {
                self.on_all(Event::Tick, now);
                self.start_tasks(now);
            }
            Some(Shutdown { ask_at, patience }) if ask_at <= now.steady => {
                for (_, run) in &mut self.runs {
                    run.end_within(Why::Shutdown, patience, now.steady);
                }
            }
            _ => {}
        }
        self.ask_template(fork, now);
        self.tasks.take_if(|tasks| tasks.is_over());
        if let Err(reason) = self.alarm.set(self.due_by_wall()) {
            error!("Cannot set the timer of the jobs: {reason}");
        }
    }

    /// The place of a job in the list.
    fn at(&self, name: &str) -> Option<usize> {
        self.plans.iter().position(|plan| plan.job.name == name)
    }

    fn on_all(&mut self, event: Event, now: Now) {
        for at in 0..self.plans.len() {
            self.on(at, event, now);
        }
    }

    /// Tells a job's policy and does what it says.
    fn on(&mut self, at: usize, event: Event, now: Now) {
        let name = self.plans[at].job.name.clone();
        for action in self.plans[at].policy.on(event, now) {
            match action {
                Action::Start(cause) => self.start_job(at, cause, now),
                Action::End(why) => self.end(&name, why, now),
                Action::TellSkipped(due) => warn!(
                    "The job {name} still runs, so its time {due:.0} is skipped (overlap = \"skip\")."
                ),
                Action::TellRetry(pause) => {
                    info!("The job {name} is tried again in {}s.", pause.as_secs());
                }
            }
        }
    }

    /// Ends the run of a job, also one that is being started.
    fn end(&mut self, name: &str, why: Why, now: Now) {
        let own = |purpose: &Purpose| matches!(purpose, Purpose::Job(own) if own == name);
        let runs = self.runs.iter_mut().filter(|(purpose, _)| own(purpose));
        runs.for_each(|(_, run)| run.end(why, now.steady));
        self.abandon(why, own);
    }

    fn start_job(&mut self, at: usize, cause: Cause, now: Now) {
        let plan = &mut self.plans[at];
        plan.number += 1;
        plan.running = Some(Begun {
            run: plan.number,
            due: cause.due,
            started: now.wall,
            attempt: cause.attempt,
        });
        let job = plan.job.clone();
        let run = plan.number.to_string();
        // Before it starts: should the server end now, the run counts as begun.
        self.keep(&self.plans[at]);
        let order = Order {
            config: self.run_config(&job.target),
            target: job.target,
            limits: job.limits,
            start: job.start,
            job: job.name.clone(),
            run,
            attempt: cause.attempt,
            due: cause.due,
        };
        self.begin(Purpose::Job(job.name), order, now);
    }

    fn start_tasks(&mut self, now: Now) {
        while let Some(tasks) = &mut self.tasks {
            let Some(task) = tasks.claim(millis(now)) else {
                return;
            };
            let target = Target::Function(task.run.clone());
            let (limits, start) = (tasks.settings.limits, tasks.settings.start);
            let result = tasks.result_file(&task.id);
            let order = Order {
                config: RunConfig {
                    task: Some(task.file.clone()),
                    result: Some(result),
                    ..self.run_config(&target)
                },
                target,
                limits,
                start,
                job: task.run.clone(),
                run: task.id.clone(),
                attempt: task.attempt,
                due: None,
            };
            self.begin(Purpose::Task(task), order, now);
        }
    }

    fn start_fresh(&mut self, purpose: Purpose, order: &Order, now: Now) {
        match Run::fresh(&self.launch, order, now) {
            Ok(run) => self.started(purpose, run),
            Err(reason) => self.not_started(purpose, order, &reason, now),
        }
    }

    fn started(&mut self, purpose: Purpose, run: Run) {
        if let Purpose::Job(job) = &purpose {
            let pid = run.pid.as_raw_nonzero();
            info!(job, run = run.name, "Started [{pid}]");
        }
        self.runs.push((purpose, run));
    }

    fn not_started(&mut self, purpose: Purpose, order: &Order, reason: &io::Error, now: Now) {
        match &purpose {
            Purpose::Job(name) => error!("The job {name} cannot be started: {reason}"),
            Purpose::Task(task) => error!("The task {} cannot be started: {reason}", task.id),
        }
        self.came_to_nothing(purpose, order, Outcome::NotStarted, now);
    }

    fn run_config(&self, target: &Target) -> RunConfig {
        RunConfig {
            worker: self.worker.clone(),
            function: match target {
                Target::Function(name) => name.clone(),
                Target::Command(_) => String::new(),
            },
            task: None,
            result: None,
            variables: Vec::new(),
        }
    }

    /// Whether nothing runs.
    fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    fn keep(&self, plan: &Plan) {
        if let Err(reason) = self.state.keep(&plan.job.name, &plan.kept()) {
            error!(
                "What is known of the job {} cannot be kept: {reason}. After a restart it may run \
                 again, or not.",
                plan.job.name
            );
        }
    }
}

fn millis(now: Now) -> i64 {
    now.wall.as_millisecond()
}
