//! What is sampled from time to time: the weight of each process, which takes the kernel too long to be
//! read at each scrape, the last minute's rate and times, and the history.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::{MutexGuard, PoisonError};

use rustix::process::Pid;
use serde::Serialize;

use super::board::{Board, Mark};
use super::history::{History, Shown};
use crate::counters::{Counts, Histogram};
use crate::operator::Status;
use crate::sys::weight::{self, Weight};

/// Samples in the time that the rate is shown for.
const RECENT: usize = 6;

/// What was sampled, and what is shown of it.
#[derive(Debug, Default)]
pub struct Samples {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    history: History,
    weights: HashMap<i32, Weight>,
    /// All durations at the last samples, the oldest first.
    durations: Vec<Histogram>,
}

/// How fast requests were answered lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pace {
    /// Requests a second.
    pub rate: f64,
    /// The time within which half of them were answered, in seconds.
    pub p50: Option<f64>,
    /// The time within which 99 of 100 were.
    pub p99: Option<f64>,
}

/// Everything that the page shows.
#[derive(Debug, Serialize)]
pub struct Everything {
    /// As `lowmem-serve status --json`.
    pub status: Status,
    /// The last minute's pace.
    pub pace: Pace,
    /// Figures over time.
    pub history: Vec<Shown>,
    /// The newest sample's time, in seconds since 1970.
    pub until: u64,
    /// What has happened to workers.
    pub marks: Vec<Mark>,
    /// Recycling and the like can be ordered with the token.
    pub has_control: bool,
}

impl Samples {
    /// Takes a sample.
    pub fn take(&self, board: &Board) {
        let Some(status) = board.status() else {
            return;
        };
        let counts = all_counts(board);
        let mut lines = Vec::new();
        let mut weights = HashMap::new();
        let has_several = status.applications.len() > 1;
        for application in &status.applications {
            for worker in &application.workers {
                let weight = worker.pid.and_then(Pid::from_raw).and_then(weight::weigh);
                if let (Some(pid), Some(weight)) = (worker.pid, weight) {
                    weights.insert(pid, weight);
                    let slot = worker.slot.unwrap_or_default();
                    let name = match has_several {
                        true => format!("{} {slot}", application.name),
                        false => format!("worker {slot}"),
                    };
                    lines.push((name, kilobytes(weight.private)));
                }
            }
        }
        let mut inner = self.lock();
        inner.durations.push(counts.durations());
        if inner.durations.len() > RECENT {
            inner.durations.remove(0);
        }
        let pace = inner.pace();
        let connections = connections(board);
        let micros = |seconds: Option<f64>| (seconds.unwrap_or_default() * 1e6) as u32;
        let mut sample = vec![
            ("rate".to_owned(), pace.rate.round() as u32),
            ("p50".to_owned(), micros(pace.p50)),
            ("p99".to_owned(), micros(pace.p99)),
            ("connections".to_owned(), connections),
        ];
        sample.extend(lines);
        inner.history.add(&sample);
        inner.weights = weights;
    }

    /// What a process weighed when it was last sampled; one that is new is weighed now.
    pub fn weight(&self, pid: i32) -> Option<Weight> {
        let mut inner = self.lock();
        if let Some(known) = inner.weights.get(&pid) {
            return Some(*known);
        }
        let weight = Pid::from_raw(pid).and_then(weight::weigh)?;
        inner.weights.insert(pid, weight);
        Some(weight)
    }

    /// How fast requests are answered.
    pub fn pace(&self) -> Pace {
        self.lock().pace()
    }

    /// The history.
    pub fn history(&self) -> Vec<Shown> {
        self.lock().history.shown()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics with the lock held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn pace(&self) -> Pace {
        let (Some(first), Some(last)) = (self.durations.first(), self.durations.last()) else {
            return Pace::default();
        };
        let spans = self.durations.len() - 1;
        let since = last.since(first);
        let seconds = spans as f64 * super::history::FINE as f64;
        Pace {
            rate: if spans == 0 {
                0.0
            } else {
                since.count() as f64 / seconds
            },
            p50: since.quantile(0.5),
            p99: since.quantile(0.99),
        }
    }
}

/// The counts of all applications together.
pub fn all_counts(board: &Board) -> Counts {
    let mut all = Counts::default();
    for tally in board.tallies() {
        let counted = tally.counted();
        all.merge(&counted.counts());
    }
    all
}

fn connections(board: &Board) -> u32 {
    let tallies = board.tallies();
    let open = tallies.iter().map(|tally| {
        let counted = tally.counted();
        let open = counted.gauges().map(|(_, now)| now.active + now.parked);
        open.sum::<u64>()
    });
    u32::try_from(open.sum::<u64>()).unwrap_or(u32::MAX)
}

fn kilobytes(bytes: u64) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX - 1)
}
