//! The counts of a worker at one moment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{BOUNDS, BUCKETS, CacheCounts, Cached, Key, Page, Series};

/// Counters of one worker, or of several together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Requests by their kind.
    pub requests: BTreeMap<Key, Histogram>,
    /// Connections that have moved to a successor.
    pub handed_over: u64,
    /// Caches on disk, by their names.
    pub caches: BTreeMap<String, Cached>,
}

/// How often something took how long.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Histogram {
    /// Those within each bound of [`BOUNDS`] and not within the one before; then those beyond.
    pub buckets: [u64; BUCKETS],
    /// All times together, in seconds.
    pub seconds: f64,
}

/// Figures that go up and down.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Gauges {
    /// See [`super::Now`] for all of these.
    pub turns: u64,
    /// The event loop does something.
    pub is_busy: bool,
    /// Requests that are being answered.
    pub active_requests: u64,
    /// Connections that are served, WebSockets among them.
    pub active: u64,
    /// WebSockets.
    pub websockets: u64,
    /// Connections that are held as descriptors.
    pub parked: u64,
    /// How late the event loop was.
    pub lag: Duration,
    /// The most WSGI threads.
    pub wsgi_most: u64,
    /// Those that there are.
    pub wsgi_threads: u64,
    /// Those that run a view.
    pub wsgi_busy: u64,
    /// Requests that wait for a thread.
    pub wsgi_waiting: u64,
    /// Requests whose view has ended.
    pub wsgi_ended: u64,
}

impl Counts {
    /// Adds what a worker has counted.
    pub fn add(&mut self, page: &Page) {
        self.handed_over += page.handed_over.load(Relaxed);
        for series in &page.series {
            if let Some(key) = Key::of(series.key.load(Relaxed)) {
                self.requests.entry(key).or_default().add_series(series);
            }
        }
        for cached in page.caches.iter().filter_map(CacheCounts::value) {
            self.caches.entry(cached.name()).or_default().add(&cached);
        }
    }

    /// Adds other ones.
    pub fn merge(&mut self, other: &Self) {
        self.handed_over += other.handed_over;
        for (key, histogram) in &other.requests {
            self.requests.entry(*key).or_default().add(histogram);
        }
        for (name, cached) in &other.caches {
            self.caches.entry(name.clone()).or_default().add(cached);
        }
    }

    /// How many requests there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().map(Histogram::count).sum()
    }

    /// All requests together.
    #[must_use]
    pub fn durations(&self) -> Histogram {
        let mut all = Histogram::default();
        self.requests.values().for_each(|own| all.add(own));
        all
    }

    /// Requests whose status is 500 or above.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let failed = |key: &Key| key.status().is_some_and(|status| status >= 500);
        let requests = self.requests.iter().filter(|(key, _)| failed(key));
        requests.map(|(_, histogram)| histogram.count()).sum()
    }
}

impl Histogram {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// One more, that took so long.
    pub fn observe(&mut self, took: Duration) {
        let millis = took.as_secs_f64() * 1_000.0;
        let within = BOUNDS.iter().take_while(|bound| millis > **bound as f64);
        self.buckets[within.count()] += 1;
        self.seconds += took.as_secs_f64();
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        for (own, more) in self.buckets.iter_mut().zip(other.buckets) {
            *own += more;
        }
        self.seconds += other.seconds;
    }

    /// The difference since earlier counts.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut since = *self;
        for (own, old) in since.buckets.iter_mut().zip(before.buckets) {
            *own = own.saturating_sub(old);
        }
        since.seconds = (self.seconds - before.seconds).max(0.0);
        since
    }

    /// The time within which this part of all was, in seconds, as Prometheus' `histogram_quantile`
    /// estimates it; `None` without any.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part * self.count() as f64;
        if rank <= 0.0 {
            return None;
        }
        let (mut below, mut lower) = (0.0, 0.0);
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            let (inside, upper) = (*bucket as f64, bound as f64 / 1_000.0);
            if inside > 0.0 && below + inside >= rank {
                return Some(lower + (upper - lower) * (rank - below) / inside);
            }
            (below, lower) = (below + inside, upper);
        }
        Some(lower)
    }

    fn add_series(&mut self, series: &Series) {
        for (own, more) in self.buckets.iter_mut().zip(&series.buckets) {
            *own += more.load(Relaxed);
        }
        self.seconds += series.nanos.load(Relaxed) as f64 / 1e9;
    }
}

impl Gauges {
    /// A worker's figures as they are now.
    #[must_use]
    pub fn of(page: &Page) -> Self {
        let read = |gauge: &AtomicU64| gauge.load(Relaxed);
        let now = &page.now;
        Self {
            turns: read(&now.turns),
            is_busy: read(&now.is_busy) != 0,
            active_requests: read(&now.active_requests),
            active: read(&now.active),
            websockets: read(&now.websockets),
            parked: read(&now.parked),
            lag: Duration::from_nanos(read(&now.lag)),
            wsgi_most: read(&now.wsgi_most),
            wsgi_threads: read(&now.wsgi_threads),
            wsgi_busy: read(&now.wsgi_busy),
            wsgi_waiting: read(&now.wsgi_waiting),
            wsgi_ended: read(&now.wsgi_ended),
        }
    }
}
