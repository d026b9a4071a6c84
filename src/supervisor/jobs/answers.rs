//! The answers to operators about the jobs of one application.

use jiff::Timestamp;

use super::policy::Event;
use super::{Jobs, Plan, Purpose, millis, now};
use crate::jobs::report::{JobView, QueueView, Running};
use crate::operator::Reply;

impl Jobs {
    /// The names of its jobs, as an operator has them.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.present().map(|plan| self.full_name(plan))
    }

    /// A job's name, as an operator has it.
    pub(super) fn full_name(&self, plan: &Plan) -> String {
        match &self.owner {
            Some(owner) => format!("{owner}/{}", plan.job.name),
            None => plan.job.name.clone(),
        }
    }

    /// Those that are in the settings.
    pub(super) fn present(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().filter(|plan| !plan.is_leaving)
    }

    /// Whether one has this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.present().any(|plan| plan.job.name == name)
    }

    /// Its last runs.
    pub(super) fn history(&self, name: &str) -> Reply {
        let plan = self.plans.iter().find(|plan| plan.job.name == name);
        Reply::Runs(plan.map(|plan| plan.records.clone()).unwrap_or_default())
    }

    pub(super) fn run(&mut self, name: &str) -> Reply {
        match self.at(name) {
            Some(at) => self.run_now(at),
            None => Reply::Refused(format!("there is no job {name}")),
        }
    }

    fn run_now(&mut self, at: usize) -> Reply {
        let before = self.plans[at].number;
        let was_running = self.plans[at].policy.is_running();
        self.on(at, Event::Requested, now());
        let plan = &self.plans[at];
        let name = &plan.job.name;
        if plan.number > before {
            return Reply::Started(plan.number.to_string());
        }
        if self.shutdown.is_some() {
            return Reply::Refused("the server ends".to_owned());
        }
        match plan.job.overlap {
            crate::jobs::Overlap::Skip if was_running => {
                Reply::Refused(format!("the job {name} runs already (run {before})"))
            }
            // The run that follows has the next number.
            _ => Reply::Started((before + 1).to_string()),
        }
    }

    /// Stops a job's run.
    pub(super) fn stop(&mut self, name: &str) -> Reply {
        let Some(at) = self.at(name) else {
            return Reply::Refused(format!("there is no job {name}"));
        };
        let was_running = self.plans[at].policy.is_running();
        self.on(at, Event::Stopped, now());
        Reply::Done(match was_running {
            true => format!("The run of {name} is asked to end."),
            false => format!("The job {name} does not run."),
        })
    }

    /// Stops a task that runs, if there is one with this id.
    pub(super) fn stop_task(&mut self, id: &str) -> Option<Reply> {
        let mut runs = self.runs.iter_mut();
        let (_, run) =
            runs.find(|(purpose, _)| matches!(purpose, Purpose::Task(task) if task.id == id))?;
        run.end(crate::jobs::Why::Stopped, now().steady);
        let told = format!("The task {id} is asked to end, and given up.");
        Some(Reply::Done(told))
    }

    /// Whether there is a queue.
    pub(super) fn has_queue(&self) -> bool {
        self.tasks.is_some()
    }

    /// Puts a task that was given up into the queue again, if it is one of this queue.
    pub(super) fn retry(&mut self, id: &str) -> Option<Reply> {
        let tasks = self.tasks.as_mut()?;
        tasks.retry(id, millis(now())).ok()?;
        let told = format!("The task {id} is in the queue again.");
        Some(Reply::Done(told))
    }

    pub(super) fn job_views(&self) -> impl Iterator<Item = JobView> {
        self.present().map(|plan| self.job_view(plan))
    }

    pub(super) fn queue_view(&self) -> Option<QueueView> {
        self.tasks.as_ref().map(|tasks| QueueView {
            app: self.owner.as_deref().map(str::to_owned),
            waiting: tasks.waiting(),
            running: self.running(|purpose| matches!(purpose, Purpose::Task(_))),
            dead: tasks.dead(),
        })
    }

    fn job_view(&self, plan: &Plan) -> JobView {
        let name = &plan.job.name;
        let own = |purpose: &Purpose| matches!(purpose, Purpose::Job(own) if own == name);
        JobView {
            app: self.owner.as_deref().map(str::to_owned),
            name: name.clone(),
            run: plan.job.target.typed(),
            schedule: plan.job.schedule.to_string(),
            next: self.next(plan),
            running: self.running(own).pop(),
            last: plan.records.last().cloned(),
        }
    }

    /// When a job is due: by its schedule, or to be tried again.
    pub(super) fn next(&self, plan: &Plan) -> Option<Timestamp> {
        let retry = plan.policy.retry_at().and_then(|retry| {
            let now = now();
            now.wall
                .checked_add(retry.saturating_duration_since(now.steady))
                .ok()
        });
        plan.policy.due().into_iter().chain(retry).min()
    }

    fn running(&self, is_meant: impl Fn(&Purpose) -> bool) -> Vec<Running> {
        let runs = self.runs.iter().filter(|(purpose, _)| is_meant(purpose));
        let views = runs.map(|(_, run)| Running {
            run: run.name.clone(),
            target: run.target.clone(),
            pid: Some(run.pid.as_raw_nonzero().get()),
            started: run.began.wall,
            peak: run.peak,
        });
        views.collect()
    }
}
