//! How soon a dead worker is replaced, and when that is given up.

use std::time::Duration;

/// A worker that served for this long was healthy: its death is no sequel of an earlier one.
const HEALTHY: Duration = Duration::from_secs(10);

/// The second attempt waits this long, and each further one twice as long as the one before.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// No attempt waits longer: the reason may be a database that comes back.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// So many deaths in a row are a crash loop: about half a minute of waiting in all, after which
/// whatever restarts containers should see it.
const CRASH_LOOP: u32 = 11;

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
            n => {
                let doubled = 1u32.checked_shl(n - 2).unwrap_or(u32::MAX);
                FIRST_DELAY.saturating_mul(doubled).min(LONGEST_DELAY)
            }
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
        assert_eq!(
            waited,
            [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(deaths, 11);
    }

    #[test]
    fn a_healthy_life_forgives_what_was_before() {
        let mut restart = Restart::default();
        for _ in 0..8 {
            let _ = restart.died(Some(Duration::from_secs(1)));
        }
        assert_eq!(restart.died(Some(HEALTHY)), Verdict::After(Duration::ZERO));
    }
}
