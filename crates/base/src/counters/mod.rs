//! Counters in memory that a worker writes and its supervisor reads.
//!
//! A worker that is counted has a [`Page`]: a few kilobytes of zeroes in a file without a name, which
//! both have mapped. The worker adds to it by plain loads and stores, without a system call, a lock or
//! an allocation; each field is written by one thread. The supervisor reads it whenever it wants to,
//! also while the worker hangs, and after its end, when what it has counted is added to what those
//! before it had ([`Counts`]): so no figure goes back when a worker is replaced.
//!
//! Without counting nothing is mapped, and [`mine`] is `None`.

mod caches;
mod counts;
mod key;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

pub use caches::{CacheCounts, Cached};
pub use counts::{Counts, Gauges, Histogram};
pub use key::Key;

/// Kinds of requests that are counted apart: method, status, version and scheme. An application has a
/// dozen; what is beyond these is counted together.
pub const SERIES: usize = 96;

/// The upper bounds of the buckets of a request's duration, in milliseconds: those of OpenTelemetry's
/// semantic conventions for `http.server.request.duration`.
pub const BOUNDS: [u64; 14] = [
    5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000,
];

/// The bounds, and what takes longer.
pub const BUCKETS: usize = BOUNDS.len() + 1;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The counters of a worker. A page of zeroes is an empty one.
#[derive(Debug)]
#[repr(C)]
pub struct Page {
    /// The worker's figures of this moment.
    pub now: Now,
    /// Connections that it has given to its successor.
    handed_over: AtomicU64,
    series: [Series; SERIES],
    caches: [CacheCounts; caches::CACHES],
}

/// Figures that go up and down, as they were when the worker last came to write them.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Now {
    /// Turns of the event loop, or sweeps of the connections.
    pub turns: AtomicU64,
    /// The event loop does something; it is 0 while it waits for something to do.
    pub is_busy: AtomicU64,
    /// Requests that are being answered.
    pub active_requests: AtomicU64,
    /// Connections that are served.
    pub active: AtomicU64,
    /// Those of them that are WebSockets.
    pub websockets: AtomicU64,
    /// Connections that are held as descriptors.
    pub parked: AtomicU64,
    /// By how many nanoseconds the event loop was late when a timer was due.
    pub lag: AtomicU64,
    /// Threads of a WSGI application: the most that there may be, 0 without any.
    pub wsgi_most: AtomicU64,
    /// Those that there are.
    pub wsgi_threads: AtomicU64,
    /// Those that run a view.
    pub wsgi_busy: AtomicU64,
    /// Requests that wait for a thread.
    pub wsgi_waiting: AtomicU64,
    /// Requests whose view has ended.
    pub wsgi_ended: AtomicU64,
    /// The time of [`crate::sys::clock::monotonic`] when the worker began to count, in nanoseconds.
    born: AtomicU64,
    /// When it last answered a request, in nanoseconds since then; 0 before the first.
    last_use: AtomicU64,
    /// Figures of parts of the server that have not got names here.
    pub spare: [AtomicU64; 2],
}

#[derive(Debug)]
#[repr(C)]
struct Series {
    /// 0 while there is none.
    key: AtomicU64,
    nanos: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

static MINE: OnceLock<&'static Page> = OnceLock::new();

/// From now on this process is counted.
pub fn count_in(page: &'static Page) {
    // A process is counted in one page.
    let _ = MINE.set(page);
}

/// Where this process counts, if it does.
#[must_use]
pub fn mine() -> Option<&'static Page> {
    MINE.get().copied()
}

impl Page {
    /// A request has been answered.
    pub fn answered(&self, key: Key, took: Duration) {
        let series = self.series(key);
        let nanos = nanos(took);
        add(&series.nanos, nanos);
        let bound = |bound: &&u64| nanos > **bound * NANOS_PER_MILLI;
        add(&series.buckets[BOUNDS.iter().take_while(bound).count()], 1);
    }

    /// The worker begins to count at this time of [`crate::sys::clock::monotonic`].
    pub fn begin(&self, now: Duration) {
        self.now.born.store(nanos(now), Relaxed);
    }

    /// It has answered a request, so long after it began.
    pub fn used(&self, since: Duration) {
        self.now.last_use.store(nanos(since), Relaxed);
    }

    /// When it last answered a request, by the same clock.
    #[must_use]
    pub fn last_use(&self) -> Option<Duration> {
        let born = Duration::from_nanos(self.now.born.load(Relaxed));
        let last = self.now.last_use.load(Relaxed);
        (last > 0).then(|| born + Duration::from_nanos(last))
    }

    /// So many connections have been given to the successor.
    pub fn handed_over(&self, connections: u64) {
        self.handed_over.store(connections, Relaxed);
    }

    /// The place of a kind of request: found by open addressing, so that it is mostly the first
    /// that is looked at.
    fn series(&self, key: Key) -> &Series {
        let start = key.spread() % (SERIES - 1);
        for step in 0..SERIES - 1 {
            let series = &self.series[(start + step) % (SERIES - 1)];
            match series.key.load(Relaxed) {
                0 => {
                    series.key.store(key.number(), Relaxed);
                    return series;
                }
                taken if taken == key.number() => return series,
                _ => {}
            }
        }
        let rest = &self.series[SERIES - 1];
        rest.key.store(Key::OTHER.number(), Relaxed);
        rest
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Only one thread writes a counter, so it needs no atomic addition.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(more), Relaxed);
}

/// One of those that a figure counts, while it lives.
#[derive(Debug)]
pub struct Held(&'static AtomicU64);

impl Held {
    /// One more, on the thread that writes the figure.
    #[must_use]
    pub fn new(gauge: &'static AtomicU64) -> Self {
        add(gauge, 1);
        Self(gauge)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        add(self.0, u64::MAX);
    }
}

/// Sets a figure that goes up and down.
pub fn set(gauge: &AtomicU64, value: usize) {
    gauge.store(value as u64, Relaxed);
}

/// Adds one to a figure that only its own thread writes.
pub fn step(counter: &AtomicU64) {
    add(counter, 1);
}

#[cfg(test)]
mod tests;
