//! Figures that are sampled from time to time: the weight of each process, which takes the kernel too long to be
//! read at each scrape, the last minute's rate and times, and the history.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::{MutexGuard, PoisonError};

use rustix::process::Pid;
use serde::Serialize;
use tokio::task::yield_now;

use lowmem_serve_cache::disk_use;

use super::board::{Board, Mark, Published, Queue};
use super::history::{History, Shown};
use super::served;
use crate::counters::{Counts, Histogram};
use crate::operator::Status;
use crate::sys::weight::{self, Weight};

/// Samples in the time that the rate is shown for.
const RECENT: usize = 6;

/// The samples, and the history that is shown.
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
    queues: HashMap<PathBuf, QueueFiles>,
    /// The bytes that each cache's files take, and may take.
    caches: HashMap<PathBuf, (u64, u64)>,
}

/// The most tasks that are counted: to list more would keep the status server from answering.
const MOST_TASKS: usize = 100_000;

/// Files of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFiles {
    /// Tasks that wait or run.
    tasks: u64,
    /// Tasks that were given up.
    pub dead: u64,
}

impl QueueFiles {
    /// Those of the queue in a directory.
    fn of(directory: &Path) -> Self {
        let count = |part: &str| {
            let files = fs::read_dir(directory.join(part)).into_iter().flatten();
            files.take(MOST_TASKS).count() as u64
        };
        Self {
            tasks: count("tasks"),
            dead: count("dead"),
        }
    }

    /// Tasks that wait, if so many run.
    pub fn waiting(&self, running: u64) -> u64 {
        self.tasks.saturating_sub(running)
    }
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
    /// Events of workers.
    pub marks: Vec<Mark>,
    /// Recycling and the like can be ordered with the token.
    pub has_control: bool,
}

impl Samples {
    /// Takes a sample. Other tasks of the thread run in between: with many workers a scrape would wait for
    /// tens of milliseconds.
    pub async fn take(&self, board: &Board) {
        let processes = board.published().map(|published| processes(&published));
        let mut lines = Vec::new();
        let mut weights = HashMap::new();
        for (pid, name) in processes.into_iter().flatten() {
            if let Some(weight) = Pid::from_raw(pid).and_then(weight::weigh) {
                weights.insert(pid, weight);
                lines.extend(name.map(|name| (name, kilobytes(weight.private))));
            }
            yield_now().await;
        }
        if let Some(published) = board.published() {
            self.keep(&published, lines, weights);
        }
    }

    /// Keeps the weights of the workers, and what everything else is now.
    fn keep(
        &self,
        published: &Published,
        lines: Vec<(String, u32)>,
        weights: HashMap<i32, Weight>,
    ) {
        let counts = all_counts(published);
        let caches = counts.caches.values().map(|cache| &cache.directory);
        let caches = caches.filter_map(|own| Some((own.clone(), disk_use(own)?)));
        let caches: HashMap<_, _> = caches.collect();
        let queues = published.queues.iter().map(|queue| &queue.directory);
        let queues = queues.map(|directory| (directory.clone(), QueueFiles::of(directory)));
        let queues: HashMap<_, _> = queues.collect();
        let mut inner = self.lock();
        (inner.caches, inner.queues) = (caches, queues);
        inner.durations.push(counts.durations());
        if inner.durations.len() > RECENT {
            inner.durations.remove(0);
        }
        let pace = inner.pace();
        let micros = |seconds: Option<f64>| (seconds.unwrap_or_default() * 1e6) as u32;
        let mut sample = vec![
            ("rate".to_owned(), pace.rate.round() as u32),
            ("p50".to_owned(), micros(pace.p50)),
            ("p99".to_owned(), micros(pace.p99)),
            ("connections".to_owned(), connections(published)),
        ];
        sample.extend(lines);
        inner.history.add(&sample);
        inner.weights = weights;
    }

    /// The weight of a process when it was last sampled; a new one is weighed now.
    pub fn weight(&self, pid: i32) -> Option<Weight> {
        let mut inner = self.lock();
        if let Some(known) = inner.weights.get(&pid) {
            return Some(*known);
        }
        let weight = Pid::from_raw(pid).and_then(weight::weigh)?;
        inner.weights.insert(pid, weight);
        Some(weight)
    }

    /// The files of the queue in a directory when they were last counted.
    pub fn queue(&self, directory: &Path) -> Option<QueueFiles> {
        self.lock().queues.get(directory).copied()
    }

    /// Those of all queues together.
    fn queues(&self, queues: &[Queue]) -> Option<QueueFiles> {
        let counted = queues.iter().filter_map(|own| self.queue(&own.directory));
        counted.reduce(|sum, own| QueueFiles {
            tasks: sum.tasks + own.tasks,
            dead: sum.dead + own.dead,
        })
    }

    /// The bytes that a cache's files take of the disk, and may take. A new cache is looked at now.
    pub fn cache(&self, directory: &Path) -> Option<(u64, u64)> {
        let known = self.lock().caches.get(directory).copied();
        known.or_else(|| {
            let found = disk_use(directory)?;
            self.lock().caches.insert(directory.to_owned(), found);
            Some(found)
        })
    }

    /// How everything is, with what the supervisor does not look at: what was counted by now, and what
    /// was sampled.
    pub fn whole(&self, published: &Published) -> Status {
        let mut status = published.status.clone();
        let applications = status.applications.iter_mut();
        for (application, tally) in applications.zip(&published.tallies) {
            served::add(application, tally);
            let mut pss = 0;
            for worker in &mut application.workers {
                let weight = worker.pid.and_then(|pid| self.weight(pid));
                worker.memory = weight.map(|weight| weight.private);
                pss += weight.map_or(0, |weight| weight.pss);
            }
            application.pss = Some(pss);
        }
        let own = self.weight(status.pid.cast_signed());
        status.memory = own.map(|weight| weight.private);
        self.add_files(&mut status, &published.queues);
        status
    }

    fn add_files(&self, status: &mut Status, queues: &[Queue]) {
        if let (Some(queue), Some(files)) = (&mut status.queue, self.queues(queues)) {
            queue.waiting = Some(files.waiting(queue.running));
            queue.dead = Some(files.dead);
        }
        let applications = status.applications.iter_mut();
        for cache in applications.flat_map(|own| &mut own.caches) {
            if let Some((disk, most)) = self.cache(cache.directory.as_ref()) {
                (cache.bytes, cache.limit) = (Some(disk), Some(most));
            }
        }
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

/// The supervisor, and the workers that have a process with the names of their lines in the history.
fn processes(published: &Published) -> Vec<(i32, Option<String>)> {
    let status = &published.status;
    let own = (status.pid.cast_signed(), None);
    let applications = status.applications.iter();
    let workers = applications.flat_map(|own| own.workers.iter().map(move |worker| (own, worker)));
    let named = workers.filter_map(|(application, worker)| {
        let slot = worker.slot.unwrap_or_default();
        let name = match status.is_fleet {
            true => format!("{} {slot}", application.name),
            false => format!("worker {slot}"),
        };
        Some((worker.pid?, Some(name)))
    });
    std::iter::once(own).chain(named).collect()
}

/// The counts of all applications together.
fn all_counts(published: &Published) -> Counts {
    let mut all = Counts::default();
    for tally in &published.tallies {
        let counted = tally.counted();
        all.merge(&counted.counts());
    }
    all
}

fn connections(published: &Published) -> u32 {
    let open = published.tallies.iter().map(|tally| {
        let counted = tally.counted();
        let open = counted.gauges().map(|(_, now)| now.active + now.parked);
        open.sum::<u64>()
    });
    u32::try_from(open.sum::<u64>()).unwrap_or(u32::MAX)
}

fn kilobytes(bytes: u64) -> u32 {
    u32::try_from(bytes / 1024).unwrap_or(u32::MAX - 1)
}
