//! How one application of several stands: waiting for its turn to start, up, given up for a while,
//! stopped by its operator, or on its way out. Pure: (state, event, now).
//!
//! An application whose workers keep dying, or cannot start, stops alone. Nothing outside restarts it,
//! as a container or a service would be, so it is tried again after pauses that double.

use std::time::{Duration, Instant};

use super::restart::Backoff;
use crate::operator::Serving;

/// Ten seconds are what its last attempts took; five minutes cost a machine nothing, and a database
/// that was down for the night is found again in time.
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(10),
    longest: Duration::from_secs(300),
};

/// An application that was up for this long was well: its end is no sequel of an earlier one.
const PROVEN: Duration = Duration::from_secs(60);

/// A start, or a replacement, that takes longer does not keep others from starting.
pub(super) const START: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Up { since: Instant },
    GivenUp { until: Instant },
    Stopping,
    Stopped,
    Leaving,
}

/// One application's.
#[derive(Debug)]
pub(super) struct Standing {
    state: State,
    /// How many times in a row it was given up.
    failures: u32,
}

/// The state after the end of its last worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum End {
    /// It is tried again after this time.
    Again(Duration),
    /// As its operator asked.
    Stopped,
    /// It is served no more.
    Gone,
}

impl Standing {
    pub(super) fn waiting() -> Self {
        Self {
            state: State::Waiting,
            failures: 0,
        }
    }

    /// Whether it should be started when there is room for another start.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        match self.state {
            State::Waiting => true,
            State::GivenUp { until } => until <= now,
            _ => false,
        }
    }

    /// Whether it has begun to start so lately that others should wait.
    pub(super) fn has_just_begun(&self, now: Instant) -> bool {
        matches!(self.state, State::Up { since } if now - since < START)
    }

    /// When [`Self::is_due`] or [`Self::has_just_begun`] changes; none where that is past, though there
    /// is no room for another start yet.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let changes = match self.state {
            State::GivenUp { until } => until,
            State::Up { since } => since + START,
            _ => return None,
        };
        Some(changes).filter(|at| *at > now)
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. } | State::Stopping)
    }

    /// The state that an operator is shown in place of its pool's.
    pub(super) fn shown(&self) -> Option<Serving> {
        match self.state {
            State::Up { .. } => None,
            State::Waiting => Some(Serving::Waiting),
            State::GivenUp { .. } => Some(Serving::Failed),
            State::Stopped => Some(Serving::Stopped),
            State::Stopping | State::Leaving => Some(Serving::Stopping),
        }
    }

    /// Whether it is stopped, or is being stopped, because its operator wants it so.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.state, State::Stopped | State::Stopping)
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.state == State::Leaving
    }

    /// Its workers are started.
    pub(super) fn begin(&mut self, now: Instant) {
        self.state = State::Up { since: now };
    }

    /// Its operator wants it stopped; whether there are workers to be stopped.
    pub(super) fn stop(&mut self) -> bool {
        let was_up = self.is_up();
        self.state = if was_up {
            State::Stopping
        } else {
            State::Stopped
        };
        was_up
    }

    /// Stops serving it. Returns whether there are workers to stop.
    pub(super) fn leave(&mut self) -> bool {
        let was_up = self.is_up();
        self.state = State::Leaving;
        was_up
    }

    /// It should be started as soon as it can be: its operator wants it, or its settings have changed.
    pub(super) fn want(&mut self) {
        self.failures = 0;
        match self.state {
            State::GivenUp { .. } | State::Stopped => self.state = State::Waiting,
            State::Waiting | State::Up { .. } | State::Stopping | State::Leaving => {}
        }
    }

    /// Its last worker has ended.
    pub(super) fn ended(&mut self, now: Instant) -> End {
        match self.state {
            State::Leaving => End::Gone,
            State::Stopping | State::Stopped => {
                self.state = State::Stopped;
                End::Stopped
            }
            State::Up { since } if now - since >= PROVEN => self.give_up(0, now),
            _ => self.give_up(self.failures, now),
        }
    }

    fn give_up(&mut self, failures: u32, now: Instant) -> End {
        let pause = AGAIN.pause(failures);
        self.failures = failures.saturating_add(1);
        self.state = State::GivenUp { until: now + pause };
        End::Again(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_again_after_pauses_that_double_until_it_was_well() {
        let (mut standing, mut now) = (Standing::waiting(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..7 {
            assert!(standing.is_due(now));
            standing.begin(now);
            let End::Again(pause) = standing.ended(now + START) else {
                panic!("it is not tried again");
            };
            assert!(!standing.is_due(now + START));
            now += START;
            assert_eq!(standing.deadline(now), Some(now + pause));
            now += pause;
            assert_eq!(standing.deadline(now), None);
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300]);
        standing.begin(now);
        assert_eq!(standing.ended(now + PROVEN), End::Again(AGAIN.first));
    }

    #[test]
    fn stopped_it_stays_so_until_it_is_wanted() {
        let (mut standing, now) = (Standing::waiting(), Instant::now());
        standing.begin(now);
        assert!(standing.stop());
        assert_eq!(standing.ended(now), End::Stopped);
        assert!(!standing.is_due(now + AGAIN.longest));
        assert!(!standing.stop());
        standing.want();
        assert!(standing.is_due(now));
    }

    #[test]
    fn a_start_that_hangs_keeps_others_waiting_for_a_moment_only() {
        let (mut standing, now) = (Standing::waiting(), Instant::now());
        standing.begin(now);
        assert!(standing.has_just_begun(now));
        assert_eq!(standing.deadline(now), Some(now + START));
        assert!(!standing.has_just_begun(now + START));
    }

    #[test]
    fn one_that_leaves_is_gone_and_not_wanted_again() {
        let (mut standing, now) = (Standing::waiting(), Instant::now());
        standing.begin(now);
        assert!(standing.leave());
        standing.want();
        assert_eq!(standing.ended(now), End::Gone);
    }
}
