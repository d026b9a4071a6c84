//! Connections that are held and not served: descriptors, and what is known of each. The supervisor
//! holds those of applications that sleep, the router those that have not said whose they are.

mod socket;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;

use crate::control::{Moved, Peers, ServerAddress, Stage};
pub(crate) use socket::{has_ended, tell};

/// Events handled in one go before others get their turn.
pub(crate) const EVENTS: usize = 256;

/// Connections, or messages, of one source in one go before others get their turn.
pub(crate) const TURN: usize = 64;

/// Silent new connections that are held. More of them come from a scan, and the oldest is closed.
pub(crate) const MOST_SILENT: usize = 1024;

/// Between two looks at all deadlines, which are late by this much at most.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// How long a connection is read from after its last answer. Closing a socket with unread data resets
/// it, and the client may lose the answer (RFC 9112 section 9.6).
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How long nothing is accepted when no descriptor is left, as in a worker.
pub(crate) const EXHAUSTED: Duration = Duration::from_millis(100);

/// So many entries of the queue that mean nothing are not worth a look at all of them.
const LEAST_FORGOTTEN: usize = 64;

/// The events of a held connection: bytes, or the end of the client's side, once each.
pub(crate) const OF_CONNECTION: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

/// Adds a source to the holder's epoll instance; its events come with `data`.
pub(crate) fn watch(
    instance: &OwnedFd,
    source: BorrowedFd<'_>,
    data: u64,
    events: epoll::EventFlags,
) -> io::Result<()> {
    let data = epoll::EventData::new_u64(data);
    Ok(epoll::add(instance, source, data, events)?)
}

/// A connection without its descriptor.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Its two ends, each by itself: together they would take a word more for one flag.
    client: Option<SocketAddr>,
    server: ServerAddress,
    pub(crate) routed: bool,
    pub(crate) stage: Stage,
    pub(crate) held: Held,
    /// The part of the next head that a worker has read.
    pub(crate) input: Box<[u8]>,
    /// The router has decided whose its next request is.
    pub(crate) decided: bool,
    /// Until when it may be silent. One that knocks waits for what the pool decides.
    pub(crate) deadline: Instant,
}

/// The holder's next step with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// Waits for its first byte.
    Waiting,
    /// It has sent what may become a health check.
    Undecided,
    /// It has sent something: it is for a worker.
    Knocking,
    /// It has got its last answer.
    Lingering,
}

impl Kept {
    pub(crate) fn new(peers: Peers, stage: Stage, deadline: Instant) -> Self {
        let Peers {
            client,
            server,
            routed,
        } = peers;
        Self {
            client,
            server,
            routed,
            stage,
            held: Held::Waiting,
            input: Box::default(),
            decided: false,
            deadline,
        }
    }

    /// As it goes to another process.
    pub(crate) fn moved(&self, now: Instant) -> Moved {
        let is_waiting = self.held == Held::Waiting;
        Moved {
            peers: Peers {
                client: self.client,
                server: self.server.clone(),
                routed: self.routed,
            },
            stage: self.stage,
            input: self.input.to_vec(),
            left: is_waiting.then(|| self.deadline.saturating_duration_since(now)),
            decided: self.decided,
        }
    }

    /// Its client has sent this much, at least.
    pub(crate) fn knock(&mut self, input: Box<[u8]>) {
        self.held = Held::Knocking;
        self.input = input;
    }

    /// A new connection without a byte.
    fn is_silent(&self) -> bool {
        self.stage == Stage::Accepted && self.held == Held::Waiting
    }

    fn has_deadline(&self) -> bool {
        self.held != Held::Knocking
    }
}

/// All connections, by the number that epoll knows.
#[derive(Debug, Default)]
pub(crate) struct Places {
    places: Vec<Option<(OwnedFd, Kept)>>,
    free: Vec<u32>,
    count: usize,
    /// Silent connections in the order of their arrival; a place may be another's by then.
    silent: VecDeque<(Instant, u32)>,
    silent_count: usize,
    /// No deadline is earlier.
    first: Option<Instant>,
}

impl Places {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes room for a new connection, which has not said anything yet.
    pub(crate) fn make_room_for_silent(&mut self) {
        if self.silent_count >= MOST_SILENT {
            self.evict_silent();
        }
    }

    /// Until when nothing is due.
    pub(crate) fn first_deadline(&self) -> Option<Instant> {
        self.first
    }

    /// A number that no connection has.
    pub(crate) fn reserve(&mut self) -> usize {
        match self.free.pop() {
            Some(place) => place as usize,
            None => {
                self.places.push(None);
                self.places.len() - 1
            }
        }
    }

    /// Gives a reserved number back.
    pub(crate) fn release(&mut self, number: usize) {
        self.free.extend(u32::try_from(number));
    }

    pub(crate) fn put(&mut self, number: usize, socket: OwnedFd, kept: Kept) {
        if kept.has_deadline() {
            self.expect(kept.deadline);
        }
        if kept.is_silent() {
            self.silent_count += 1;
            // 2^32 descriptors are more than a process can have.
            let place = u32::try_from(number).unwrap_or(u32::MAX);
            self.silent.push_back((kept.deadline, place));
        }
        self.count += 1;
        self.places[number] = Some((socket, kept));
        self.forget_noisy();
    }

    pub(crate) fn get(&self, number: usize) -> Option<(BorrowedFd<'_>, &Kept)> {
        let (socket, kept) = self.places.get(number)?.as_ref()?;
        Some((socket.as_fd(), kept))
    }

    /// Takes a connection out. It leaves the epoll instance when its last descriptor is closed, or by
    /// the code that gives that away.
    pub(crate) fn take(&mut self, number: usize) -> Option<(OwnedFd, Kept)> {
        let taken = self.places.get_mut(number)?.take()?;
        self.silent_count -= usize::from(taken.1.is_silent());
        self.count -= 1;
        self.release(number);
        if self.count == 0 {
            // After a burst, the lists go back to the allocator.
            *self = Self::default();
        }
        Some(taken)
    }

    /// The numbers of all that pass the test.
    pub(crate) fn all(&self, test: impl Fn(&Kept) -> bool) -> Vec<usize> {
        let places = self.places.iter().enumerate();
        let kept = places.filter_map(|(number, place)| Some((number, &place.as_ref()?.1)));
        kept.filter(|(_, kept)| test(kept))
            .map(|(number, _)| number)
            .collect()
    }

    pub(crate) fn knocking(&self) -> Vec<usize> {
        self.all(|kept| kept.held == Held::Knocking)
    }

    pub(crate) fn knock(&mut self, number: usize) {
        self.change(number, Held::Knocking, None);
    }

    /// As [`Self::knock`], until then: from the first time on, and not from each one.
    pub(crate) fn knock_until(&mut self, number: usize, deadline: Instant) {
        let is_new = self
            .get(number)
            .is_some_and(|(_, kept)| kept.held != Held::Knocking);
        self.change(number, Held::Knocking, is_new.then_some(deadline));
    }

    pub(crate) fn doubt(&mut self, number: usize, deadline: Instant) {
        // It has its time from the first byte on, and not from each one.
        let is_new = self
            .get(number)
            .is_some_and(|(_, kept)| kept.held != Held::Undecided);
        self.change(number, Held::Undecided, is_new.then_some(deadline));
    }

    pub(crate) fn linger(&mut self, number: usize, deadline: Instant) {
        self.change(number, Held::Lingering, Some(deadline));
    }

    /// It has been answered, and is between two requests.
    pub(crate) fn rest(&mut self, number: usize, deadline: Instant) {
        self.change(number, Held::Waiting, Some(deadline));
        if let Some(Some((_, kept))) = self.places.get_mut(number) {
            kept.stage = Stage::Idle;
            kept.decided = false;
        }
    }

    fn change(&mut self, number: usize, held: Held, deadline: Option<Instant>) {
        let Some(Some((_, kept))) = self.places.get_mut(number) else {
            return;
        };
        let was_silent = kept.is_silent();
        kept.held = held;
        kept.deadline = deadline.unwrap_or(kept.deadline);
        self.silent_count -= usize::from(was_silent && !kept.is_silent());
        if let Some(deadline) = deadline {
            self.expect(deadline);
        }
    }

    fn expect(&mut self, deadline: Instant) {
        self.first = Some(self.first.map_or(deadline, |first| first.min(deadline)));
    }

    pub(crate) fn close_expired(&mut self, now: Instant) {
        for number in self.all(|kept| kept.has_deadline() && kept.deadline <= now) {
            self.take(number);
        }
        let places = self.places.iter().flatten();
        let left = places.filter(|(_, kept)| kept.has_deadline());
        self.first = left.map(|(_, kept)| kept.deadline).min();
    }

    /// Closes the silent connection that came first; whether there was one.
    fn evict_silent(&mut self) -> bool {
        while let Some((deadline, place)) = self.silent.pop_front() {
            if self.is_silent(deadline, place) {
                self.take(place as usize);
                return true;
            }
        }
        false
    }

    /// Closes the connection that can best be done without, to make room for another; whether there
    /// was one. Clients expect that of idle connections, and not of requests.
    pub(crate) fn evict(&mut self) -> bool {
        if self.evict_silent() {
            return true;
        }
        let places = self.places.iter().enumerate();
        let kept = places.filter_map(|(number, place)| Some((number, &place.as_ref()?.1)));
        let idle = kept.filter(|(_, kept)| kept.has_deadline());
        match idle.min_by_key(|(_, kept)| kept.deadline) {
            Some((number, _)) => self.take(number).is_some(),
            None => false,
        }
    }

    fn is_silent(&self, deadline: Instant, place: u32) -> bool {
        let kept = self.get(place as usize);
        kept.is_some_and(|(_, kept)| kept.is_silent() && kept.deadline == deadline)
    }

    /// The queue grows with the silent connections, and not with all that have ever been.
    fn forget_noisy(&mut self) {
        if self.silent.len() >= 2 * self.silent_count + LEAST_FORGOTTEN {
            let mut silent = std::mem::take(&mut self.silent);
            silent.retain(|(deadline, place)| self.is_silent(*deadline, *place));
            self.silent = silent;
        }
    }
}
