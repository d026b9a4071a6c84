//! Jobs and the queue: what runs when is decided by [`policy`] and [`life`], pure functions of what
//! happens and when; here it is done.
//!
//! A run is a process that serves nothing, in a session of its own ([`crate::sys::session`]): it
//! inherits no listener and no connection, is the first to go when memory is short, and ends with the
//! supervisor. There is one schedule, whatever the number of workers; nothing here knows them.

mod alarm;
mod answers;
mod every;
mod life;
mod output;
mod plan;
mod policy;
mod queue;
mod run;
mod shown;
mod starting;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
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
use crate::config::{StartFacts, WorkerConfig};
use crate::control::RunConfig;
use crate::figures::Megabytes;
use crate::jobs::state::{Begun, StateDirectory};
use crate::jobs::{Outcome, Queue, Record, Target, Why};
use crate::launch::Launch;
use crate::supervisor::Work;
use crate::sys::process::Ending;

/// Of the time that the server has to end, what runs have to end after they were asked to.
const SHARE_TO_END: u32 = 4;
const MOST_TO_END: Duration = Duration::from_secs(2);

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

/// The configuration of a run: as a worker of the application, with what only the supervisor knows.
fn told(work: &Work) -> WorkerConfig {
    let start = StartFacts {
        package: work.launch.package.clone(),
        // For a process that is forked from a template which others share.
        place: work.launch.place(),
        ..StartFacts::default()
    };
    WorkerConfig {
        start,
        ..work.config.worker.clone()
    }
}

impl Jobs {
    /// Prepares what the settings name; nothing, if they name nothing.
    ///
    /// # Errors
    /// The state directory cannot be used.
    fn open(owner: Option<Arc<str>>, work: &Work) -> io::Result<Option<Self>> {
        let settings = &work.config.jobs;
        let Some(directory) = settings.state.as_deref().filter(|_| !settings.is_empty()) else {
            return Ok(None);
        };
        let state = StateDirectory::open(directory, work.launch.user.as_ref());
        let state = state.map_err(io::Error::other)?;
        let now = now();
        let queue = settings.queue.clone();
        let tasks = queue
            .map(|queue| Tasks::open(queue, &state, now.steady))
            .transpose()?;
        let plans = settings.jobs.iter().map(|job| Plan::new(job, &state, now));
        let jobs = Self {
            owner,
            launch: work.launch.clone(),
            worker: told(work),
            grace: work.config.worker.stop.grace,
            plans: plans.collect(),
            state,
            tasks,
            task_results: Results::default(),
            runs: Vec::new(),
            wanted: Vec::new(),
            starting: Vec::new(),
            strangers: Vec::new(),
            is_without_template: false,
            alarm: Alarm::new()?,
            is_paused: false,
            shutdown: None,
            is_unsettled: true,
        };
        jobs.plans.iter().for_each(|plan| jobs.keep(plan));
        info!("{}", jobs.summary());
        Ok(Some(jobs))
    }

    /// From now on other settings hold. What runs goes on as it was started.
    ///
    /// # Errors
    /// The queue cannot be opened.
    fn take(&mut self, work: &Work) -> io::Result<()> {
        let now = now();
        let settings = &work.config.jobs;
        self.launch = work.launch.clone();
        self.worker = told(work);
        self.grace = work.config.worker.stop.grace;
        let mut old = std::mem::take(&mut self.plans);
        for job in &settings.jobs {
            let known = old.iter().position(|plan| plan.job.name == job.name);
            let plan = match known.map(|at| old.remove(at)) {
                Some(mut plan) => {
                    plan.take(job, now);
                    plan
                }
                None => Plan::new(job, &self.state, now),
            };
            self.keep(&plan);
            self.plans.push(plan);
        }
        old.retain(|plan| plan.policy.is_running());
        old.iter_mut().for_each(|plan| plan.leave(now));
        self.plans.append(&mut old);
        self.take_queue(settings.queue.clone(), now)
    }

    fn take_queue(&mut self, queue: Option<Queue>, now: Now) -> io::Result<()> {
        match (&mut self.tasks, queue) {
            (Some(tasks), Some(queue)) => tasks.set(queue),
            (Some(tasks), None) => tasks.close(),
            (None, Some(queue)) => {
                self.tasks = Some(Tasks::open(queue, &self.state, now.steady)?);
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Nothing starts by itself, or again.
    fn pause(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
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

    /// Handles the end of a process, if it was a run's; whether it was.
    fn ended(&mut self, pid: Pid, ending: Ending) -> bool {
        let Some(at) = self.runs.iter().position(|(_, run)| run.pid == pid) else {
            self.note_stranger(pid, ending);
            return false;
        };
        self.is_unsettled = self.runs.len() == 1;
        let now = now();
        let (purpose, run) = self.runs.swap_remove(at);
        let target = run.target.clone();
        let record = run.finish(ending, now);
        match purpose {
            Purpose::Job(name) => self.job_ended(&name, record, now),
            Purpose::Task(task) => {
                self.task_results.add(record.outcome);
                let tasks = self.tasks.as_mut();
                let next = tasks.and_then(|tasks| tasks.ended(&task, record.outcome, millis(now)));
                tell(&target, &record, next.as_deref());
            }
        }
        true
    }

    fn job_ended(&mut self, name: &str, record: Record, now: Now) {
        let Some(at) = self.at(name) else {
            return;
        };
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
        // Before it is told: whatever follows the line finds the record.
        self.keep(&self.plans[at]);
        tell(name, &record, None);
        if self.plans[at].is_leaving {
            self.plans.remove(at);
        } else {
            self.on(at, Event::Ended(outcome), now);
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

    /// A run has no process.
    fn came_to_nothing(&mut self, purpose: Purpose, order: &Order, outcome: Outcome, now: Now) {
        match purpose {
            Purpose::Job(name) => self.job_ended(&name, order.without_run(outcome, now), now),
            Purpose::Task(task) => {
                self.task_results.add(outcome);
                if let Some(tasks) = &mut self.tasks {
                    tasks.ended(&task, outcome, millis(now));
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
            variables: Vec::new(),
        }
    }

    /// The server or the application ends: nothing starts any more, and what runs may take this time.
    fn shut_down(&mut self, grace: Duration) {
        if self.shutdown.is_some() {
            return;
        }
        let now = now();
        let patience = (grace / SHARE_TO_END).min(MOST_TO_END);
        let ask_at = now.steady + (grace - patience);
        self.shutdown = Some(Shutdown { ask_at, patience });
        self.on_all(Event::Shutdown, now);
        self.abandon(Why::Shutdown, |_| true);
        if !self.runs.is_empty() {
            info!("Waiting for {} run(s) to complete.", self.runs.len());
        }
    }

    /// The server ends at once.
    fn kill_all(&mut self) {
        self.shut_down(Duration::ZERO);
        for (_, run) in &mut self.runs {
            run.kill(Why::Shutdown);
        }
    }

    /// Whether nothing runs.
    fn is_idle(&self) -> bool {
        self.runs.is_empty()
    }

    /// The descriptors to wait on.
    fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let queue = self.tasks.as_ref().map(AsFd::as_fd);
        let outputs = self.runs.iter().filter_map(|(_, run)| run.source());
        std::iter::once(self.alarm.as_fd())
            .chain(queue)
            .chain(self.starting.iter().map(Starting::source))
            .chain(outputs)
    }

    /// When [`Self::turn`] is due, but for the times of the wall clock.
    fn next_deadline(&self) -> Option<Instant> {
        let runs = self.runs.iter().map(|(_, run)| run.next_deadline());
        let plans = self.plans.iter().filter(|_| !self.is_paused);
        let retries = plans.filter_map(|plan| plan.policy.retry_at());
        let tidy = self.tasks.as_ref().map(Tasks::tidy_at);
        let asks = self.shutdown.map(|shutdown| shutdown.ask_at);
        // After that the runs themselves have deadlines.
        let asks = asks.filter(|ask_at| *ask_at > Instant::now());
        let starting = self.starting.iter().map(Starting::until);
        runs.chain(starting)
            .chain(retries)
            .chain(tidy)
            .chain(asks)
            .min()
    }

    fn due_by_wall(&self) -> Option<Timestamp> {
        if self.shutdown.is_some() || self.is_paused {
            return None;
        }
        let jobs = self.plans.iter().filter_map(|plan| plan.policy.due());
        let task = self.tasks.as_ref().and_then(Tasks::due);
        let task = task.and_then(|due| Timestamp::from_millisecond(due).ok());
        jobs.chain(task).min()
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
