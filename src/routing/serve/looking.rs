//! A connection that the router holds: a look at what has come on it, and what follows from that.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use tracing::{debug, error};

use super::{CONNECTION, Serving};
use crate::control::Moved;
use crate::held::{self, Held, Kept, LINGER, has_ended, tell};
use crate::routing::Target;
use crate::routing::judge::{Known, Verdict, judge};
use crate::routing::refusal::Refusal;

/// Bytes that are looked at: a ClientHello with everything that there is has 4 KiB, and `host` comes
/// before long cookies.
pub(super) const PEEK: usize = 16 * 1024;

/// How long an application that takes no connections is waited for. Its workers take them at each turn
/// of theirs, and hundreds wait in the kernel before one waits here.
const FULL: Duration = Duration::from_secs(10);

/// Between two tries to send it one.
const AGAIN: Duration = Duration::from_millis(5);

/// The result of a look at a connection's bytes.
enum Seen {
    Bytes(usize),
    Nothing,
    Ended,
}

/// A slice as what is known of applications.
struct Targets<'a>(&'a [Target]);

impl Known for Targets<'_> {
    fn find(&self, name: &str) -> Option<(usize, bool)> {
        let is_it = |own: &Target| own.name == name && !own.is_leaving;
        let number = self.0.iter().position(is_it)?;
        Some((number, self.0[number].is_tls))
    }
}

impl Serving {
    /// Looks at a connection, which most are sent on with; the others are held.
    pub(super) fn hold(&mut self, socket: OwnedFd, kept: Kept, now: Instant) {
        if self.held.len() >= self.most && !self.held.evict() {
            return;
        }
        let number = self.held.reserve();
        self.held.put(number, socket, kept);
        if !self.look(number, false, now) {
            return;
        }
        let data = CONNECTION | number as u64;
        let watched = self
            .held
            .get(number)
            .map(|(socket, _)| held::watch(&self.ready, socket, data, held::OF_CONNECTION));
        if let Some(Err(reason)) = watched {
            error!("Cannot hold a connection: {reason}");
            self.held.take(number);
        }
    }

    pub(super) fn hear_connection(&mut self, number: usize, now: Instant) {
        let Some((socket, kept)) = self.held.get(number) else {
            return;
        };
        match kept.held {
            Held::Lingering if has_ended(socket) => self.drop_held(number),
            Held::Lingering => {}
            Held::Waiting | Held::Undecided | Held::Knocking => {
                self.look(number, true, now);
            }
        }
    }

    fn drop_held(&mut self, number: usize) {
        self.held.take(number);
    }

    /// The part of a connection's next request that has arrived, in `self.peeked`.
    fn peek(&mut self, number: usize) -> Seen {
        let Some((socket, kept)) = self.held.get(number) else {
            return Seen::Ended;
        };
        // More than is looked at decides as little as all of that.
        let read = kept.input.len().min(PEEK);
        self.peeked[..read].copy_from_slice(&kept.input[..read]);
        if read == PEEK {
            return Seen::Bytes(read);
        }
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match recv(socket, &mut self.peeked[read..], flags) {
            Ok((count @ 1.., _)) => Seen::Bytes(read + count),
            Err(Errno::AGAIN | Errno::INTR) | Ok((0, _)) if read > 0 => Seen::Bytes(read),
            Err(Errno::AGAIN | Errno::INTR) => Seen::Nothing,
            Ok((0, _)) | Err(_) => Seen::Ended,
        }
    }

    /// Looks at what has come on a connection, and does what follows from it; whether it is still held.
    pub(super) fn look(&mut self, number: usize, is_watched: bool, now: Instant) -> bool {
        let count = match self.peek(number) {
            Seen::Bytes(count) => count,
            Seen::Nothing => return true,
            Seen::Ended => {
                self.held.take(number);
                return false;
            }
        };
        let bytes = &self.peeked[..count];
        let known = Targets(&self.table.targets);
        match judge(bytes, count == PEEK, &self.table.routes, &known) {
            Verdict::Wait => self.held.doubt(number, now + self.table.patience.head),
            Verdict::To(target) => return self.send(number, target, is_watched, now),
            Verdict::Refuse(refusal) => self.refuse(number, &refusal, now),
        }
        self.held.get(number).is_some()
    }

    /// Sends a connection to its application; whether it is still held.
    fn send(&mut self, number: usize, target: usize, is_watched: bool, now: Instant) -> bool {
        let Some((socket, kept)) = self.held.get(number) else {
            return false;
        };
        let moved = Moved {
            left: None,
            decided: true,
            ..kept.moved(now)
        };
        let target = &self.table.targets[target];
        match target.end.send(&moved, &[socket]) {
            Ok(()) => {
                if let Some((socket, _)) = self.held.take(number)
                    && is_watched
                {
                    // It lives on in the worker, and would go on being reported here.
                    let _ = epoll::delete(&self.ready, &socket);
                }
                false
            }
            Err(reason) if is_full(&reason) => {
                self.held.knock_until(number, now + FULL);
                self.again.get_or_insert(now + AGAIN);
                true
            }
            Err(reason) => {
                debug!("A connection cannot go to {}: {reason}", target.name);
                let refusal = Refusal::unavailable(&self.peeked[..1]);
                self.refuse(number, &refusal, now);
                self.held.get(number).is_some()
            }
        }
    }

    /// Answers, and waits for the client to end its side.
    fn refuse(&mut self, number: usize, refusal: &Refusal, now: Instant) {
        let Some((socket, _)) = self.held.get(number) else {
            return;
        };
        // The bytes that have come are read first: closed with something unread, the answer would be lost.
        let is_over = has_ended(socket);
        if tell(socket, &refusal.bytes()) && !is_over {
            let _ = shutdown(socket, Shutdown::Write);
            self.held.linger(number, now + LINGER);
        } else {
            self.held.take(number);
        }
    }

    pub(super) fn knock_again(&mut self, number: usize, now: Instant) {
        let deadline = self.held.get(number).map(|(_, kept)| kept.deadline);
        if deadline.is_some_and(|deadline| deadline <= now) {
            if let Seen::Bytes(_) = self.peek(number) {
                let refusal = Refusal::unavailable(&self.peeked[..1]);
                return self.refuse(number, &refusal, now);
            }
            self.drop_held(number);
        } else {
            self.look(number, true, now);
        }
    }

    /// It has not named its application in time.
    pub(super) fn give_up(&mut self, number: usize, now: Instant) {
        let count = match self.peek(number) {
            Seen::Bytes(count) => count,
            Seen::Nothing | Seen::Ended => 0,
        };
        match Refusal::too_slow(&self.peeked[..count]) {
            Some(refusal) => self.refuse(number, &refusal, now),
            None => self.drop_held(number),
        }
    }
}

/// Whether it may go later: the socket's buffer is full, or as many descriptors are on their way as the
/// kernel allows.
fn is_full(error: &io::Error) -> bool {
    let full = [
        libc::EAGAIN,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::ETOOMANYREFS,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| full.contains(&code))
}
