//! The router's loop: one epoll instance, nothing that waits.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, Shutdown, recv, shutdown};
use tracing::{debug, error, warn};

use super::judge::{Known, Verdict, judge};
use super::refusal::Refusal;
use super::{News, Table, Target};
use crate::config::BoundListener;
use crate::control::{Moved, Peers, Received, ServerAddress, Stage};
use crate::held::{Held, Kept, Places, has_ended, tell};
use crate::net::{Accepted, Listeners};
use crate::sys::limits;

/// Events handled in one go.
const BATCH: usize = 256;

/// Connections of one place, or of one application, in one go before others get their turn.
const TURN: usize = 64;

/// Silent new connections that are held. More of them come from a scan, and the oldest is closed.
const MOST_SILENT: usize = 1024;

/// Bytes that are looked at: a ClientHello with everything that there is has 4 KiB, and `host` comes
/// before long cookies.
const PEEK: usize = 16 * 1024;

/// How long an application that takes no connections is waited for. Its workers take them at each turn
/// of theirs, and hundreds wait in the kernel before one waits here.
const FULL: Duration = Duration::from_secs(10);

/// Between two tries to send it one.
const AGAIN: Duration = Duration::from_millis(5);

/// How late a deadline may be noticed.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

/// How long a connection is read from after its answer (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// How long nothing is accepted when no descriptor is left, as in a worker.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What the epoll instance says of an event: what it is about, above the number.
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

/// What came of a look at a connection's bytes.
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
        serving.watch(serving.wake.as_fd(), NEWS, epoll::EventFlags::IN)?;
        serving.watch_table()?;
        Ok(serving)
    }

    fn watch(
        &self,
        source: BorrowedFd<'_>,
        data: u64,
        events: epoll::EventFlags,
    ) -> io::Result<()> {
        let data = epoll::EventData::new_u64(data);
        Ok(epoll::add(&self.ready, source, data, events)?)
    }

    fn watch_table(&self) -> io::Result<()> {
        self.watch_places()?;
        for (number, target) in self.table.targets.iter().enumerate() {
            let data = APPLICATION | number as u64;
            self.watch(target.end.as_fd(), data, epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    fn watch_places(&self) -> io::Result<()> {
        let places = self.table.places.iter();
        let sockets = places.flat_map(|place| place.descriptors());
        for (number, socket) in sockets.enumerate() {
            self.watch(socket, PLACE | number as u64, epoll::EventFlags::IN)?;
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
            let mut events = Vec::with_capacity(BATCH);
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
        // What is on its way back from an application that goes is taken first.
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
                // accept(2): of the connection that was to be accepted.
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
        let server = match (kind, accepted.local) {
            (Some(BoundListener::Unix(path)), _) => ServerAddress::Unix(path.clone()),
            (_, Some(local)) => ServerAddress::Tcp(local),
            // It has gone already.
            _ => return,
        };
        if self.held.silent() >= MOST_SILENT {
            self.held.evict_silent();
        }
        let peers = Peers {
            client: accepted.client,
            server,
            routed: true,
        };
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

    /// Looks at a connection, which most are sent on with; the others are held.
    fn hold(&mut self, socket: OwnedFd, kept: Kept, now: Instant) {
        if self.held.len() >= self.most && !self.held.evict() {
            return;
        }
        let number = self.held.reserve();
        self.held.put(number, socket, kept);
        if !self.look(number, false, now) {
            return;
        }
        let edge = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        let watched = self
            .held
            .get(number)
            .map(|(socket, _)| self.watch(socket, CONNECTION | number as u64, edge));
        if let Some(Err(reason)) = watched {
            error!("Cannot hold a connection: {reason}");
            self.held.take(number);
        }
    }

    fn hear_connection(&mut self, number: usize, now: Instant) {
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

    /// What there is of a connection's next request, in `self.peeked`.
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
    fn look(&mut self, number: usize, is_watched: bool, now: Instant) -> bool {
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
        // What has come is taken first: closed with something unread, the answer would be lost.
        let is_over = has_ended(socket);
        if tell(socket, &refusal.bytes()) && !is_over {
            let _ = shutdown(socket, Shutdown::Write);
            self.held.linger(number, now + LINGER);
        } else {
            self.held.take(number);
        }
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

    fn knock_again(&mut self, number: usize, now: Instant) {
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

    /// It has not said in time whom it wants.
    fn give_up(&mut self, number: usize, now: Instant) {
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

/// Whether no descriptor is left, or no memory for one.
fn is_exhausted(error: &io::Error) -> bool {
    let exhausted = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error
        .raw_os_error()
        .is_some_and(|code| exhausted.contains(&code))
}
