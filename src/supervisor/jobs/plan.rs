//! A job, and what is known of it.

use super::policy::{Now, Policy};
use super::shown::{Results, last_success};
use crate::jobs::state::{Begun, Kept, MOST_RECORDS, StateDirectory};
use crate::jobs::{Job, Outcome, Record, Schedule};

#[derive(Debug)]
pub(super) struct Plan {
    pub job: Job,
    pub policy: Policy,
    /// The number of its last run.
    pub number: u64,
    pub running: Option<Begun>,
    pub records: Vec<Record>,
    /// Runs that have ended since the server was started.
    pub results: Results,
    /// When a run was last done, in seconds since 1970.
    pub last_success: Option<f64>,
    /// It is no longer in the settings, and goes with its run.
    pub is_leaving: bool,
}

impl Plan {
    pub(super) fn new(job: &Job, state: &StateDirectory, now: Now) -> Self {
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
            is_leaving: false,
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

    /// From now on other settings hold.
    pub(super) fn take(&mut self, job: &Job, now: Now) {
        self.is_leaving = false;
        self.policy.take(job, now);
        self.job = job.clone();
    }

    /// It is no longer in the settings: nothing starts any more.
    pub(super) fn leave(&mut self, now: Now) {
        let last = Job {
            schedule: Schedule::OnDemand,
            retries: 0,
            ..self.job.clone()
        };
        // The kept state stays with its settings, should they come back with another server.
        self.policy.take(&last, now);
        self.is_leaving = true;
    }

    fn has_record_of(&self, begun: &Begun) -> bool {
        let run = begun.run.to_string();
        self.records.iter().any(|record| record.run == run)
    }

    pub(super) fn add(&mut self, record: Record) {
        self.results.add(record.outcome);
        self.last_success = last_success(std::slice::from_ref(&record)).or(self.last_success);
        self.records.push(record);
        let surplus = self.records.len().saturating_sub(MOST_RECORDS);
        self.records.drain(..surplus);
    }

    pub(super) fn kept(&self) -> Kept {
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
