//! Bytes that arrive on a kept connection: they wake the application, or are a health check, which is answered
//! here.

use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};

use super::health::{self, Judged};
use super::{Keeper, PEEK};
use crate::control::Stage;
use crate::held::{Held, LINGER, has_ended, tell};
use crate::net::Listeners;
use crate::supervisor::pool::Cause;

impl Keeper {
    pub(super) fn hear_connection(
        &mut self,
        listeners: &Listeners,
        number: usize,
        events: epoll::EventFlags,
        now: Instant,
    ) -> Option<Cause> {
        let (socket, kept) = self.places.get(number)?;
        let is_lost = events.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR);
        match kept.held {
            Held::Knocking if !is_lost => None,
            Held::Lingering if !is_lost => {
                if has_ended(socket) {
                    self.places.take(number);
                }
                None
            }
            Held::Knocking | Held::Lingering => {
                self.places.take(number);
                None
            }
            Held::Waiting | Held::Undecided => self.look(listeners, number, now),
        }
    }

    /// Looks at what has arrived on a connection.
    fn look(&mut self, listeners: &Listeners, number: usize, now: Instant) -> Option<Cause> {
        loop {
            let (socket, kept) = self.places.get(number)?;
            // Where no health checks have to be recognised, one byte is enough.
            let most = match self.terms.health.is_empty() {
                true => 1,
                false => PEEK,
            };
            let stage = kept.stage;
            let is_elsewhere = kept.routed && !kept.decided;
            self.peeked.resize(most, 0);
            let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
            let count = match recv(socket, &mut self.peeked[..], flags) {
                Ok((0, _)) => {
                    self.places.take(number);
                    return None;
                }
                Ok((count, _)) => count,
                Err(Errno::AGAIN | Errno::INTR) => return None,
                Err(_) => {
                    self.places.take(number);
                    return None;
                }
            };
            if is_elsewhere && self.give_back(listeners, number, now) {
                return None;
            }
            let seen = &self.peeked[..count];
            let judged = match is_elsewhere {
                true => Judged::Other,
                false => health::judge_all(seen, &self.terms.health),
            };
            match judged {
                Judged::Other => {
                    let cause = match stage {
                        Stage::Idle => Cause::KeptConnection,
                        Stage::Accepted | Stage::Fresh => Cause::Request,
                    };
                    self.places.knock(number);
                    return Some(cause);
                }
                Judged::Undecided => {
                    self.places.doubt(number, now + self.terms.header_read);
                    return None;
                }
                Judged::Health(check) => {
                    if !self.answer(number, &check, now) {
                        return None;
                    }
                }
            }
        }
    }

    /// Answers a health check; whether the connection goes on.
    fn answer(&mut self, number: usize, check: &health::Check, now: Instant) -> bool {
        let Some((socket, _)) = self.places.get(number) else {
            return false;
        };
        // The peeked bytes are there, so this reads all of them.
        let head = &mut self.peeked[..check.length];
        let taken = recv(socket, head, RecvFlags::DONTWAIT);
        let is_whole = matches!(taken, Ok((count, _)) if count == check.length);
        if !is_whole || !tell(socket, check.answer()) {
            self.places.take(number);
        } else if check.closes {
            self.linger(number, now);
        } else {
            self.places.rest(number, now + self.terms.keep_alive);
            return true;
        }
        false
    }

    /// Tells every client that waits to come back after this time.
    pub(in crate::supervisor) fn refuse(&mut self, after: Duration, now: Instant) {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        let answer = health::refusal(seconds.max(1));
        for number in self.places.knocking() {
            let Some((socket, _)) = self.places.get(number) else {
                continue;
            };
            let is_over = has_ended(socket);
            if self.terms.is_plain && tell(socket, answer.as_bytes()) && !is_over {
                self.linger(number, now);
            } else {
                self.places.take(number);
            }
        }
    }

    /// Ends the sending side, and waits for the client to end its own.
    fn linger(&mut self, number: usize, now: Instant) {
        if let Some((socket, _)) = self.places.get(number) {
            let _ = shutdown(socket, Shutdown::Write);
        }
        self.places.linger(number, now + LINGER);
    }
}
