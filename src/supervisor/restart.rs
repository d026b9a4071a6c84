//! How soon a dead worker is replaced, and when that is given up.

use std::time::Duration;

/// A worker that served for this long was healthy: its death is no sequel of an earlier one.
const HEALTHY: Duration = Duration::from_secs(10);

/// So many deaths in a row are a crash loop. The seven pauses between them are 6.3 s in all; with the
/// starts that fail, about ten seconds pass until whatever restarts containers sees the end, as it
/// should: it knows more about waiting, and a container that is up and serves nothing deceives it.
const CRASH_LOOP: u32 = 8;

/// A dead worker's place. The first attempt is at once; the cap holds where others still serve, so
/// that the loop is not given up, and keeps a failing start to a small part of one core.
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

/// Counts deaths in a row, over all workers.
#[derive(Debug, Default)]
pub(super) struct Restart {
    in_a_row: u32,
}

/// What to do about a death.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start another after this time.
    After(Duration),
    /// It is a crash loop of so many deaths.
    CrashLoop(u32),
}

impl Restart {
    /// A worker died after having served for this long; `None` if it never became ready.
    pub(super) fn died(&mut self, served: Option<Duration>) -> Verdict {
        if served.is_some_and(|served| served >= HEALTHY) {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if self.in_a_row >= CRASH_LOOP {
            Verdict::CrashLoop(self.in_a_row)
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
    fn the_first_is_replaced_at_once_and_then_ever_later_until_it_is_a_loop() {
        let mut restart = Restart::default();
        let mut waited = Vec::new();
        let deaths = loop {
            match restart.died(None) {
                Verdict::After(delay) => waited.push(delay.as_millis()),
                Verdict::CrashLoop(deaths) => break deaths,
            }
        };
        assert_eq!(waited, [0, 100, 200, 400, 800, 1600, 3200]);
        assert_eq!(deaths, 8);
        assert_eq!(restart.delay(), REPLACEMENT.longest);
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
