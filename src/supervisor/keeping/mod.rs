//! The connections of an application that sleeps.
//!
//! Its workers have handed over what was idle, and the supervisor accepts in their place. A connection
//! is a descriptor in an epoll instance of the keeper's own, and the addresses of its ends. Nothing is read
//! from it: the first byte is looked at where it is (MSG_PEEK) and *knocks*, which wakes the
//! application; the next worker that is ready gets the connection and reads the request. Only a health
//! check is read and answered here ([`health`]), because it should wake nothing.
//!
//! Until then the keeper does for connections what a worker would: those that are idle for too long are
//! closed, those whose client has gone are forgotten, and silent ones, which a scan of ports leaves
//! behind, are few at most.

mod answers;
mod delivery;
mod health;
mod moving_in;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use tracing::{error, warn};

use super::pool::Cause;
use crate::config::{BoundListener, WorkerConfig};
use crate::control::{HandOver, LaneEnd, Stage};
use crate::held::{self, EVENTS, EXHAUSTED, Kept, Places, SWEEP_EVERY, TURN};
use crate::net::{Accepted, Listeners, is_exhausted};
use crate::sys::limits;
use moving_in::free_place;

/// Bytes of a request's head that are looked at.
const PEEK: usize = 4096;

/// The kind of an event's source, in the epoll instance's data above the number.
const CONNECTION: u64 = 0;
const LISTENER: u64 = 1 << 32;
const HANDOVER: u64 = 2 << 32;
const LANE: u64 = 3 << 32;
const KIND: u64 = 3 << 32;

/// The limits of kept connections.
#[derive(Debug)]
pub(super) struct Terms {
    keep_alive: Duration,
    header_read: Duration,
    most: usize,
    /// The paths of health checks, where they can be seen: not below TLS, nor behind a proxy's preamble.
    health: Vec<String>,
    /// Clients understand an answer in HTTP/1.1.
    is_plain: bool,
}

impl Terms {
    pub(super) fn of(worker: &WorkerConfig) -> Self {
        let is_plain = worker.server.tls.is_none();
        let can_see = is_plain && !worker.server.proxies.protocol;
        Self {
            keep_alive: worker.server.limits.keep_alive,
            header_read: worker.server.limits.header_read,
            most: worker
                .server
                .limits
                .connections
                .unwrap_or_else(limits::connections),
            health: health_paths(worker, can_see),
            is_plain,
        }
    }
}

/// The health path, also below each path that the application is mounted at on shared places.
fn health_paths(worker: &WorkerConfig, can_see: bool) -> Vec<String> {
    let Some(health) = worker.server.health_path.as_deref().filter(|_| can_see) else {
        return Vec::new();
    };
    let routes = worker.server.routes.iter();
    let own = routes.filter(|route| Some(&route.application) == worker.log.application.as_ref());
    let mut paths: Vec<_> = own.map(|route| format!("{}{health}", route.path)).collect();
    paths.push(health.to_owned());
    paths.sort();
    paths.dedup();
    paths
}

#[derive(Debug)]
pub(super) struct Keeper {
    ready: OwnedFd,
    terms: Terms,
    places: Places,
    /// The connections that draining workers hand over: the sockets that bring lanes, and the lanes.
    handovers: Vec<Option<HandOver>>,
    lanes: Vec<Option<LaneEnd>>,
    accepting: Accepting,
    next_sweep: Instant,
    /// Something could not be delivered, and is tried again then.
    deliver_at: Option<Instant>,
    peeked: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepting {
    Yes,
    /// No descriptor was left; again at this time.
    Later(Instant),
    /// A worker does.
    No,
}

impl Keeper {
    pub(super) fn new(terms: Terms, listeners: &Listeners) -> io::Result<Self> {
        // One descriptor is a connection here, as in a worker.
        limits::raise_descriptors();
        let keeper = Self {
            ready: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            terms,
            places: Places::default(),
            handovers: Vec::new(),
            lanes: Vec::new(),
            accepting: Accepting::No,
            next_sweep: Instant::now(),
            deliver_at: None,
            peeked: Vec::new(),
        };
        Ok(Self {
            accepting: keeper.begin_to_accept(listeners)?,
            ..keeper
        })
    }

    fn begin_to_accept(&self, listeners: &Listeners) -> io::Result<Accepting> {
        for (number, listener) in listeners.descriptors().iter().enumerate() {
            let data = LISTENER | number as u64;
            held::watch(&self.ready, *listener, data, epoll::EventFlags::IN)?;
        }
        Ok(Accepting::Yes)
    }

    /// Accepts nothing any more.
    fn stop_accepting(&mut self, listeners: &Listeners, then: Accepting) {
        if self.accepting == Accepting::Yes {
            for listener in listeners.descriptors() {
                let _ = epoll::delete(&self.ready, listener);
            }
        }
        self.accepting = then;
    }

    /// Accepts again, after a worker that has been ready.
    pub(super) fn accept_again(&mut self, listeners: &Listeners) -> io::Result<()> {
        if self.accepting != Accepting::Yes {
            self.accepting = self.begin_to_accept(listeners)?;
        }
        Ok(())
    }

    /// Takes what a worker that drains sends through its end of the pair.
    pub(super) fn take_in(&mut self, end: OwnedFd) -> io::Result<()> {
        let number = free_place(&mut self.handovers);
        let data = HANDOVER | number as u64;
        held::watch(&self.ready, end.as_fd(), data, epoll::EventFlags::IN)?;
        self.handovers[number] = Some(HandOver::over(end));
        Ok(())
    }

    /// Whether it holds nothing, and will not.
    pub(super) fn is_done(&self) -> bool {
        self.accepting == Accepting::No
            && self.places.is_empty()
            && self.handovers.iter().all(Option::is_none)
            && self.lanes.iter().all(Option::is_none)
    }

    /// When there is something to do, if nothing arrives.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let sweep = self.places.first_deadline();
        let sweep = sweep.map(|first| first.max(self.next_sweep));
        let again = match self.accepting {
            Accepting::Later(at) => Some(at),
            Accepting::Yes | Accepting::No => None,
        };
        [sweep, again, self.deliver_at].into_iter().flatten().min()
    }

    /// Handles what has happened. Says what wakes the application, if anything does.
    pub(super) fn turn(&mut self, listeners: &Listeners, now: Instant) -> Option<Cause> {
        let mut knock = None;
        let mut events = Vec::with_capacity(EVENTS);
        let at_once = Timespec::default();
        match epoll::wait(&self.ready, spare_capacity(&mut events), Some(&at_once)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(reason) => error!("Cannot wait for kept connections: {reason}"),
        }
        for event in &events {
            let data = event.data.u64();
            let number = (data & !KIND) as usize;
            let heard = match data & KIND {
                LISTENER => self.accept(listeners, number, now),
                HANDOVER => self.hear_handover(number),
                LANE => self.hear_lane(listeners, number, now),
                _ => self.hear_connection(listeners, number, event.flags, now),
            };
            knock = knock.or(heard);
        }
        self.sweep(listeners, now);
        if self.deliver_at.take_if(|at| *at <= now).is_some() {
            knock = knock.or(Some(Cause::KeptConnection));
        }
        knock
    }

    /// Closes what has been silent for too long.
    fn sweep(&mut self, listeners: &Listeners, now: Instant) {
        if matches!(self.accepting, Accepting::Later(at) if at <= now) {
            self.accepting = self.begin_to_accept(listeners).unwrap_or_else(|reason| {
                error!("Cannot accept connections: {reason}");
                Accepting::Later(now + EXHAUSTED)
            });
        }
        if self
            .places
            .first_deadline()
            .is_some_and(|first| first <= now)
            && self.next_sweep <= now
        {
            self.next_sweep = now + SWEEP_EVERY;
            self.places.close_expired(now);
        }
    }

    fn accept(&mut self, listeners: &Listeners, number: usize, now: Instant) -> Option<Cause> {
        if listeners.kind(number) == Some(&BoundListener::Routed) {
            return self.take_routed(listeners, now);
        }
        for _ in 0..TURN {
            match listeners.accept(number) {
                Ok(Some(accepted)) => self.welcome(listeners.kind(number), accepted, now),
                Ok(None) => break,
                Err(reason) if !is_exhausted(&reason) => {}
                Err(reason) => {
                    if !self.places.evict() {
                        warn!("Cannot accept connections: {reason}; trying again");
                        self.stop_accepting(listeners, Accepting::Later(now + EXHAUSTED));
                        break;
                    }
                }
            }
        }
        // They have not said anything yet.
        None
    }

    fn welcome(&mut self, kind: Option<&BoundListener>, accepted: Accepted, now: Instant) {
        let Some(peers) = accepted.peers(kind, false) else {
            return;
        };
        self.places.make_room_for_silent();
        let deadline = now + self.terms.header_read;
        self.keep(accepted.socket, Kept::new(peers, Stage::Accepted, deadline));
    }

    fn keep(&mut self, socket: OwnedFd, kept: Kept) {
        if self.places.len() >= self.terms.most && !self.places.evict() {
            return;
        }
        let number = self.places.reserve();
        let data = CONNECTION | number as u64;
        match held::watch(&self.ready, socket.as_fd(), data, held::OF_CONNECTION) {
            Ok(()) => self.places.put(number, socket, kept),
            Err(reason) => {
                error!("Cannot keep a connection: {reason}");
                self.places.release(number);
            }
        }
    }
}

impl AsFd for Keeper {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}

#[cfg(test)]
mod tests;
