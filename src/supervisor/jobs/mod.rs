//! Jobs and the queue: what runs when is decided by [`policy`] and [`life`], pure functions of what
//! happens and when; here it is done.
//!
//! A run is a process that serves nothing, in a session of its own ([`crate::sys::session`]): it
//! inherits no listener and no connection, is the first to go when memory is short, and ends with the
//! supervisor. There is one schedule, whatever the number of workers; nothing here knows them.

mod alarm;
mod answers;
mod life;
mod output;
mod policy;
mod queue;
mod run;
mod shown;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rustix::process::Pid;
use tracing::{error, info, warn};

use self::alarm::Alarm;
use self::policy::{Action, Cause, Event, Now, Policy};
use self::queue::{Claimed, Tasks};
use self::run::{Order, Run};
use self::shown::{Results, last_success};
use crate::config::WorkerConfig;
use crate::control::RunConfig;
use crate::figures::Megabytes;
use crate::jobs::state::{Begun, Kept, MOST_RECORDS, StateDirectory};
use crate::jobs::{Job, Limits, Outcome, Record, Settings, Target, Why};
use crate::launch::Launch;
use crate::sys::process::Ending;

/// Of the time that the server has to end, what runs have to end after they were asked to.
const SHARE_TO_END: u32 = 4;
const MOST_TO_END: Duration = Duration::from_secs(2);

/// All jobs of the server, the queue, and what runs.
#[derive(Debug)]
pub(super) struct Jobs {
    launch: Launch,
    worker: WorkerConfig,
    state: StateDirectory,
    plans: Vec<Plan>,
    tasks: Option<Tasks>,
    /// Runs of tasks that have ended.
    task_results: Results,
    runs: Vec<(Purpose, Run)>,
    alarm: Alarm,
    shutdown: Option<Shutdown>,
    /// It has been opened, or a run has ended: what that took is not needed to wait.
    is_unsettled: bool,
}

/// A job, and what is known of it.
#[derive(Debug)]
struct Plan {
    job: Job,
    policy: Policy,
    /// The number of its last run.
    number: u64,
    running: Option<Begun>,
    records: Vec<Record>,
    /// Runs that have ended since the server was started.
    results: Results,
    /// When a run was last done, in seconds since 1970.
    last_success: Option<f64>,
}

/// What a run is for.
#[derive(Debug)]
enum Purpose {
    /// The job with this place in the list.
    Job(usize),
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
    /// Prepares what the settings name; nothing, if they name nothing.
    ///
    /// # Errors
    /// The state directory cannot be used.
    pub(super) fn open(
        settings: &Settings,
        worker: WorkerConfig,
        launch: &Launch,
    ) -> io::Result<Option<Self>> {
        let Some(directory) = settings.state.as_deref().filter(|_| !settings.is_empty()) else {
            return Ok(None);
        };
        let state = StateDirectory::open(directory).map_err(io::Error::other)?;
        let now = now();
        let queue = settings.queue.clone();
        let tasks = queue
            .map(|queue| Tasks::open(queue, &state, now.steady))
            .transpose()?;
        let plans = settings.jobs.iter().map(|job| Plan::new(job, &state, now));
        let jobs = Self {
            launch: launch.clone(),
            worker,
            plans: plans.collect(),
            state,
            tasks,
            task_results: Results::default(),
            runs: Vec::new(),
            alarm: Alarm::new()?,
            shutdown: None,
            is_unsettled: true,
        };
        for at in 0..jobs.plans.len() {
            jobs.keep(at);
        }
        info!("{}", jobs.summary());
        Ok(Some(jobs))
    }

    /// `2 jobs and a queue; next: reindex at …`
    fn summary(&self) -> String {
        let jobs = match self.plans.len() {
            0 => "No job".to_owned(),
            1 => "1 job".to_owned(),
            several => format!("{several} jobs"),
        };
        let queue = if self.tasks.is_some() {
            " and a queue"
        } else {
            ""
        };
        let dues = self
            .plans
            .iter()
            .filter_map(|plan| Some((plan.policy.due()?, &plan.job.name)));
        match dues.min() {
            Some((due, name)) => format!("{jobs}{queue}; next: {name} at {due:.0}"),
            None => format!("{jobs}{queue}"),
        }
    }

    /// Whether nothing runs any more since the last call.
    pub(super) fn take_unsettled(&mut self) -> bool {
        std::mem::take(&mut self.is_unsettled)
    }

    /// Does everything that has become due.
    pub(super) fn turn(&mut self) {
        let now = now();
        self.alarm.hear();
        for (_, run) in &mut self.runs {
            run.turn(now.steady);
        }
        if let Some(tasks) = &mut self.tasks {
            tasks.turn(now.steady);
        }
        match self.shutdown {
            None => {
                for at in 0..self.plans.len() {
                    self.on(at, Event::Tick, now);
                }
                self.start_tasks(now);
            }
            Some(Shutdown { ask_at, patience }) if ask_at <= now.steady => {
                for (_, run) in &mut self.runs {
                    run.end_within(Why::Shutdown, patience, now.steady);
                }
            }
            Some(_) => {}
        }
        if let Err(reason) = self.alarm.set(self.due_by_wall()) {
            error!("Cannot set the timer of the jobs: {reason}");
        }
    }

    /// Handles the end of a process, if it was a run's; whether it was.
    pub(super) fn ended(&mut self, pid: Pid, ending: Ending) -> bool {
        let Some(at) = self.runs.iter().position(|(_, run)| run.pid == pid) else {
            return false;
        };
        self.is_unsettled = self.runs.len() == 1;
        let now = now();
        let (purpose, run) = self.runs.swap_remove(at);
        let target = run.target.clone();
        let record = run.finish(ending, now);
        match purpose {
            Purpose::Job(at) => self.job_ended(at, record, now),
            Purpose::Task(task) => {
                self.task_results.add(record.outcome);
                let tasks = self.tasks.as_mut();
                let next = tasks.and_then(|tasks| tasks.ended(&task, record.outcome, millis(now)));
                tell(&target, &record, next.as_deref());
            }
        }
        true
    }

    fn job_ended(&mut self, at: usize, record: Record, now: Now) {
        let plan = &mut self.plans[at];
        let outcome = record.outcome;
        // A run that the end of the server has cut short is made up for by the next server.
        if outcome != Outcome::Ended(Why::Shutdown) {
            plan.running = None;
        } else if let Some(begun) = &mut plan.running {
            // It was not its fault, so that the attempt does not count.
            begun.attempt -= 1;
        }
        plan.add(record.clone());
        self.keep(at);
        tell(&self.plans[at].job.name, &record, None);
        self.on(at, Event::Ended(outcome), now);
    }

    /// Tells a job's policy and does what it says.
    fn on(&mut self, at: usize, event: Event, now: Now) {
        for action in self.plans[at].policy.on(event, now) {
            let name = self.plans[at].job.name.as_str();
            match action {
                Action::Start(cause) => self.start_job(at, cause, now),
                Action::End(why) => {
                    let runs = self.runs.iter_mut();
                    let own =
                        |purpose: &Purpose| matches!(purpose, Purpose::Job(own) if *own == at);
                    for (_, run) in runs.filter(|(purpose, _)| own(purpose)) {
                        run.end(why, now.steady);
                    }
                }
                Action::TellSkipped(due) => warn!(
                    "The job {name} still runs, so its time {due:.0} is skipped (overlap = \"skip\")."
                ),
                Action::TellRetry(pause) => {
                    info!("The job {name} is tried again in {}s.", pause.as_secs());
                }
            }
        }
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
        let name = plan.job.name.clone();
        let (target, limits, run) = (plan.job.target.clone(), plan.job.limits, plan.number);
        // Before it starts: should the server end now, the run counts as begun.
        self.keep(at);
        let order = Order {
            limits,
            job: &name,
            run: run.to_string(),
            attempt: cause.attempt,
            due: cause.due,
            config: self.run_config(&target),
            target: &target,
        };
        match Run::start(&self.launch, order, now) {
            Ok(run) => {
                info!(
                    job = name,
                    run = run.name,
                    "Started [{}]",
                    run.pid.as_raw_nonzero()
                );
                self.runs.push((Purpose::Job(at), run));
            }
            Err(reason) => {
                error!("The job {name} cannot be started: {reason}");
                let record = not_started(run.to_string(), cause.due, cause.attempt, now);
                self.job_ended(at, record, now);
            }
        }
    }

    fn start_tasks(&mut self, now: Now) {
        while let Some(tasks) = &mut self.tasks {
            let Some(task) = tasks.claim(millis(now)) else {
                return;
            };
            let target = Target::Function(task.run.clone());
            let (limits, result) = (tasks.settings.limits, tasks.result_file(&task.id));
            let config = RunConfig {
                task: Some(task.file.clone()),
                result: Some(result),
                ..self.run_config(&target)
            };
            self.start_task(task, &target, limits, config, now);
        }
    }

    fn start_task(
        &mut self,
        task: Claimed,
        target: &Target,
        limits: Limits,
        config: RunConfig,
        now: Now,
    ) {
        let order = Order {
            target,
            limits,
            job: &task.run,
            run: task.id.clone(),
            attempt: task.attempt,
            due: None,
            config,
        };
        match Run::start(&self.launch, order, now) {
            Ok(run) => self.runs.push((Purpose::Task(task), run)),
            Err(reason) => {
                error!("The task {} cannot be started: {reason}", task.id);
                self.task_results.add(Outcome::NotStarted);
                if let Some(tasks) = &mut self.tasks {
                    tasks.ended(&task, Outcome::NotStarted, millis(now));
                }
            }
        }
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
        }
    }

    /// The server ends: nothing starts any more, and what runs may take this time.
    pub(super) fn shut_down(&mut self, grace: Duration) {
        if self.shutdown.is_some() {
            return;
        }
        let now = now();
        let patience = (grace / SHARE_TO_END).min(MOST_TO_END);
        let ask_at = now.steady + (grace - patience);
        self.shutdown = Some(Shutdown { ask_at, patience });
        for at in 0..self.plans.len() {
            self.on(at, Event::Shutdown, now);
        }
        if !self.runs.is_empty() {
            info!("Waiting for {} run(s) to complete.", self.runs.len());
        }
    }

    /// The server ends at once.
    pub(super) fn kill_all(&mut self) {
        self.shut_down(Duration::ZERO);
        for (_, run) in &mut self.runs {
            run.kill(Why::Shutdown);
        }
    }

    /// Whether nothing runs.
    pub(super) fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// What to wait on.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let queue = self.tasks.as_ref().map(AsFd::as_fd);
        let outputs = self.runs.iter().filter_map(|(_, run)| run.source());
        std::iter::once(self.alarm.as_fd())
            .chain(queue)
            .chain(outputs)
    }

    /// When [`Self::turn`] is due, but for the times of the wall clock.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let runs = self.runs.iter().map(|(_, run)| run.next_deadline());
        let retries = self.plans.iter().filter_map(|plan| plan.policy.retry_at());
        let tidy = self.tasks.as_ref().map(Tasks::tidy_at);
        let asks = self.shutdown.map(|shutdown| shutdown.ask_at);
        // After that the runs themselves have deadlines.
        let asks = asks.filter(|ask_at| *ask_at > Instant::now());
        runs.chain(retries).chain(tidy).chain(asks).min()
    }

    fn due_by_wall(&self) -> Option<Timestamp> {
        if self.shutdown.is_some() {
            return None;
        }
        let jobs = self.plans.iter().filter_map(|plan| plan.policy.due());
        let task = self.tasks.as_ref().and_then(Tasks::due);
        let task = task.and_then(|due| Timestamp::from_millisecond(due).ok());
        jobs.chain(task).min()
    }

    fn keep(&self, at: usize) {
        let plan = &self.plans[at];
        if let Err(reason) = self.state.keep(&plan.job.name, &plan.kept()) {
            error!(
                "What is known of the job {} cannot be kept: {reason}. After a restart it may run \
                 again, or not.",
                plan.job.name
            );
        }
    }
}

impl Plan {
    fn new(job: &Job, state: &StateDirectory, now: Now) -> Self {
        let kept = state.kept(&job.name);
        let mut plan = Self {
            job: job.clone(),
            policy: Policy::new(job, kept.as_ref(), now),
            number: kept.as_ref().map_or(0, |kept| kept.number),
            running: None,
            records: kept
                .as_ref()
                .map(|kept| kept.records.clone())
                .unwrap_or_default(),
            results: Results::default(),
            last_success: None,
        };
        plan.last_success = last_success(&plan.records);
        let begun = kept.and_then(|kept| kept.running);
        if let Some(begun) = begun.filter(|begun| !plan.has_record_of(begun)) {
            let record = Record {
                run: begun.run.to_string(),
                due: begun.due,
                started: begun.started,
                took: 0.0,
                peak: 0,
                attempt: begun.attempt,
                outcome: Outcome::Interrupted,
            };
            plan.add(record);
        }
        plan
    }

    fn has_record_of(&self, begun: &Begun) -> bool {
        let run = begun.run.to_string();
        self.records.iter().any(|record| record.run == run)
    }

    fn add(&mut self, record: Record) {
        self.results.add(record.outcome);
        self.last_success = last_success(std::slice::from_ref(&record)).or(self.last_success);
        self.records.push(record);
        let surplus = self.records.len().saturating_sub(MOST_RECORDS);
        self.records.drain(..surplus);
    }

    fn kept(&self) -> Kept {
        Kept {
            schedule: self.job.schedule.to_string(),
            anchor: self.policy.anchor(),
            next: self.policy.planned(),
            seen: self.policy.seen(),
            number: self.number,
            running: self.running,
            records: self.records.clone(),
        }
    }
}

fn not_started(run: String, due: Option<Timestamp>, attempt: u32, now: Now) -> Record {
    Record {
        run,
        due,
        started: now.wall,
        took: 0.0,
        peak: 0,
        attempt,
        outcome: Outcome::NotStarted,
    }
}

fn millis(now: Now) -> i64 {
    now.wall.as_millisecond()
}

/// The line about a run that has ended.
fn tell(job: &str, record: &Record, next: Option<&str>) {
    let (run, took, peak) = (record.run.as_str(), record.took, Megabytes(record.peak));
    let outcome = record.outcome;
    match next {
        _ if outcome.is_done() => info!(job, run, "Done in {took:.2}s, peak {peak} MB"),
        Some(next) => error!(
            job,
            run, "The run {outcome} after {took:.2}s, peak {peak} MB; {next}"
        ),
        None => error!(
            job,
            run, "The run {outcome} after {took:.2}s, peak {peak} MB"
        ),
    }
}
