//! The workers' counts, as the server's status shows them.
//!
//! The supervisor publishes none of it: it turns when something happens to a worker, and requests are
//! nothing that it hears of. Whatever shows a status adds the counts of that moment.

use super::board::{Counted, Tally};
use crate::counters::{Counts, Gauges, Page};
use crate::operator::{ApplicationStatus, CacheStatus, Served, WorkerStatus};

/// Adds what an application's workers have counted by now, those that have ended among them.
pub fn add(application: &mut ApplicationStatus, tally: &Tally) {
    let counted = tally.counted();
    let counts = counted.counts();
    application.served = Some(served(&counted, &counts));
    application.caches = caches(counts);
    for worker in &mut application.workers {
        let mut live = counted.live.iter();
        if let Some(live) = live.find(|live| live.pid.is_some() && live.pid == worker.pid) {
            add_of(worker, &live.page);
        }
    }
}

fn add_of(worker: &mut WorkerStatus, page: &Page) {
    let mut counts = Counts::default();
    counts.add(page);
    let now = Gauges::of(page);
    worker.requests = Some(counts.total());
    worker.connections = Some(now.active + now.parked);
}

fn served(counted: &Counted, counts: &Counts) -> Served {
    let sum = |of: fn(&Gauges) -> u64| counted.gauges().map(|(_, now)| of(&now)).sum();
    Served {
        requests: counts.total(),
        failed: counts.failed(),
        active_requests: sum(|now| now.active_requests),
        active: sum(|now| now.active),
        parked: sum(|now| now.parked),
        websockets: sum(|now| now.websockets),
        handed_over: counts.handed_over,
        recycles: counted.recycles.values().sum(),
        crashes: counted.crashes.values().sum(),
        stalls: counted.stalls,
    }
}

fn caches(counts: Counts) -> Vec<CacheStatus> {
    let shown = counts.caches.into_iter().map(|(name, cached)| CacheStatus {
        name,
        directory: cached.directory.to_string_lossy().into_owned(),
        hits: cached.hits,
        misses: cached.misses,
        sets: cached.sets,
        bytes: None,
        limit: None,
    });
    shown.collect()
}
