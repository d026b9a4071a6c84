//! The terms on which a worker drains: which streams should end, and when open requests are cancelled.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The part of a worker's time to stop that is kept for lifespan shutdown: a quarter, and no more than
/// this. Requests that are open by then are cancelled.
const FOR_SHUTDOWN: Duration = Duration::from_secs(2);

/// How long an event stream goes on when its worker stops: it has no end of its own, and its client
/// comes back.
const EVENTS: Duration = Duration::from_secs(2);

/// How long a stream has that was told to end when all others wait for it: one whose application does not listen is cut
/// then. `docker stop` should be over within 4 s.
const LISTENING: Duration = Duration::from_millis(750);

/// Responses without a length that have gone on for so long are taken for streams without an end
/// when the server stops.
const ENDLESS_FROM: Duration = Duration::from_secs(30);

/// How long requests may take that are open when a worker stops before its successor starts. Its
/// long ones were waited for before; every other client waits meanwhile.
const WHILE_OTHERS_WAIT: Duration = Duration::from_secs(2);

/// How a worker drains. Times are from the order, or from the end of the delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// How long it first serves on as before, but for `connection: close`.
    pub delay: Duration,
    /// When event streams are asked to end.
    pub endless: Duration,
    /// When those are cut that have not ended: with all others where another worker serves, since a stream may
    /// have an end of its own (an answer that is written word by word).
    pub deaf: Duration,
    /// Responses without a length are told, too, when they have gone on for so long.
    pub endless_from: Option<Duration>,
    /// How long open requests may take before they are cancelled.
    pub requests: Duration,
    /// A person has pressed Ctrl-C; otherwise it is as with SIGTERM.
    pub interrupted: bool,
}

impl Drain {
    /// The server stops, and has so long for it, lifespan shutdown included.
    #[must_use]
    pub fn stopping(grace: Duration, delay: Duration, interrupted: bool) -> Self {
        let drain = Self::recycling(grace);
        Self {
            delay,
            deaf: drain.endless + LISTENING.min(drain.requests / 4),
            endless_from: Some(ENDLESS_FROM),
            interrupted,
            ..drain
        }
    }

    /// Another worker serves meanwhile.
    #[must_use]
    pub fn recycling(grace: Duration) -> Self {
        let requests = grace - FOR_SHUTDOWN.min(grace / 4);
        Self {
            delay: Duration::ZERO,
            endless: EVENTS.min(requests / 2),
            deaf: requests,
            endless_from: None,
            requests,
            interrupted: false,
        }
    }

    /// No other worker serves, and the successor starts when this one has gone.
    #[must_use]
    pub fn blocking() -> Self {
        Self {
            delay: Duration::ZERO,
            endless: Duration::ZERO,
            deaf: LISTENING,
            endless_from: None,
            requests: WHILE_OTHERS_WAIT,
            interrupted: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifespan_shutdown_has_its_part_of_the_time() {
        for (grace, requests) in [(8.0, 6.0), (30.0, 28.0), (1.0, 0.75), (0.0, 0.0)] {
            let grace = Duration::from_secs_f64(grace);
            let drain = Drain::stopping(grace, Duration::ZERO, false);
            assert_eq!(drain.requests, Duration::from_secs_f64(requests));
            assert!(drain.endless <= drain.requests / 2);
            // Before all others are told.
            assert!(drain.deaf <= drain.requests / 4 * 3);
            assert_eq!(Drain::recycling(grace).deaf, drain.requests);
        }
    }
}
