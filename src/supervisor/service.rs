//! The messages to systemd, as a pure function of the server's state.

use std::time::{Duration, Instant};

use crate::figures::Megabytes;
use crate::operator::{Stage, Status};

/// The text of a service's status changes with its memory: not more often than this.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// The state that has been reported.
#[derive(Debug)]
pub(super) struct Service {
    is_ready: bool,
    is_reloading: bool,
    is_stopping: bool,
    status: String,
    status_due: Option<Instant>,
    /// Half of the time within which systemd wants to hear something.
    beat: Option<Duration>,
    beat_due: Option<Instant>,
}

/// How everything is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// The applications and their workers.
    pub status: &'a Status,
    /// Each application has been served, or has failed, once.
    pub is_up: bool,
    /// The server ends.
    pub is_stopping: bool,
    /// Every worker is being replaced, as was asked for.
    pub is_reloading: bool,
    /// A worker is stalled.
    pub is_stalled: bool,
    /// CLOCK_MONOTONIC.
    pub monotonic: Duration,
}

impl Service {
    /// Nothing has been told; `watchdog` is the time within which systemd wants to hear something.
    pub(super) fn new(watchdog: Option<Duration>) -> Self {
        Self {
            is_ready: false,
            is_reloading: false,
            is_stopping: false,
            status: String::new(),
            status_due: None,
            beat: watchdog.map(|watchdog| watchdog / 2),
            beat_due: None,
        }
    }

    /// When [`Self::lines`] has something to say though nothing happens.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.beat_due, self.status_due].into_iter().flatten().min()
    }

    /// Whether the status has the memory, which takes the kernel a while to count.
    pub(super) fn is_status_due(&self, now: Instant) -> bool {
        self.status_due.is_none_or(|due| due <= now)
    }

    /// The lines to send now; empty where there are none.
    pub(super) fn lines(&mut self, seen: Seen<'_>, now: Instant) -> String {
        let mut lines = String::new();
        if seen.is_stopping {
            if !std::mem::replace(&mut self.is_stopping, true) {
                lines += "STOPPING=1\n";
            }
        } else if self.is_ready {
            if seen.is_reloading && !self.is_reloading {
                lines += &format!(
                    "RELOADING=1\nMONOTONIC_USEC={}\n",
                    seen.monotonic.as_micros()
                );
            } else if self.is_reloading && !seen.is_reloading {
                lines += "READY=1\n";
            }
            self.is_reloading = seen.is_reloading;
        } else if seen.is_up {
            self.is_ready = true;
            lines += &format!("READY=1\nMAINPID={}\n", seen.status.pid);
        }
        self.add_status(seen.status, now, &mut lines);
        self.add_beat(seen.is_stalled, now, &mut lines);
        lines
    }

    /// `STATUS=31.4 MB, 2 workers`
    fn add_status(&mut self, status: &Status, now: Instant, lines: &mut String) {
        if !self.is_status_due(now) {
            return;
        }
        self.status_due = Some(now + STATUS_EVERY);
        let text = summary(status);
        if text != self.status {
            *lines += &format!("STATUS={text}\n");
            self.status = text;
        }
    }

    /// systemd ends a service that sends no watchdog message, and one with a stalled worker should be ended.
    fn add_beat(&mut self, is_stalled: bool, now: Instant, lines: &mut String) {
        let Some(beat) = self.beat else { return };
        if self.beat_due.is_some_and(|due| now < due) {
            return;
        }
        self.beat_due = Some(now + beat);
        if !is_stalled {
            *lines += "WATCHDOG=1\n";
        }
    }
}

fn summary(status: &Status) -> String {
    let workers: Vec<_> = status
        .applications
        .iter()
        .flat_map(|application| &application.workers)
        .filter(|worker| worker.stage == Stage::Ready)
        .collect();
    let own = workers.iter().filter_map(|worker| worker.memory);
    let memory: u64 = own.chain(status.memory).sum();
    let workers = match workers.len() {
        1 => "1 worker".to_owned(),
        count => format!("{count} workers"),
    };
    format!("{} MB, {workers}", Megabytes(memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            version: 1,
            server: String::new(),
            pid: 7,
            uptime: 0.0,
            memory: Some(1_000_000),
            budget: None,
            applications: Vec::new(),
            is_fleet: false,
            jobs: Vec::new(),
            queue: None,
        }
    }

    #[derive(Clone, Copy)]
    enum How {
        Starting,
        Up,
        Reloading,
        Stopping,
    }

    fn told(service: &mut Service, how: How, now: Instant) -> String {
        let seen = Seen {
            status: &status(),
            is_up: matches!(how, How::Up | How::Reloading),
            is_stopping: matches!(how, How::Stopping),
            is_reloading: matches!(how, How::Reloading),
            is_stalled: false,
            monotonic: Duration::from_secs(3),
        };
        service.lines(seen, now)
    }

    #[test]
    fn each_change_is_told_once() {
        let now = Instant::now();
        let mut service = Service::new(None);
        let starting = told(&mut service, How::Starting, now);
        assert_eq!(starting, "STATUS=1.0 MB, 0 workers\n");
        let steps = [
            (How::Starting, ""),
            (How::Up, "READY=1\nMAINPID=7\n"),
            (How::Up, ""),
            (How::Reloading, "RELOADING=1\nMONOTONIC_USEC=3000000\n"),
            (How::Reloading, ""),
            (How::Up, "READY=1\n"),
            (How::Stopping, "STOPPING=1\n"),
            (How::Stopping, ""),
        ];
        for (how, expected) in steps {
            assert_eq!(told(&mut service, how, now), expected);
        }
    }

    #[test]
    fn the_watchdog_hears_of_it_twice_in_its_time_and_not_of_a_stalled_worker() {
        let start = Instant::now();
        let mut service = Service::new(Some(Duration::from_secs(4)));
        let status = status();
        let mut beats = Vec::new();
        for second in 0..10 {
            let seen = Seen {
                status: &status,
                is_up: true,
                is_stopping: false,
                is_reloading: false,
                is_stalled: second > 5,
                monotonic: Duration::ZERO,
            };
            let lines = service.lines(seen, start + Duration::from_secs(second));
            if lines.contains("WATCHDOG=1") {
                beats.push(second);
            }
        }
        assert_eq!(beats, [0, 2, 4]);
    }
}
