//! The open connections: what each is doing, and what can end it from outside.
//!
//! Deadlines are swept, not armed: a request only stores an instant, where a timer per request
//! would cost two turns of the timer wheel. The sweep runs while there are connections and is
//! late by a quarter of the shortest limit at most.

mod calls;
mod eviction;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(super) use calls::Call;
pub(super) use eviction::Waiting;

/// Between two sweeps.
const MIN_INTERVAL: Duration = Duration::from_millis(25);
const MAX_INTERVAL: Duration = Duration::from_millis(500);

/// How long a connection is idle before it is parked. Clients in a conversation come back sooner,
/// and parking costs two system calls.
const PARK_AFTER: Duration = Duration::from_millis(200);

/// So many idle connections are enough to be worth the two system calls sooner: what each holds until
/// then adds up, and what was taken for all of them is not given back while some of it is used.
const CROWD: usize = 64;
const PARK_IN_CROWD_AFTER: Duration = Duration::from_millis(25);

/// All open connections of a worker.
#[derive(Debug)]
pub(super) struct Connections {
    slots: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<usize>>,
    open: Cell<usize>,
    /// How many of them are WebSockets within an HTTP/2 connection.
    streams: Cell<usize>,
    /// How many are WebSockets.
    sessions: Cell<usize>,
    /// Most that were open at once since it calmed down.
    peak: Cell<usize>,
    /// How many were added since the last sweep.
    added: Cell<usize>,
    /// Whether a crowd of them was idle at the last sweep.
    crowded: Cell<bool>,
    /// How many were evicted and have not ended.
    leaving: Cell<usize>,
    /// Brings the next sweep forward.
    crowd: Notify,
    /// Wakes the sweep, or the wait for the last connection to end.
    sweep: RefCell<Option<Waker>>,
    waiting: RefCell<Option<Waker>>,
    /// The accepting tasks.
    listening: RefCell<Vec<Waker>>,
    /// Those of them that wait for a connection to end.
    full: RefCell<Vec<Waker>>,
    interval: Duration,
    /// When the last sweep was due, unless it was brought forward.
    due: Cell<Option<Instant>>,
    /// How long a client may take nothing of what is written to it.
    write: Option<Duration>,
    draining: Cell<bool>,
    /// The answer to [`Call::Tell`].
    unfinished: RefCell<Vec<Weak<dyn Unanswered>>>,
}

/// The registry's record of one connection.
#[derive(Debug)]
pub(super) struct Entry {
    waker: RefCell<Option<Waker>>,
    deadline: Cell<Option<Instant>>,
    expired: Cell<bool>,
    cut: Cell<bool>,
    /// The call to end its requests, if there is one.
    call: Cell<Option<Call>>,
    /// The client takes nothing of what is written, since then.
    stalled: Cell<Option<Instant>>,
    /// It was cut to make room for another.
    evicted: Cell<bool>,
    /// The event that it waits for, while it has no open request.
    waiting: Cell<Option<(Waiting, Instant)>>,
    /// Idle since then, between two requests.
    idle: Cell<Option<Instant>>,
    /// Idle for long enough to be parked.
    rests: Cell<bool>,
    in_flight: RefCell<Option<InFlight>>,
}

/// The request, or the requests, that the application is working on for a connection.
#[derive(Debug, Clone)]
pub(super) enum InFlight {
    /// One of HTTP/1.1, or the handshake of a WebSocket.
    One(Arc<dyn Unanswered>),
    /// The requests of an HTTP/2 connection, which it knows itself.
    Streams,
}

/// A request that its application has not answered, as the end of a worker sees it.
pub(super) trait Unanswered: std::fmt::Debug {
    /// Tells the application that its client is gone.
    fn dismiss(&self);

    /// The same, where the response has no end of its own, or none after such a time.
    fn dismiss_endless(&self, _from: Option<Duration>, _now: Instant) {}

    /// Whether the client would lose something of the answer if the worker ended now.
    fn would_lose(&self) -> bool {
        false
    }
}

/// Keeps a connection in the list while it lives.
#[derive(Debug)]
pub(super) struct Guard {
    connections: Rc<Connections>,
    slot: usize,
    is_stream: bool,
    is_session: bool,
    pub(super) entry: Rc<Entry>,
}

impl Connections {
    /// `shortest` is the shortest limit that any connection is held to, `write` the one for clients
    /// that take nothing of what is written.
    pub(super) fn new(shortest: Duration, write: Option<Duration>) -> Self {
        Self {
            slots: RefCell::default(),
            free: RefCell::default(),
            open: Cell::new(0),
            streams: Cell::new(0),
            sessions: Cell::new(0),
            peak: Cell::new(0),
            added: Cell::new(0),
            crowded: Cell::new(false),
            leaving: Cell::new(0),
            crowd: Notify::new(),
            sweep: RefCell::default(),
            waiting: RefCell::default(),
            listening: RefCell::default(),
            full: RefCell::default(),
            interval: (shortest / 4).clamp(MIN_INTERVAL, MAX_INTERVAL),
            due: Cell::new(None),
            write,
            draining: Cell::new(false),
            unfinished: RefCell::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.get() - self.streams.get()
    }

    /// WebSockets, whatever carries them.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.get()
    }

    /// Whether most of a burst, of so many connections at least, is over; said once.
    pub(super) fn has_calmed_down(&self, burst: usize) -> bool {
        let (open, peak) = (self.open.get(), self.peak.get());
        let is_over = peak >= burst && open * 4 < peak;
        if is_over {
            self.peak.set(open);
        }
        is_over
    }

    pub(super) fn add(self: &Rc<Self>) -> Guard {
        let entry = Rc::new(Entry {
            waker: RefCell::default(),
            deadline: Cell::new(None),
            expired: Cell::new(false),
            cut: Cell::new(false),
            call: Cell::new(None),
            stalled: Cell::new(None),
            evicted: Cell::new(false),
            waiting: Cell::new(None),
            idle: Cell::new(None),
            rests: Cell::new(false),
            in_flight: RefCell::default(),
        });
        let mut slots = self.slots.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(None);
            slots.len() - 1
        });
        slots[slot] = Some(Rc::clone(&entry));
        self.open.set(self.open.get() + 1);
        self.peak.set(self.peak.get().max(self.open.get()));
        self.added.set(self.added.get() + 1);
        if self.added.get() == 2 * CROWD {
            self.crowd.notify_waiters();
        }
        self.wake_sweep();
        drop(slots);
        Guard {
            connections: Rc::clone(self),
            slot,
            is_stream: false,
            is_session: false,
            entry,
        }
    }

    /// Adds a WebSocket within an HTTP/2 connection, which is told what connections are.
    pub(super) fn add_stream(self: &Rc<Self>) -> Guard {
        self.streams.set(self.streams.get() + 1);
        let mut guard = self.add();
        guard.is_stream = true;
        guard
    }

    fn entries(&self) -> Vec<Rc<Entry>> {
        self.slots
            .borrow()
            .iter()
            .flatten()
            .map(Rc::clone)
            .collect()
    }

    /// Wakes each connection, as the server drains.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.entries().iter().for_each(|entry| entry.wake());
        self.listening.borrow().iter().for_each(Waker::wake_by_ref);
    }

    /// Adds a task that [`Self::drain`] wakes, too.
    pub(super) fn also_wake(&self, waker: &Waker) {
        let mut listening = self.listening.borrow_mut();
        if !listening.iter().any(|other| other.will_wake(waker)) {
            listening.push(waker.clone());
        }
    }

    /// Wakes a task when a connection ends or comes to rest.
    pub(super) fn wake_with_room(&self, waker: &Waker) {
        self.full.borrow_mut().push(waker.clone());
    }

    pub(super) fn cut_all(&self) {
        for entry in self.entries() {
            entry.cut.set(true);
            entry.wake();
        }
    }

    /// Ready when no connection is open.
    pub(super) async fn empty(&self) {
        poll_fn(|cx| {
            if self.open.get() == 0 {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits until there are connections, or [`Self::wake_sweep`], and then for the next sweep.
    pub(super) async fn next_sweep(&self, needed: impl Fn() -> bool) {
        poll_fn(|cx| {
            if self.open.get() > 0 || needed() {
                return Poll::Ready(());
            }
            *self.sweep.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        // A drain brings deadlines forward.
        let interval = if self.draining.get() || self.crowded.get() {
            MIN_INTERVAL
        } else {
            self.interval
        };
        let due = Instant::now() + interval;
        let crowd = tokio::time::timeout(interval, self.crowd.notified()).await;
        self.due.set(crowd.is_err().then_some(due));
    }

    /// When the last sweep was due, unless it was brought forward.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.get()
    }

    /// There is something to sweep.
    pub(super) fn wake_sweep(&self) {
        if let Some(waker) = self.sweep.take() {
            waker.wake();
        }
    }

    /// Tells connections whose time is up, or that may be parked.
    pub(super) fn sweep(&self, now: Instant) {
        let entries = self.entries();
        let idle = entries.iter().filter(|entry| entry.idles());
        self.crowded.set(idle.count() >= CROWD);
        self.added.set(0);
        let park_after = if self.crowded.get() {
            PARK_IN_CROWD_AFTER
        } else {
            PARK_AFTER
        };
        for entry in entries {
            let expired = entry.deadline.get().is_some_and(|deadline| deadline <= now);
            if expired {
                entry.expired.set(true);
            }
            if let Some(since) = entry.idle.get() {
                entry.rests.set(now.duration_since(since) >= park_after);
            }
            if entry.is_stuck(self.write, now) {
                entry.cut.set(true);
            }
            if expired || entry.rests() || entry.is_cut() {
                entry.wake();
            }
        }
        if !self.full.borrow().is_empty() && self.has_spare(now) {
            self.full.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl Entry {
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Remembers how to wake the connection's task.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let mut slot = self.waker.borrow_mut();
        if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
            *slot = Some(waker.clone());
        }
    }

    /// From now on the connection has until `deadline`, or all the time it wants.
    pub(super) fn set_deadline(&self, deadline: Option<Instant>) {
        self.deadline.set(deadline);
        self.expired.set(false);
    }

    /// The connection has until `deadline` at most.
    pub(super) fn bring_forward(&self, deadline: Instant) {
        if self.deadline.get().is_none_or(|own| deadline < own) {
            self.deadline.set(Some(deadline));
        }
    }

    /// The client has taken some of what is written, or takes nothing of it now.
    pub(super) fn set_stalled(&self, is_stalled: bool) {
        if is_stalled != self.stalled.get().is_some() {
            self.stalled.set(is_stalled.then(Instant::now));
        }
    }

    /// Whether its client has taken nothing for too long.
    fn is_stuck(&self, limit: Option<Duration>, now: Instant) -> bool {
        let stalled = limit.zip(self.stalled.get());
        stalled.is_some_and(|(limit, since)| now.saturating_duration_since(since) >= limit)
    }

    /// The connection is idle since then, or no longer.
    pub(super) fn set_idle(&self, since: Option<Instant>) {
        self.idle.set(since);
        self.rests.set(false);
    }

    /// Whether it is idle, and has not been told to rest yet.
    fn idles(&self) -> bool {
        self.idle.get().is_some() && !self.rests()
    }

    /// Whether it was idle for long enough to be parked at the last sweep.
    pub(super) fn rests(&self) -> bool {
        self.rests.get()
    }

    pub(super) fn is_expired(&self) -> bool {
        self.expired.get()
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.get()
    }

    /// Takes the call of [`Connections`], if there is one.
    pub(super) fn take_call(&self) -> Option<Call> {
        self.call.take()
    }

    pub(super) fn set_in_flight(&self, in_flight: Option<InFlight>) {
        // Dropped after the borrow: with the last hold on a request goes what its application sent.
        drop(self.in_flight.replace(in_flight));
    }
}

impl Guard {
    /// From now on it is a WebSocket.
    pub(super) fn becomes_session(&mut self) {
        if !std::mem::replace(&mut self.is_session, true) {
            let sessions = &self.connections.sessions;
            sessions.set(sessions.get() + 1);
        }
    }

    /// Whether the server drains.
    pub(super) fn is_draining(&self) -> bool {
        self.connections.draining.get()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let entry = self.connections.slots.borrow_mut()[self.slot].take();
        drop(entry);
        if self.entry.is_evicted() {
            self.connections
                .leaving
                .set(self.connections.leaving.get() - 1);
        }
        self.connections.free.borrow_mut().push(self.slot);
        self.connections.open.set(self.connections.open.get() - 1);
        let streams = self.connections.streams.get();
        let left = streams - usize::from(self.is_stream);
        self.connections.streams.set(left);
        let sessions = self.connections.sessions.get();
        let left = sessions - usize::from(self.is_session);
        self.connections.sessions.set(left);
        let full = std::mem::take(&mut *self.connections.full.borrow_mut());
        full.into_iter().for_each(Waker::wake);
        if self.connections.open.get() == 0 {
            let mut slots = self.connections.slots.borrow_mut();
            // After a burst: the lists go back to the allocator.
            slots.clear();
            slots.shrink_to(64);
            let mut free = self.connections.free.borrow_mut();
            free.clear();
            free.shrink_to(64);
            if let Some(waker) = self.connections.waiting.take() {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests;
