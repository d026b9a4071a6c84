//! Whether a worker is stalled: a pure judgement of its counters and their times.
//!
//! Busy is not dead. A worker is stalled when it should have made a turn and has not for the whole time:
//! its event loop while it is busy or has requests or connections, or, of a WSGI application, its
//! threads while none of them is left for what waits and none has ended a view.

use std::time::{Duration, Instant};

use crate::counters::Gauges;

/// A worker is looked at so many times in the time that it may take.
const LOOKS: u32 = 4;

/// Between two looks, at most and at least.
const RARELY: Duration = Duration::from_millis(500);
const OFTEN: Duration = Duration::from_millis(50);

/// The observations of one worker.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    turns: u64,
    ended: u64,
    /// When it came round last, as far as is known, or had nothing to do.
    turned: Instant,
    /// The same of its threads.
    worked: Instant,
    is_stalled: bool,
}

/// The result of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Verdict {
    /// As before.
    Unchanged,
    /// It has made no turn for this long.
    Stalled(Duration),
    /// It makes turns again.
    Recovered,
}

/// How often workers are looked at.
pub(super) fn interval(limit: Duration) -> Duration {
    (limit / LOOKS).clamp(OFTEN, RARELY)
}

impl Watch {
    /// A worker that has just become ready.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            turns: 0,
            ended: 0,
            turned: now,
            worked: now,
            is_stalled: false,
        }
    }

    /// Whether it was stalled at the last look.
    pub(super) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// Looks at a worker that may take so long.
    pub(super) fn look(&mut self, seen: Gauges, limit: Duration, now: Instant) -> Verdict {
        let has_work = seen.is_busy || seen.active_requests > 0 || seen.active > 0;
        if seen.turns != self.turns || !has_work {
            (self.turns, self.turned) = (seen.turns, now);
        }
        let all_are_taken = seen.wsgi_waiting > 0 || seen.wsgi_busy == seen.wsgi_most;
        if seen.wsgi_ended != self.ended || seen.wsgi_busy == 0 || !all_are_taken {
            (self.ended, self.worked) = (seen.wsgi_ended, now);
        }
        let still = now - self.turned.min(self.worked);
        let was_stalled = std::mem::replace(&mut self.is_stalled, still >= limit);
        match (was_stalled, self.is_stalled) {
            (false, true) => Verdict::Stalled(still),
            (true, false) => Verdict::Recovered,
            _ => Verdict::Unchanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(4);

    /// Looks once a second, and says at which looks a worker stalled and recovered.
    fn watched(seen: impl Fn(u64) -> Gauges) -> (Vec<u64>, Vec<u64>) {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let (mut stalled, mut recovered) = (Vec::new(), Vec::new());
        for second in 1..=20 {
            match watch.look(seen(second), LIMIT, start + Duration::from_secs(second)) {
                Verdict::Stalled(_) => stalled.push(second),
                Verdict::Recovered => recovered.push(second),
                Verdict::Unchanged => {}
            }
        }
        (stalled, recovered)
    }

    #[test]
    fn an_idle_worker_is_not_stalled() {
        let (stalled, _) = watched(|_| Gauges::default());
        assert!(stalled.is_empty());
    }

    #[test]
    fn a_busy_one_that_comes_round_is_not_either() {
        let (stalled, _) = watched(|second| Gauges {
            turns: second / 3,
            is_busy: true,
            active_requests: 9,
            ..Gauges::default()
        });
        assert!(stalled.is_empty());
    }

    #[test]
    fn one_that_hangs_is_told_once_and_so_is_its_recovery() {
        let hangs = |second: u64| Gauges {
            turns: if second < 12 { 7 } else { second },
            active_requests: 1,
            ..Gauges::default()
        };
        assert_eq!(watched(hangs), (vec![5], vec![12]));
    }

    #[test]
    fn threads_are_stuck_when_none_is_left_and_none_ends() {
        let threads = |busy, waiting, ends: bool| {
            watched(move |second| Gauges {
                turns: second,
                active: 1,
                wsgi_most: 4,
                wsgi_threads: 4,
                wsgi_busy: busy,
                wsgi_waiting: waiting,
                wsgi_ended: if ends { second } else { 0 },
                ..Gauges::default()
            })
        };
        // One long view leaves the others to serve.
        assert!(threads(1, 0, false).0.is_empty());
        assert!(threads(4, 9, true).0.is_empty());
        assert_eq!(threads(4, 0, false).0, [4]);
        // The one that has the interpreter does not let it go.
        assert_eq!(threads(1, 2, false).0, [4]);
    }

    #[test]
    fn short_limits_are_looked_at_more_often() {
        assert_eq!(interval(Duration::from_secs(60)), RARELY);
        assert_eq!(interval(Duration::from_millis(400)), OFTEN * 2);
    }
}
