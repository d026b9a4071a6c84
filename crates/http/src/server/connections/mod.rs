//! The open connections: the state of each, and the ways to end it from outside.

mod calls;
mod eviction;
mod sweep;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(super) use calls::Call;
pub(super) use eviction::Waiting;
use sweep::{CROWD, interval};

/// All open connections of a worker.
#[derive(Debug)]
pub(super) struct Connections {
    slots: RefCell<Vec<Option<Rc<Entry>>>>,
    free: RefCell<Vec<usize>>,
    open: Cell<usize>,
    /// The number of them that are WebSockets within an HTTP/2 connection.
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
            interval: interval(shortest),
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

    /// Adds a WebSocket within an HTTP/2 connection, which takes part in the sweep and in drains.
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

    /// The connection is idle since then, or no longer.
    pub(super) fn set_idle(&self, since: Option<Instant>) {
        self.idle.set(since);
        self.rests.set(false);
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
