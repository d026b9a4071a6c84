//! `--awake` by the clock on the wall.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Hours;

/// Between two looks at the clock: it may be set, or the machine may sleep.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Says when the hours begin and end.
#[derive(Debug)]
pub(super) struct Clock {
    hours: Hours,
    is_awake: Option<bool>,
    next: Instant,
}

impl Clock {
    pub(super) fn new(hours: Hours) -> Self {
        Self {
            hours,
            is_awake: None,
            next: Instant::now(),
        }
    }

    /// Whether the application should be awake from now on, if that has changed.
    pub(super) fn take(&mut self, now: Instant) -> Option<bool> {
        if now < self.next {
            return None;
        }
        let time = Timestamp::now();
        let (is_awake, change) = self.hours.at(time);
        let left = change.and_then(|change| Duration::try_from(change.duration_since(time)).ok());
        self.next = now + left.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        (self.is_awake.replace(is_awake) != Some(is_awake)).then_some(is_awake)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next
    }
}
