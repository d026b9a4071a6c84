//! The signals that the supervisor answers, and their senders.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2,
};

use super::pool::Event;

/// A signal and what it means. Order matters where several arrive together.
const MEANINGS: [(i32, Option<Event>); 9] = [
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
];

/// The pipe that handlers write to, and which signals they saw. Handlers, unlike ignored or blocked
/// signals, are not inherited by the workers.
#[derive(Debug)]
pub(super) struct Signals {
    pipe: UnixStream,
    seen: [Arc<AtomicBool>; MEANINGS.len()],
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
        let (pipe, handlers_end) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let seen = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
        for ((number, _), seen) in MEANINGS.iter().zip(&seen) {
            // In this order: a wake-up without its flag would be lost, a flag without its wake-up waits for it.
            signal_hook::flag::register(*number, Arc::clone(seen))?;
            signal_hook::low_level::pipe::register(*number, handlers_end.try_clone()?)?;
        }
        Ok(Self { pipe, seen })
    }

    /// The signals that have arrived since the last call.
    pub(super) fn take(&mut self) -> Vec<Arrived> {
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
        arrived.filter_map(with_event).collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}
