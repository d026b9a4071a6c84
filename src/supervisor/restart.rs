//! How soon a dead worker is replaced, and when that is given up.

use std::time::Duration;

/// A worker that served for this long was healthy: its death is no sequel of an earlier one.
const HEALTHY: Duration = Duration::from_secs(10);

/// The number of failed starts in a row that end the server. The seven pauses between them are 6.3 s
/// in all; with the starts themselves, about ten seconds pass until whatever restarts containers sees
/// the end, as it should: it knows more about waiting, and a container that is up and serves nothing
/// deceives it. A worker that has been ready and dies is no failed start: a request that kills its
/// worker must not end the server.
const FAILED_STARTS: u32 = 8;

/// A dead worker's place. The first attempt is at once; the cap holds where others still serve or
/// workers become ready before they die, and keeps a failing start to a small part of one core.
const REPLACEMENT: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(4),
};

/// Pauses that double.
#[derive(Debug, Clone, Copy)]
pub(super) struct Backoff {
    pub first: Duration,
    pub longest: Duration,
}

impl Backoff {
    /// The pause after so many pauses.
    pub(super) fn pause(self, earlier: u32) -> Duration {
        let doubled = 1u32.checked_shl(earlier).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

/// Counts the deaths in a row of one place's workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Restart {
    in_a_row: u32,
    /// Those of them that were never ready.
    failed_starts: u32,
}

/// The decision after a worker's death.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start another after this time.
    After(Duration),
    /// So many starts in a row have failed.
    CannotStart(u32),
}

impl Restart {
    /// A worker died after having served for this long; `None` if it never became ready.
    pub(super) fn died(&mut self, served: Option<Duration>) -> Verdict {
        if served.is_some_and(|served| served >= HEALTHY) {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.failed_starts = match served {
            Some(_) => 0,
            None => self.failed_starts.saturating_add(1),
        };
        if self.failed_starts >= FAILED_STARTS {
            Verdict::CannotStart(self.failed_starts)
        } else {
            Verdict::After(self.delay())
        }
    }

    /// How long the next attempt waits.
    pub(super) fn delay(&self) -> Duration {
        match self.in_a_row {
            0 | 1 => Duration::ZERO,
            n => REPLACEMENT.pause(n - 2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_replaced_at_once_and_then_ever_later_until_it_cannot_start() {
        let mut restart = Restart::default();
        let mut waited = Vec::new();
        let starts = loop {
            match restart.died(None) {
                Verdict::After(delay) => waited.push(delay.as_millis()),
                Verdict::CannotStart(starts) => break starts,
            }
        };
        assert_eq!(waited, [0, 100, 200, 400, 800, 1600, 3200]);
        assert_eq!(starts, 8);
        assert_eq!(restart.delay(), REPLACEMENT.longest);
    }

    #[test]
    fn a_worker_that_has_been_ready_is_replaced_however_often_it_dies() {
        let mut restart = Restart::default();
        let mut last = Duration::ZERO;
        for _ in 0..50 {
            let Verdict::After(delay) = restart.died(Some(Duration::from_secs(1))) else {
                panic!("a crash is no failed start");
            };
            assert!(delay >= last);
            last = delay;
        }
        assert_eq!(last, REPLACEMENT.longest);
    }

    #[test]
    fn one_start_that_succeeds_forgives_those_that_failed() {
        let mut restart = Restart::default();
        for _ in 0..20 {
            for _ in 1..FAILED_STARTS {
                assert!(matches!(restart.died(None), Verdict::After(_)));
            }
            assert!(matches!(
                restart.died(Some(Duration::ZERO)),
                Verdict::After(_)
            ));
        }
    }

    #[test]
    fn a_healthy_life_forgives_what_was_before() {
        let mut restart = Restart::default();
        for _ in 0..5 {
            let _ = restart.died(Some(Duration::from_secs(1)));
        }
        assert_eq!(restart.died(Some(HEALTHY)), Verdict::After(Duration::ZERO));
    }
}
