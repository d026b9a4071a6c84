//! The sweep: it ends connections whose time is up, and lets idle ones rest.
//!
//! Deadlines are swept, not armed: a request only stores an instant, where a timer per request
//! would cost two turns of the timer wheel. The sweep runs while there are connections and is
//! late by a quarter of the shortest limit at most.

use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::{Connections, Entry};

/// Between two sweeps.
const MIN_INTERVAL: Duration = Duration::from_millis(25);
const MAX_INTERVAL: Duration = Duration::from_millis(500);

/// How long a connection is idle before it is parked. Clients in a conversation come back sooner,
/// and parking costs two system calls.
const PARK_AFTER: Duration = Duration::from_millis(200);

/// So many idle connections are enough to be worth the two system calls sooner: what each holds until
/// then adds up, and what was taken for all of them is not given back while some of it is used.
pub(super) const CROWD: usize = 64;
const PARK_IN_CROWD_AFTER: Duration = Duration::from_millis(25);

/// The pause between two sweeps, for the shortest limit that any connection is held to.
pub(super) fn interval(shortest: Duration) -> Duration {
    (shortest / 4).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

impl Connections {
    /// Waits until there are connections, or [`Self::wake_sweep`], and then for the next sweep.
    pub(in crate::server) async fn next_sweep(&self, needed: impl Fn() -> bool) {
        poll_fn(|cx| {
            if self.open.get() > 0 || needed() {
                return Poll::Ready(());
            }
            *self.sweep.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        // A drain brings deadlines forward.
        let interval = if self.draining.get() || self.crowded.get() {
            MIN_INTERVAL
        } else {
            self.interval
        };
        let due = Instant::now() + interval;
        let crowd = tokio::time::timeout(interval, self.crowd.notified()).await;
        self.due.set(crowd.is_err().then_some(due));
    }

    /// When the last sweep was due, unless it was brought forward.
    pub(in crate::server) fn due(&self) -> Option<Instant> {
        self.due.get()
    }

    /// There is something to sweep.
    pub(in crate::server) fn wake_sweep(&self) {
        if let Some(waker) = self.sweep.take() {
            waker.wake();
        }
    }

    /// Wakes connections whose time is up, or that may be parked.
    pub(in crate::server) fn sweep(&self, now: Instant) {
        let entries = self.entries();
        let idle = entries.iter().filter(|entry| entry.idles());
        self.crowded.set(idle.count() >= CROWD);
        self.added.set(0);
        let park_after = if self.crowded.get() {
            PARK_IN_CROWD_AFTER
        } else {
            PARK_AFTER
        };
        for entry in entries {
            let expired = entry.deadline.get().is_some_and(|deadline| deadline <= now);
            if expired {
                entry.expired.set(true);
            }
            if let Some(since) = entry.idle.get() {
                entry.rests.set(now.duration_since(since) >= park_after);
            }
            if entry.is_stuck(self.write, now) {
                entry.cut.set(true);
            }
            if expired || entry.rests() || entry.is_cut() {
                entry.wake();
            }
        }
        if !self.full.borrow().is_empty() && self.has_spare(now) {
            self.full.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl Entry {
    /// Whether its client has taken nothing for too long.
    fn is_stuck(&self, limit: Option<Duration>, now: Instant) -> bool {
        let stalled = limit.zip(self.stalled.get());
        stalled.is_some_and(|(limit, since)| now.saturating_duration_since(since) >= limit)
    }

    /// Whether it is idle, and does not rest yet.
    fn idles(&self) -> bool {
        self.idle.get().is_some() && !self.rests()
    }
}

#[cfg(test)]
mod tests;
