//! The signals that the supervisor answers, and their senders.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGXFSZ,
};

use super::pool::Event;
use crate::sys::process;

/// One Ctrl-C may arrive twice: from the terminal, whose whole group receives it, and from a wrapper that passes it on
/// (npm, honcho, a shell script). Both come within milliseconds; a person takes longer.
const ECHO: Duration = Duration::from_millis(200);

/// A signal and what it means. Order matters where several arrive together.
const MEANINGS: [(i32, Option<Event>); 10] = [
    // An init system or `docker stop`. The terminal's Ctrl-C, perhaps more than once.
    (SIGTERM, Some(Event::Stop)),
    (SIGINT, Some(Event::Interrupt)),
    // The terminal's Ctrl-\, for when Ctrl-C does not help.
    (SIGQUIT, Some(Event::StopNow)),
    // An operator or logrotate: fresh workers.
    (SIGHUP, Some(Event::Recycle)),
    // An operator, as with Uvicorn and gunicorn: a worker more, a worker less.
    (SIGTTIN, Some(Event::Grow)),
    (SIGTTOU, Some(Event::Shrink)),
    // The kernel: a child should be reaped, which happens in each turn anyway.
    (SIGCHLD, None),
    // Scripts written for other servers; by default they would end this one.
    (SIGUSR1, None),
    (SIGUSR2, None),
    // A log that is a file and has reached `ulimit -f`: its lines are lost, and the server goes on, as Python's.
    (SIGXFSZ, None),
];

/// The pipe that handlers write to, and which signals they saw. Handlers, unlike ignored or blocked
/// signals, are not inherited by the workers.
#[derive(Debug)]
pub(super) struct Signals {
    pipe: UnixStream,
    seen: [Arc<AtomicBool>; MEANINGS.len()],
    stops: Stops,
}

/// One signal that arrived, and what it asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    pub number: i32,
    pub event: Event,
}

impl Signals {
    /// Installs the handlers.
    pub(super) fn install() -> io::Result<Self> {
        // A parent that blocks signals passes that on to what it starts.
        process::unblock_signals()?;
        let (pipe, handlers_end) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let seen = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
        for ((number, _), seen) in MEANINGS.iter().zip(&seen) {
            // In this order: a wake-up without its flag would be lost, a flag without its wake-up waits for it.
            signal_hook::flag::register(*number, Arc::clone(seen))?;
            signal_hook::low_level::pipe::register(*number, handlers_end.try_clone()?)?;
        }
        Ok(Self {
            pipe,
            seen,
            stops: Stops::default(),
        })
    }

    /// The signals that have arrived since the last call.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Arrived> {
        let mut bytes = [0; 64];
        // Emptied before the flags are read, so that a handler that sets one later wakes the loop again.
        while matches!(self.pipe.read(&mut bytes), Ok(read) if read == bytes.len()) {}
        let arrived = MEANINGS.iter().zip(&self.seen);
        let arrived = arrived.filter(|(_, seen)| seen.swap(false, Ordering::SeqCst));
        let with_event = |((number, event), _): (&(i32, Option<Event>), _)| {
            event.map(|event| Arrived {
                number: *number,
                event,
            })
        };
        let mut arrived: Vec<Arrived> = arrived.filter_map(with_event).collect();
        arrived.retain(|each| !self.stops.is_echo(each.event, now));
        arrived
    }
}

/// When the server was last told to stop.
#[derive(Debug, Default)]
struct Stops {
    last: Option<Instant>,
}

impl Stops {
    /// Whether an event is the signal before once more; takes note of it otherwise.
    fn is_echo(&mut self, event: Event, now: Instant) -> bool {
        if !matches!(event, Event::Stop | Event::Interrupt | Event::StopNow) {
            return false;
        }
        let is_soon = self.last.is_some_and(|last| now - last < ECHO);
        // Only an interrupt means more when it comes again.
        let is_echo = event == Event::Interrupt && is_soon;
        if !is_echo {
            self.last = Some(now);
        }
        is_echo
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each of these events, so many milliseconds after the first, is an echo.
    fn echoes(events: &[(Event, u64)]) -> Vec<bool> {
        let start = Instant::now();
        let mut stops = Stops::default();
        let told = events
            .iter()
            .map(|(event, at)| stops.is_echo(*event, start + Duration::from_millis(*at)));
        told.collect()
    }

    #[test]
    fn an_interrupt_right_after_another_is_its_echo() {
        use Event::Interrupt;
        let events = [(Interrupt, 0), (Interrupt, 3), (Interrupt, 199)];
        assert_eq!(echoes(&events), [false, true, true]);
        let events = [(Interrupt, 0), (Interrupt, 200), (Interrupt, 300)];
        assert_eq!(echoes(&events), [false, false, true]);
    }

    #[test]
    fn a_wrapper_may_pass_on_another_signal() {
        let events = [(Event::Stop, 0), (Event::Interrupt, 2)];
        assert_eq!(echoes(&events), [false, true]);
        let events = [(Event::Interrupt, 0), (Event::Stop, 2)];
        assert_eq!(echoes(&events), [false, false]);
    }

    #[test]
    fn what_is_urgent_or_no_stop_is_never_an_echo() {
        let events = [(Event::Interrupt, 0), (Event::StopNow, 1)];
        assert_eq!(echoes(&events), [false, false]);
        let events = [(Event::Recycle, 0), (Event::Interrupt, 1)];
        assert_eq!(echoes(&events), [false, false]);
    }
}
