//! How jobs and the queue are, as the server's status shows them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::queue::Tasks;
use super::{Jobs, Plan, Purpose};
use crate::jobs::{Outcome, Record};
use crate::monitor::Queue;
use crate::operator::{JobStatus, LastRun, QueueStatus};

/// Runs that have ended, by their result.
#[derive(Debug, Default)]
pub(super) struct Results(BTreeMap<&'static str, u64>);

impl Results {
    pub(super) fn add(&mut self, outcome: Outcome) {
        *self.0.entry(outcome.word()).or_default() += 1;
    }

    fn shown(&self) -> BTreeMap<String, u64> {
        let results = self.0.iter();
        results
            .map(|(result, count)| ((*result).to_owned(), *count))
            .collect()
    }
}

/// The end of the last of these runs that was done without a failure.
pub(super) fn last_success(records: &[Record]) -> Option<f64> {
    let done = records.iter().rev().find(|record| record.outcome.is_done());
    done.map(ended)
}

impl Jobs {
    /// All jobs.
    pub(super) fn shown(&self) -> impl Iterator<Item = JobStatus> {
        self.present().map(|plan| self.shown_job(plan))
    }

    fn shown_job(&self, plan: &Plan) -> JobStatus {
        let name = &plan.job.name;
        let own = |purpose: &Purpose| matches!(purpose, Purpose::Job(own) if own == name);
        let running = self.runs.iter().find(|(purpose, _)| own(purpose));
        JobStatus {
            name: self.full_name(plan),
            app: self.owner.as_deref().map(str::to_owned),
            schedule: plan.job.schedule.to_string(),
            next: self.next(plan).map(seconds),
            running_since: running.map(|(_, run)| seconds(run.began.wall)),
            runs: plan.results.shown(),
            last: plan.records.last().map(|record| LastRun {
                result: record.outcome.word().to_owned(),
                ended: ended(record),
                took: record.took,
                peak: record.peak,
            }),
            last_success: plan.last_success,
        }
    }

    /// The queue, but for what waits in it: its files are counted by the status server.
    pub(super) fn shown_queue(&self) -> Option<QueueStatus> {
        self.tasks.as_ref()?;
        let is_task = |purpose: &Purpose| matches!(purpose, Purpose::Task(_));
        let running = self.runs.iter().filter(|(purpose, _)| is_task(purpose));
        Some(QueueStatus {
            running: running.count() as u64,
            runs: self.task_results.shown(),
            ..QueueStatus::default()
        })
    }

    /// The queue with its place, and the application that it is of.
    pub(super) fn queue(&self) -> Option<Queue> {
        Some(Queue {
            app: self.owner.as_deref().map(str::to_owned),
            directory: self.tasks.as_ref().map(Tasks::directory)?.to_owned(),
            status: self.shown_queue()?,
        })
    }
}

fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1_000.0
}

fn ended(record: &Record) -> f64 {
    seconds(record.started) + record.took
}
