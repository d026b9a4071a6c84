//! What the supervisor answers to an operator's requests.

use std::time::Instant;

use super::Supervisor;
use super::pool::Event;
use crate::exit::Exit;
use crate::operator::{ApplicationStatus, Reply, Request, Serving, Status, VERSION, WorkerStatus};
use crate::sys::weight;

/// More at once is a slip of the hand.
const MOST_WORKERS: i16 = 64;

impl Supervisor<'_> {
    /// Answers every request that has come in.
    pub(super) fn hear_operator(&mut self) -> Option<Exit> {
        let now = Instant::now();
        let asked = self.operator.as_mut()?.take(now);
        for (caller, request) in asked {
            let (reply, events) = self.reply(&request);
            if let Some(operator) = &mut self.operator {
                operator.answer(caller, &reply, now);
            }
            for event in events {
                if let Some(exit) = self.on(event) {
                    return Some(exit);
                }
            }
        }
        None
    }

    fn reply(&self, request: &Request) -> (Reply, Vec<Event>) {
        if self.pool.serving() == Serving::Stopping && *request != Request::Status {
            let why = "the server is stopping".to_owned();
            return (Reply::Refused(why), Vec::new());
        }
        match *request {
            Request::Status => (Reply::Status(Box::new(self.status())), Vec::new()),
            Request::Recycle => {
                let told = format!("recycling {}", workers(self.pool.wanted()));
                (Reply::Done(told), vec![Event::Recycle])
            }
            Request::Workers(change) if !(-MOST_WORKERS..=MOST_WORKERS).contains(&change) => {
                let why = format!("not more than {MOST_WORKERS} workers at once");
                (Reply::Refused(why), Vec::new())
            }
            Request::Workers(change) => self.change_workers(change),
        }
    }

    fn change_workers(&self, change: i16) -> (Reply, Vec<Event>) {
        let wanted = self.pool.wanted();
        let after = wanted.saturating_add_signed(change.into());
        if after == 0 {
            let why = "the last worker stays; stop the server instead".to_owned();
            return (Reply::Refused(why), Vec::new());
        }
        let event = if change < 0 {
            Event::Shrink
        } else {
            Event::Grow
        };
        let told = format!("{} in place of {wanted}", workers(after));
        (Reply::Done(told), vec![event; change.unsigned_abs().into()])
    }

    fn status(&self) -> Status {
        Status {
            version: VERSION,
            server: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: self.began.elapsed().as_secs_f64(),
            memory: weight::own(rustix::process::getpid()),
            applications: vec![ApplicationStatus {
                name: self.workforce.application().to_owned(),
                state: self.pool.serving(),
                places: self.banner.places.clone(),
                workers_wanted: self.pool.wanted(),
                workers: self.workers(),
            }],
        }
    }

    fn workers(&self) -> Vec<WorkerStatus> {
        let now = Instant::now();
        let views = self.pool.views();
        views
            .map(|view| WorkerStatus {
                pid: self.workforce.own_pid(view.id),
                stage: view.stage,
                age: view.since.map(|since| (now - since).as_secs_f64()),
                memory: self.workforce.weight(view.id),
            })
            .collect()
    }
}

/// `1 worker`, `2 workers`
fn workers(count: usize) -> String {
    match count {
        1 => "1 worker".to_owned(),
        several => format!("{several} workers"),
    }
}
