//! The state that the supervisor publishes, and its counts of each application.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::accept_queue::Watched;
use crate::counters::{Counts, Gauges, Histogram};
use crate::operator::{QueueStatus, Status};
use crate::sys::shared_page::SharedPage;

/// Marks that are kept: what has happened to workers, the newest.
const MOST_MARKS: usize = 200;

/// The server as it is seen from outside.
#[derive(Debug, Default)]
pub struct Board {
    published: Mutex<Option<Arc<Published>>>,
    /// The number of turns of the supervisor's loop.
    turns: AtomicU64,
}

/// The state of everything after a turn of the supervisor's loop.
#[derive(Debug)]
pub struct Published {
    /// How everything is.
    pub status: Status,
    /// The counts of each application, in the order in which the status has them.
    pub tallies: Vec<Arc<Tally>>,
    /// The TCP listeners. They are not kept beyond the next turn: one that is closed must not stay open
    /// for being looked at.
    pub listeners: Arc<Vec<Watched>>,
    /// The queues.
    pub queues: Vec<Queue>,
}

/// A queue of the server, or of one of its applications.
#[derive(Debug)]
pub struct Queue {
    /// The application.
    pub app: Option<String>,
    /// Where its tasks are.
    pub directory: PathBuf,
    /// How it is, but for what waits in it.
    pub status: QueueStatus,
}

/// The counts of one application.
#[derive(Debug)]
pub struct Tally {
    /// The application's name.
    pub name: String,
    counted: Mutex<Counted>,
    /// Events of workers, the oldest first. Apart from the counts, which a scrape copies.
    marks: Mutex<VecDeque<Mark>>,
}

/// The state of a [`Tally`].
#[derive(Debug, Default, Clone)]
pub struct Counted {
    /// Recycled workers, by reason.
    pub recycles: BTreeMap<&'static str, u64>,
    /// How long that took.
    pub recycle_times: Histogram,
    /// Workers that ended and should not have, by signal, or by `exit N`.
    pub crashes: BTreeMap<String, u64>,
    /// How long it took to wake up.
    pub wake_times: Histogram,
    /// Workers whose event loop did not turn, or whose threads were all stuck.
    pub stalls: u64,
    /// Counts of workers that have ended.
    pub ended: Counts,
    /// Workers with a page, by their place.
    pub live: Vec<Live>,
}

/// A worker that counts.
#[derive(Debug, Clone)]
pub struct Live {
    /// Its process, once it has one.
    pub pid: Option<i32>,
    /// Its place among the application's workers; a successor has another one until its predecessor
    /// is gone.
    pub slot: usize,
    /// Where it counts.
    pub page: Arc<SharedPage>,
    /// It is stalled.
    pub is_stalled: bool,
}

/// Something that has happened to a worker.
#[derive(Debug, Clone, Serialize)]
pub struct Mark {
    /// When, in seconds since 1970.
    pub at: u64,
    /// `recycle`, `crash`, `stall`, …
    pub kind: &'static str,
    /// The application.
    pub app: String,
    /// The worker's pid.
    pub pid: i32,
    /// More about it.
    pub text: String,
}

impl Board {
    /// Publishes the state of everything after a turn of the supervisor's loop.
    pub fn publish(&self, published: Published) {
        *lock(&self.published) = Some(Arc::new(published));
        self.turns.fetch_add(1, Ordering::Release);
    }

    /// How everything was when it was last published.
    #[must_use]
    pub fn published(&self) -> Option<Arc<Published>> {
        lock(&self.published).clone()
    }

    /// The number of turns of the supervisor's loop.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }
}

impl Tally {
    /// An empty one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            counted: Mutex::default(),
            marks: Mutex::default(),
        }
    }

    /// A worker has been recycled.
    pub fn recycled(&self, reason: &'static str, took: Duration, pid: i32, text: String) {
        let mut counted = lock(&self.counted);
        *counted.recycles.entry(reason).or_default() += 1;
        counted.recycle_times.observe(took);
        drop(counted);
        self.mark("recycle", pid, text);
    }

    /// A worker has ended that should not have.
    pub fn crashed(&self, how: String, pid: i32, text: String) {
        *lock(&self.counted).crashes.entry(how).or_default() += 1;
        self.mark("crash", pid, text);
    }

    /// The application was asleep and is awake.
    pub fn woken(&self, took: Duration, pid: i32) {
        lock(&self.counted).wake_times.observe(took);
        self.mark(
            "wake",
            pid,
            format!("Awake after {:.2} s", took.as_secs_f32()),
        );
    }

    /// A worker is stalled.
    pub fn stalled(&self, pid: i32, text: String) {
        lock(&self.counted).stalls += 1;
        self.mark("stall", pid, text);
    }

    /// Notes that something has happened.
    pub fn mark(&self, kind: &'static str, pid: i32, text: String) {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut marks = lock(&self.marks);
        if marks.len() == MOST_MARKS {
            marks.pop_front();
        }
        marks.push_back(Mark {
            at: since_epoch.unwrap_or_default().as_secs(),
            kind,
            app: self.name.clone(),
            pid,
            text,
        });
    }

    /// A worker counts here.
    pub fn begin(&self, slot: usize, page: &Arc<SharedPage>) {
        lock(&self.counted).live.push(Live {
            pid: None,
            slot,
            page: Arc::clone(page),
            is_stalled: false,
        });
    }

    /// The worker that counts here has this process, and may be stalled.
    pub fn is_now(&self, page: &Arc<SharedPage>, pid: i32, is_stalled: bool) {
        let mut counted = lock(&self.counted);
        if let Some(live) = counted.live_mut(page) {
            (live.pid, live.is_stalled) = (Some(pid), is_stalled);
        }
    }

    /// The worker that counted here has ended: what it has counted is kept.
    pub fn end(&self, page: &Arc<SharedPage>) {
        let mut counted = lock(&self.counted);
        counted.ended.add(page);
        counted.live.retain(|live| !Arc::ptr_eq(&live.page, page));
    }

    /// Events of workers, the oldest first.
    #[must_use]
    pub fn marks(&self) -> VecDeque<Mark> {
        lock(&self.marks).clone()
    }

    /// Everything as it is now.
    #[must_use]
    pub fn counted(&self) -> Counted {
        lock(&self.counted).clone()
    }
}

impl Counted {
    /// The counts of all workers, those that have ended among them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.ended.clone();
        self.live.iter().for_each(|live| counts.add(&live.page));
        counts
    }

    /// The workers' figures of this moment.
    pub fn gauges(&self) -> impl Iterator<Item = (&Live, Gauges)> {
        self.live.iter().map(|live| (live, Gauges::of(&live.page)))
    }

    fn live_mut(&mut self, page: &Arc<SharedPage>) -> Option<&mut Live> {
        let mut live = self.live.iter_mut();
        live.find(|live| Arc::ptr_eq(&live.page, page))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics with one of the locks held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Key;

    #[test]
    fn no_count_goes_back_when_a_worker_is_replaced() {
        let tally = Tally::new("app");
        let key = Key::new("GET", 200, 1, false);
        let mut expected = 0;
        for _ in 0..5 {
            let page = Arc::new(SharedPage::new().unwrap());
            tally.begin(0, &page);
            page.answered(key, Duration::from_millis(1));
            expected += 1;
            assert_eq!(tally.counted().counts().total(), expected);
            tally.end(&page);
            assert_eq!(tally.counted().counts().total(), expected);
            assert!(tally.counted().live.is_empty());
        }
    }

    #[test]
    fn only_the_newest_marks_are_kept() {
        let tally = Tally::new("app");
        for pid in 0..500 {
            tally.crashed("SIGKILL".to_owned(), pid, String::new());
        }
        let counted = tally.counted();
        assert_eq!(counted.crashes["SIGKILL"], 500);
        let marks = tally.marks();
        assert_eq!(marks.len(), MOST_MARKS);
        assert_eq!(marks.back().unwrap().pid, 499);
    }
}
