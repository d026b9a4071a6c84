//! The settings of jobs and their state directory, which is opened with the server.

use std::io;
use std::sync::Arc;

use tracing::info;

use super::alarm::Alarm;
use super::plan::Plan;
use super::policy::Now;
use super::queue::Tasks;
use super::shown::Results;
use super::{Jobs, now};
use crate::config::{StartFacts, WorkerConfig};
use crate::jobs::Queue;
use crate::jobs::state::StateDirectory;
use crate::supervisor::Work;

impl Jobs {
    /// Prepares what the settings name; nothing, if they name nothing.
    ///
    /// # Errors
    /// The state directory cannot be used.
    pub(super) fn open(owner: Option<Arc<str>>, work: &Work) -> io::Result<Option<Self>> {
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
    pub(super) fn take(&mut self, work: &Work) -> io::Result<()> {
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
