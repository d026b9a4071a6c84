//! How a run is ended: asked first (SIGTERM), then killed. A pure function of time.

use std::time::{Duration, Instant};

use crate::jobs::Why;

/// How long a run that was asked to end may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A signal for the run's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blow {
    Terminate,
    Kill,
}

/// The time that is left for a live run.
#[derive(Debug)]
pub(super) struct Life {
    timeout: Option<Instant>,
    ending: Option<(Why, Stage)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked { kill_at: Instant },
    Killed,
}

impl Life {
    pub(super) fn new(timeout: Duration, now: Instant) -> Self {
        Self {
            // A time beyond the clock's is none.
            timeout: now.checked_add(timeout),
            ending: None,
        }
    }

    /// Ends it. A run that was asked before is not asked again.
    #[must_use]
    pub(super) fn end(&mut self, why: Why, now: Instant) -> Option<Blow> {
        self.end_within(why, PATIENCE, now)
    }

    /// Ends it, and kills it after this time at the latest.
    #[must_use]
    pub(super) fn end_within(
        &mut self,
        why: Why,
        patience: Duration,
        now: Instant,
    ) -> Option<Blow> {
        let latest = now + patience;
        match &mut self.ending {
            None => {
                self.ending = Some((why, Stage::Asked { kill_at: latest }));
                Some(Blow::Terminate)
            }
            Some((_, Stage::Asked { kill_at })) => {
                *kill_at = latest.min(*kill_at);
                None
            }
            Some((_, Stage::Killed)) => None,
        }
    }

    /// Ends it at once: memory does not wait.
    #[must_use]
    pub(super) fn kill(&mut self, why: Why) -> Option<Blow> {
        match self.ending {
            Some((_, Stage::Killed)) => None,
            Some((first, Stage::Asked { .. })) => {
                self.ending = Some((first, Stage::Killed));
                Some(Blow::Kill)
            }
            None => {
                self.ending = Some((why, Stage::Killed));
                Some(Blow::Kill)
            }
        }
    }

    #[must_use]
    pub(super) fn tick(&mut self, now: Instant) -> Option<Blow> {
        match self.ending {
            None if self.timeout.is_some_and(|timeout| timeout <= now) => {
                self.end(Why::Timeout, now)
            }
            Some((why, Stage::Asked { kill_at })) if kill_at <= now => {
                self.ending = Some((why, Stage::Killed));
                Some(Blow::Kill)
            }
            _ => None,
        }
    }

    /// Why it is ended, if it is.
    pub(super) fn why(&self) -> Option<Why> {
        self.ending.map(|(why, _)| why)
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.ending {
            None => self.timeout,
            Some((_, Stage::Asked { kill_at })) => Some(kill_at),
            Some((_, Stage::Killed)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_run_that_takes_too_long_is_asked_and_then_killed() {
        let start = Instant::now();
        let mut life = Life::new(5 * SECOND, start);
        assert_eq!(
            (life.tick(start), life.next_deadline()),
            (None, Some(start + 5 * SECOND))
        );
        assert_eq!(life.tick(start + 5 * SECOND), Some(Blow::Terminate));
        assert_eq!(life.tick(start + 14 * SECOND), None);
        assert_eq!(life.tick(start + 15 * SECOND), Some(Blow::Kill));
        assert_eq!(life.tick(start + 99 * SECOND), None);
        assert_eq!(
            (life.why(), life.next_deadline()),
            (Some(Why::Timeout), None)
        );
    }

    #[test]
    fn the_first_reason_counts_and_a_later_one_only_hurries() {
        let start = Instant::now();
        let mut life = Life::new(99 * SECOND, start);
        assert_eq!(life.end(Why::Stopped, start), Some(Blow::Terminate));
        assert_eq!(life.end_within(Why::Shutdown, SECOND, start), None);
        assert_eq!(life.next_deadline(), Some(start + SECOND));
        assert_eq!(life.kill(Why::Memory(1)), Some(Blow::Kill));
        assert_eq!(life.kill(Why::Memory(1)), None);
        assert_eq!(life.why(), Some(Why::Stopped));
    }
}
