//! What operators are answered about jobs.

use jiff::Timestamp;

use super::policy::Event;
use super::{Jobs, Plan, Purpose, millis, now};
use crate::jobs::report::{JobView, Overview, QueueView, Running, VERSION};
use crate::operator::{JobsRequest, Reply};

impl Jobs {
    pub(in crate::supervisor) fn answer(&mut self, request: &JobsRequest) -> Reply {
        match request {
            JobsRequest::Overview => Reply::Jobs(Box::new(self.overview())),
            JobsRequest::Retry(id) => self.retry(id),
            JobsRequest::History(name) => match self.place(name) {
                Ok(at) => Reply::Runs(self.plans[at].records.clone()),
                Err(refused) => refused,
            },
            JobsRequest::Run(name) => match self.place(name) {
                Ok(at) => self.run_now(at),
                Err(refused) => refused,
            },
            JobsRequest::Stop(name) => self.stop(name),
        }
    }

    fn place(&self, name: &str) -> Result<usize, Reply> {
        let at = self.plans.iter().position(|plan| plan.job.name == name);
        at.ok_or_else(|| {
            let names: Vec<_> = self
                .plans
                .iter()
                .map(|plan| plan.job.name.as_str())
                .collect();
            let there = match names.as_slice() {
                [] => "there are none".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            Reply::Refused(format!("there is no job {name}; {there}"))
        })
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

    /// Stops a job's run, or a task by its id.
    fn stop(&mut self, name: &str) -> Reply {
        let now = now();
        if let Some(at) = self.plans.iter().position(|plan| plan.job.name == name) {
            let was_running = self.plans[at].policy.is_running();
            self.on(at, Event::Stopped, now);
            return Reply::Done(match was_running {
                true => format!("The run of {name} is asked to end."),
                false => format!("The job {name} does not run."),
            });
        }
        for (purpose, run) in &mut self.runs {
            if matches!(purpose, Purpose::Task(task) if task.id == name) {
                run.end(crate::jobs::Why::Stopped, now.steady);
                return Reply::Done(format!("The task {name} is asked to end, and given up."));
            }
        }
        match self.place(name) {
            Ok(_) => Reply::Refused(format!("{name} does not run")),
            Err(refused) => refused,
        }
    }

    fn retry(&mut self, id: &str) -> Reply {
        let Some(tasks) = &mut self.tasks else {
            return Reply::Refused("this server has no queue".to_owned());
        };
        match tasks.retry(id, millis(now())) {
            Ok(()) => Reply::Done(format!("The task {id} is in the queue again.")),
            Err(_) => Reply::Refused(format!("there is no dead task {id}")),
        }
    }

    fn overview(&self) -> Overview {
        Overview {
            version: VERSION,
            jobs: (0..self.plans.len()).map(|at| self.job_view(at)).collect(),
            queue: self.tasks.as_ref().map(|tasks| QueueView {
                waiting: tasks.waiting(),
                running: self.running(|purpose| matches!(purpose, Purpose::Task(_))),
                dead: tasks.dead(),
            }),
        }
    }

    fn job_view(&self, at: usize) -> JobView {
        let plan = &self.plans[at];
        let own = |purpose: &Purpose| matches!(purpose, Purpose::Job(own) if *own == at);
        JobView {
            name: plan.job.name.clone(),
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
