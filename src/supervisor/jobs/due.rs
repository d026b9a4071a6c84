//! The descriptors and deadlines of jobs that the supervisor's loop waits for.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use jiff::Timestamp;

use super::Jobs;
use super::queue::Tasks;
use super::starting::Starting;

impl Jobs {
    /// The descriptors to wait on.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let queue = self.tasks.as_ref().map(AsFd::as_fd);
        let outputs = self.runs.iter().filter_map(|(_, run)| run.source());
        std::iter::once(self.alarm.as_fd())
            .chain(queue)
            .chain(self.starting.iter().map(Starting::source))
            .chain(outputs)
    }

    /// When [`Self::turn`] is due, but for the times of the wall clock.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
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

    pub(super) fn due_by_wall(&self) -> Option<Timestamp> {
        if self.shutdown.is_some() || self.is_paused {
            return None;
        }
        let jobs = self.plans.iter().filter_map(|plan| plan.policy.due());
        let task = self.tasks.as_ref().and_then(Tasks::due);
        let task = task.and_then(|due| Timestamp::from_millisecond(due).ok());
        jobs.chain(task).min()
    }
}
