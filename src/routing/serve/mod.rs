//! The router's loop: one epoll instance, nothing that waits.

mod looking;

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use tracing::{error, warn};

use super::{News, Table};
use crate::control::{Moved, Received, Stage};
use crate::held::{self, EVENTS, EXHAUSTED, Held, Kept, Places, SWEEP_EVERY, TURN};
use crate::net::{Accepted, Listeners, is_exhausted};
use crate::sys::limits;
use looking::PEEK;
use lowmem_base::config::BoundListener;

/// The kind of an event's source, in the epoll instance's data above the number.
const CONNECTION: u64 = 0;
const PLACE: u64 = 1 << 32;
const APPLICATION: u64 = 2 << 32;
const NEWS: u64 = 3 << 32;
const KIND: u64 = 3 << 32;

pub(super) struct Serving {
    ready: OwnedFd,
    table: Table,
    news: Receiver<News>,
    wake: UnixStream,
    held: Places,
    most: usize,
    /// Nothing is accepted before.
    pauses_until: Option<Instant>,
    /// Connections that found no room are tried again then.
    again: Option<Instant>,
    next_sweep: Instant,
    peeked: Box<[u8]>,
}

impl Serving {
    pub(super) fn new(table: Table, news: Receiver<News>, wake: UnixStream) -> io::Result<Self> {
        // One descriptor is a connection here, as in a worker.
        limits::raise_descriptors();
        let serving = Self {
            ready: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            table,
            news,
            wake,
            held: Places::default(),
            most: limits::connections(),
            pauses_until: None,
            again: None,
            next_sweep: Instant::now(),
            peeked: vec![0; PEEK].into(),
        };
        held::watch(
            &serving.ready,
            serving.wake.as_fd(),
            NEWS,
            epoll::EventFlags::IN,
        )?;
        serving.watch_table()?;
        Ok(serving)
    }

    fn watch_table(&self) -> io::Result<()> {
        self.watch_places()?;
        for (number, target) in self.table.targets.iter().enumerate() {
            let data = APPLICATION | number as u64;
            held::watch(&self.ready, target.end.as_fd(), data, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    fn watch_places(&self) -> io::Result<()> {
        let places = self.table.places.iter();
        let sockets = places.flat_map(|place| place.descriptors());
        for (number, socket) in sockets.enumerate() {
            let data = PLACE | number as u64;
            held::watch(&self.ready, socket, data, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    fn forget_places(&self) {
        let places = self.table.places.iter();
        for socket in places.flat_map(|place| place.descriptors()) {
            let _ = epoll::delete(&self.ready, socket);
        }
    }

    /// Serves until its supervisor has no more news.
    pub(super) fn run(mut self) {
        loop {
            let mut events = Vec::with_capacity(EVENTS);
            let left = self
                .deadline()
                .map(|due| due.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            match epoll::wait(&self.ready, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(reason) => {
                    error!("The router has ended: {reason}");
                    return;
                }
            }
            let now = Instant::now();
            let mut has_news = false;
            for event in &events {
                let data = event.data.u64();
                let number = (data & !KIND) as usize;
                match data & KIND {
                    PLACE => self.accept(number, now),
                    APPLICATION => self.hear(number, now),
                    NEWS => has_news = true,
                    _ => self.hear_connection(number, now),
                }
            }
            // Only now: the numbers in the events are those of the old table.
            if has_news && !self.take_news(now) {
                return;
            }
            self.tick(now);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let sweep = self.held.first_deadline();
        let sweep = sweep.map(|first| first.max(self.next_sweep));
        [sweep, self.pauses_until, self.again]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether there may be more.
    fn take_news(&mut self, now: Instant) -> bool {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(read) if read == bytes.len()) {}
        loop {
            match self.news.try_recv() {
                Ok(News::Table(table)) => self.go_by(*table, now),
                Ok(News::Back(moved, socket)) => self.take(moved, socket, now),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn go_by(&mut self, table: Table, now: Instant) {
        // Connections on their way back from an application that goes are taken first.
        for number in 0..self.table.targets.len() {
            self.hear(number, now);
        }
        self.forget_places();
        for target in &self.table.targets {
            let _ = epoll::delete(&self.ready, &target.end);
        }
        self.table = table;
        if let Err(reason) = self.watch_table() {
            error!("Cannot route connections: {reason}");
        }
        self.pauses_until = None;
        for number in self.held.knocking() {
            self.look(number, true, now);
        }
    }

    fn accept(&mut self, number: usize, now: Instant) {
        if self.pauses_until.is_some() {
            return;
        }
        let Some((place, socket)) = self.place(number) else {
            return;
        };
        for _ in 0..TURN {
            match place.accept(socket) {
                Ok(Some(accepted)) => self.welcome(place.kind(socket), accepted, now),
                Ok(None) => return,
                Err(reason) if is_exhausted(&reason) => {
                    if !self.held.evict() {
                        warn!("Cannot accept connections: {reason}; trying again");
                        self.forget_places();
                        self.pauses_until = Some(now + EXHAUSTED);
                        return;
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// The place of a listening socket, and the socket's number there.
    fn place(&self, mut number: usize) -> Option<(Arc<Listeners>, usize)> {
        for place in &self.table.places {
            match number.checked_sub(place.count()) {
                None => return Some((Arc::clone(place), number)),
                Some(left) => number = left,
            }
        }
        None
    }

    fn welcome(&mut self, kind: Option<&BoundListener>, accepted: Accepted, now: Instant) {
        let Some(peers) = accepted.peers(kind, true) else {
            return;
        };
        self.held.make_room_for_silent();
        let deadline = now + self.table.patience.head;
        self.hold(
            accepted.socket,
            Kept::new(peers, Stage::Accepted, deadline),
            now,
        );
    }

    /// Takes what an application sends back.
    fn hear(&mut self, number: usize, now: Instant) {
        for _ in 0..TURN {
            let Some(target) = self.table.targets.get(number) else {
                return;
            };
            match target.end.receive() {
                Ok(Received::Message(moved, sockets)) => {
                    if let Some(socket) = sockets.into_iter().next() {
                        self.take(moved, socket, now);
                    }
                }
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => {
                    let _ = epoll::delete(&self.ready, &target.end);
                    return;
                }
                Err(reason) => {
                    warn!("A connection of {} is lost: {reason}", target.name);
                    return;
                }
            }
        }
    }

    fn take(&mut self, moved: Moved, socket: OwnedFd, now: Instant) {
        let Moved {
            peers,
            stage,
            input,
            left,
            ..
        } = moved;
        let patience = self.table.patience;
        let most = match stage {
            Stage::Idle if input.is_empty() => patience.keep_alive,
            Stage::Idle | Stage::Accepted | Stage::Fresh => patience.head,
        };
        let mut kept = Kept::new(peers, stage, now + left.unwrap_or(most).min(most));
        kept.input = input.into();
        self.hold(socket, kept, now);
    }

    /// Does what is due.
    fn tick(&mut self, now: Instant) {
        if self.pauses_until.take_if(|until| *until <= now).is_some()
            && let Err(reason) = self.watch_places()
        {
            error!("Cannot accept connections: {reason}");
            self.pauses_until = Some(now + EXHAUSTED);
        }
        if self.again.take_if(|again| *again <= now).is_some() {
            for number in self.held.knocking() {
                self.knock_again(number, now);
            }
        }
        let is_due = self.held.first_deadline().is_some_and(|first| first <= now);
        if is_due && self.next_sweep <= now {
            self.next_sweep = now + SWEEP_EVERY;
            for number in self
                .held
                .all(|kept| kept.held == Held::Undecided && kept.deadline <= now)
            {
                self.give_up(number, now);
            }
            self.held.close_expired(now);
        }
    }
}
