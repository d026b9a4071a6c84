//! The ends of runs, and of all of them with the server or the application.

use std::time::Duration;

use rustix::process::Pid;
use tracing::{error, info};

use super::policy::{Event, Now};
use super::run::Order;
use super::{Jobs, Purpose, Shutdown, millis, now};
use crate::figures::Megabytes;
use crate::jobs::{Outcome, Record, Why};
use crate::sys::process::Ending;

/// Of the time that the server has to end, what runs have to end after they were asked to.
const SHARE_TO_END: u32 = 4;
const MOST_TO_END: Duration = Duration::from_secs(2);

impl Jobs {
    /// Handles the end of a process, if it was a run's; whether it was.
    pub(super) fn ended(&mut self, pid: Pid, ending: Ending) -> bool {
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
        // Before it is logged: a reader of the line finds the record.
        self.keep(&self.plans[at]);
        tell(name, &record, None);
        if self.plans[at].is_leaving {
            self.plans.remove(at);
        } else {
            self.on(at, Event::Ended(outcome), now);
        }
    }

    /// A run has no process.
    pub(super) fn came_to_nothing(
        &mut self,
        purpose: Purpose,
        order: &Order,
        outcome: Outcome,
        now: Now,
    ) {
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

    /// The server or the application ends: nothing starts any more, and what runs may take this time.
    pub(super) fn shut_down(&mut self, grace: Duration) {
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
    pub(super) fn kill_all(&mut self) {
        self.shut_down(Duration::ZERO);
        for (_, run) in &mut self.runs {
            run.kill(Why::Shutdown);
        }
    }
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
