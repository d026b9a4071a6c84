//! When to ask whether the client is still there, and when to give it up.

use std::rc::Rc;
use std::time::Instant;

use lowmem_base::config::WebSockets;

/// The pings of one WebSocket.
#[derive(Debug)]
pub(super) struct Keepalive {
    settings: Rc<WebSockets>,
    /// When it is time for the next ping, or too late for the answer to the last one.
    deadline: Instant,
    /// An answer is awaited.
    is_asked: bool,
    /// Tells this ping from others, so that a late pong is not taken for this one's.
    ping: u32,
}

/// The action that is due.
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
    /// Nothing where clients are not asked.
    pub(super) fn new(settings: Rc<WebSockets>, now: Instant) -> Option<Self> {
        let interval = settings.ping_interval?;
        Some(Self {
            settings,
            deadline: now + interval,
            is_asked: false,
            ping: 0,
        })
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether a sign of life would make a difference.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// The deadline may have passed.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if now < self.deadline {
            return Due::Nothing;
        }
        if self.is_asked {
            return Due::TimedOut;
        }
        self.ping = self.ping.wrapping_add(1);
        match self.settings.ping_timeout {
            Some(timeout) => {
                self.deadline = now + timeout;
                self.is_asked = true;
            }
            // Without a limit only the next ping is waited for.
            None => self.heard(now),
        }
        Due::Ping(self.ping.to_be_bytes())
    }

    /// The client has sent something, or may have while the application does not read: it is not silent.
    pub(super) fn heard(&mut self, now: Instant) {
        self.deadline = now + self.settings.ping_interval.unwrap_or_default();
        self.is_asked = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn keepalive(interval: Duration, timeout: Option<Duration>, now: Instant) -> Keepalive {
        let settings = WebSockets {
            ping_interval: Some(interval),
            ping_timeout: timeout,
            max_size: 1,
            per_message_deflate: false,
        };
        Keepalive::new(Rc::new(settings), now).expect("it asks")
    }

    #[test]
    fn a_client_that_answers_is_asked_again() {
        let start = Instant::now();
        let mut keepalive = keepalive(20 * SECOND, Some(5 * SECOND), start);
        assert_eq!(keepalive.due(start + 19 * SECOND), Due::Nothing);
        assert_eq!(keepalive.due(start + 20 * SECOND), Due::Ping([0, 0, 0, 1]));
        assert_eq!(keepalive.deadline(), start + 25 * SECOND);
        keepalive.heard(start + 21 * SECOND);
        assert_eq!(keepalive.due(start + 25 * SECOND), Due::Nothing);
        assert_eq!(keepalive.due(start + 41 * SECOND), Due::Ping([0, 0, 0, 2]));
    }

    #[test]
    fn a_silent_client_is_given_up() {
        let start = Instant::now();
        let mut keepalive = keepalive(SECOND, Some(SECOND), start);
        assert!(matches!(keepalive.due(start + SECOND), Due::Ping(_)));
        assert_eq!(keepalive.due(start + 2 * SECOND), Due::TimedOut);
    }

    #[test]
    fn without_a_timeout_pings_only_keep_the_way_open() {
        let start = Instant::now();
        let mut keepalive = keepalive(SECOND, None, start);
        for n in 1..5 {
            assert!(matches!(keepalive.due(start + n * SECOND), Due::Ping(_)));
            assert!(!keepalive.is_asked());
        }
    }
}
