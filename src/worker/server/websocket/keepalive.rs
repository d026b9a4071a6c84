//! When to ask whether the client is still there, and when to give it up.

use std::time::{Duration, Instant};

/// `--ws-ping-interval` and `--ws-ping-timeout` of one WebSocket.
#[derive(Debug)]
pub(super) struct Keepalive {
    interval: Duration,
    timeout: Option<Duration>,
    waiting: Waiting,
    /// Tells this ping from others, so that a late pong is not taken for this one's.
    ping: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// For the next ping's time.
    ToAsk(Instant),
    /// For a sign of life, at most until then if there is a limit.
    ForPong(Option<Instant>),
}

/// What to do when it is time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing yet.
    Nothing,
    /// Send a ping with this payload.
    Ping([u8; 4]),
    /// The client is gone.
    TimedOut,
}

impl Keepalive {
    pub(super) fn new(interval: Duration, timeout: Option<Duration>, now: Instant) -> Self {
        Self {
            interval,
            timeout,
            waiting: Waiting::ToAsk(now + interval),
            ping: 0,
        }
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.waiting {
            Waiting::ToAsk(at) => Some(at),
            Waiting::ForPong(until) => until,
        }
    }

    /// Whether a sign of life would make a difference.
    pub(super) fn is_waiting_for_pong(&self) -> bool {
        matches!(self.waiting, Waiting::ForPong(_))
    }

    /// The deadline may have passed.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Due::Nothing;
        }
        match self.waiting {
            Waiting::ForPong(_) => Due::TimedOut,
            Waiting::ToAsk(_) => {
                self.ping = self.ping.wrapping_add(1);
                // Without a limit the next ping's time is all there is to wait for.
                self.waiting = match self.timeout {
                    Some(timeout) => Waiting::ForPong(Some(now + timeout)),
                    None => Waiting::ToAsk(now + self.interval),
                };
                Due::Ping(self.ping.to_be_bytes())
            }
        }
    }

    /// The client has said something, or cannot be heard because nobody reads: it is not silent.
    pub(super) fn heard(&mut self, now: Instant) {
        self.waiting = Waiting::ToAsk(now + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_client_that_answers_is_asked_again() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(20 * SECOND, Some(5 * SECOND), start);
        assert_eq!(keepalive.due(start + 19 * SECOND), Due::Nothing);
        assert_eq!(keepalive.due(start + 20 * SECOND), Due::Ping([0, 0, 0, 1]));
        assert_eq!(keepalive.deadline(), Some(start + 25 * SECOND));
        keepalive.heard(start + 21 * SECOND);
        assert_eq!(keepalive.due(start + 25 * SECOND), Due::Nothing);
        assert_eq!(keepalive.due(start + 41 * SECOND), Due::Ping([0, 0, 0, 2]));
    }

    #[test]
    fn a_silent_client_is_given_up() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(SECOND, Some(SECOND), start);
        assert!(matches!(keepalive.due(start + SECOND), Due::Ping(_)));
        assert_eq!(keepalive.due(start + 2 * SECOND), Due::TimedOut);
    }

    #[test]
    fn without_a_timeout_pings_only_keep_the_way_open() {
        let start = Instant::now();
        let mut keepalive = Keepalive::new(SECOND, None, start);
        for n in 1..5 {
            assert!(matches!(keepalive.due(start + n * SECOND), Due::Ping(_)));
            assert!(!keepalive.is_waiting_for_pong());
        }
    }
}
