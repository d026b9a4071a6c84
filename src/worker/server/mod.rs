//! The HTTP server: accepts, reads requests, writes responses. Knows no Python.
//!
//! One tokio task per connection, all on the worker's one thread. A connection reads a head, gives
//! it to the application, and moves bytes between the socket and the [`Exchange`] until the
//! response is written; then it takes the next head. The protocol's parts (`head`, `body`,
//! `response`, and the messages in `asgi`) do no I/O and are tested as values.

mod accept;
mod body;
mod buffers;
mod connection;
mod connections;
mod exchange;
mod handover;
mod head;
mod parking;
mod response;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

pub use accept::Listener;
pub use body::{BodyDecoder, BrokenFraming};
pub use exchange::{Exchange, Finish, Received};
pub use handover::{HandOver, Moved};
pub use head::{BodyLength, HeadScan, Refused as HeadRefused, RequestHead, parse};
pub use response::{BadField, Defaults, Piece, Refused, ResponseHead, reason_phrase};

use crate::config::WorkerConfig;
use crate::sys::memory;
use crate::telemetry::AccessLog;
use crate::worker::application::Application;
use crate::worker::tasks;
use buffers::Buffers;
use connection::Resting;
use connections::Connections;
use handover::Outbox;
use parking::{Lot, Parked};
use stream::Stream;

/// Memory is given back to the kernel after this many connections were busy at once.
const TRIM_FROM: usize = 64;

/// A worker's HTTP server: what its connections share.
#[derive(Debug)]
pub struct Server<A> {
    application: A,
    defaults: Arc<Defaults>,
    limits: Limits,
    connections: Connections,
    lot: Lot,
    /// Where connections go when they have nothing to do here, while the server drains.
    outbox: RefCell<Option<Rc<Outbox>>>,
    draining: Cell<bool>,
    buffers: Buffers,
    access: Option<RefCell<AccessLog>>,
    /// Most connections that were busy at once since memory was given back.
    peak: Cell<usize>,
    /// Requests being answered now.
    in_flight: Cell<usize>,
    /// Requests answered since the start.
    served: Cell<u64>,
    /// How many requests the worker is meant to answer.
    quota: Option<u64>,
    /// Whoever waits for that.
    quota_waiter: RefCell<Option<Waker>>,
}

/// What a connection may take, in time and memory.
#[derive(Debug, Clone, Copy)]
struct Limits {
    keep_alive: Duration,
    header_read: Duration,
    head_size: usize,
    in_flight: Option<usize>,
}

impl<A: Application> Server<A> {
    /// A server for `application`, which accepts nothing yet. Called in the runtime's context.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(application: A, config: &WorkerConfig) -> io::Result<Rc<Self>> {
        let mut fields = Vec::new();
        for (name, value) in &config.headers {
            fields.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let names = |wanted: &str| {
            config
                .headers
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(wanted))
        };
        let limits = Limits {
            keep_alive: config.keep_alive,
            header_read: config.header_read,
            head_size: config.max_head_size,
            in_flight: config.limit_concurrency,
        };
        Ok(Rc::new(Self {
            application,
            defaults: Arc::new(Defaults {
                server: config.server_header && !names("server"),
                date: config.date_header && !names("date"),
                fields,
                closing: AtomicBool::new(false),
            }),
            lot: Lot::new()?,
            outbox: RefCell::default(),
            draining: Cell::new(false),
            connections: Connections::new(limits.keep_alive.min(limits.header_read)),
            limits,
            buffers: Buffers::default(),
            access: config
                .access_log
                .then(|| RefCell::new(AccessLog::new(&config.log))),
            peak: Cell::new(0),
            in_flight: Cell::new(0),
            served: Cell::new(0),
            quota: quota(config),
            quota_waiter: RefCell::default(),
        }))
    }

    /// Accepts connections from `listeners` until the server drains.
    pub fn accept(self: &Rc<Self>, listeners: Vec<Listener>) {
        for listener in listeners {
            tasks::spawn(accept::run(Rc::clone(self), listener));
        }
        tasks::spawn(Rc::clone(self).sweep());
        tasks::spawn(Rc::clone(self).unpark());
    }

    /// Ends connections whose time is up, for as long as the worker lives.
    async fn sweep(self: Rc<Self>) {
        loop {
            self.connections.next_sweep(|| self.lot.len() > 0).await;
            let now = Instant::now();
            self.connections.sweep(now);
            drop(self.lot.expired(now));
            // What connections used goes back to the kernel once they rest or have ended.
            let busy = self.connections.len();
            if self.peak.get() >= TRIM_FROM && busy * 4 < self.peak.get() {
                self.peak.set(0);
                memory::trim();
            }
            self.peak.set(self.peak.get().max(busy));
        }
    }

    /// Serves parked connections whose clients have something to say.
    async fn unpark(self: Rc<Self>) {
        loop {
            let woken = match self.lot.woken().await {
                Ok(woken) => woken,
                Err(error) => {
                    tracing::error!("Cannot wait for idle connections: {error}");
                    return;
                }
            };
            for Parked { socket, peers, .. } in woken {
                self.resume(
                    Moved {
                        peers,
                        fresh: false,
                        input: Vec::new(),
                    },
                    socket,
                );
            }
        }
    }

    /// Takes a connection that has nothing to do: parks it, hands it over, or closes it.
    fn rest(self: &Rc<Self>, resting: Resting) {
        let Resting {
            stream,
            peers,
            input,
            fresh,
            idle_until,
        } = resting;
        let outbox = self.outbox.borrow().clone();
        // A stream that tokio can't let go of has failed, and is closed.
        let Ok(socket) = stream.release() else { return };
        if let Some(outbox) = outbox {
            outbox.put(
                Moved {
                    peers,
                    fresh,
                    input,
                },
                socket,
            );
        } else if !self.draining.get() {
            let deadline = idle_until.unwrap_or_else(|| Instant::now() + self.limits.keep_alive);
            self.lot.park(Parked {
                socket,
                peers,
                deadline,
            });
            self.connections.wake_sweep();
        }
    }

    /// Serves a connection from its descriptor.
    fn resume(self: &Rc<Self>, moved: Moved, socket: OwnedFd) {
        let Moved {
            peers,
            fresh,
            input,
        } = moved;
        // A socket that can't be adopted has been reset.
        if let Ok(stream) = Stream::adopt(socket, &peers.server) {
            let resting = Resting {
                stream,
                peers,
                input,
                fresh,
                idle_until: None,
            };
            tasks::spawn(connection::serve(Rc::clone(self), resting));
        }
    }

    /// Takes over the connections of the worker that this one succeeds.
    pub fn adopt(self: &Rc<Self>, end: HandOver) {
        let server = Rc::clone(self);
        tasks::spawn(async move {
            let adopted = handover::receive(end, |moved, socket| server.resume(moved, socket));
            if let Err(error) = adopted.await {
                tracing::error!("Cannot take connections over: {error}");
            }
        });
    }

    /// Stops accepting and lets requests finish. Connections with nothing to do go to the successor
    /// through `end`; without one, they are closed, and the others after their response.
    pub fn drain(self: &Rc<Self>, end: Option<HandOver>) {
        let outbox = end.map(Outbox::new).transpose().unwrap_or_else(|error| {
            tracing::warn!("Cannot hand connections over: {error}");
            None
        });
        self.draining.set(true);
        let parked = self.lot.clear();
        match outbox {
            Some(outbox) => self.hand_over(Rc::new(outbox), parked),
            None => self.close_after_responses(),
        }
        self.connections.drain();
    }

    fn hand_over(self: &Rc<Self>, outbox: Rc<Outbox>, parked: Vec<Parked>) {
        for Parked { socket, peers, .. } in parked {
            outbox.put(
                Moved {
                    peers,
                    fresh: false,
                    input: Vec::new(),
                },
                socket,
            );
        }
        *self.outbox.borrow_mut() = Some(Rc::clone(&outbox));
        let server = Rc::clone(self);
        tasks::spawn(async move {
            let unsent = outbox.run().await;
            *server.outbox.borrow_mut() = None;
            server.close_after_responses();
            for (moved, socket) in unsent {
                // To be told of the end where it is; a request on its way is still answered.
                server.resume(
                    Moved {
                        fresh: true,
                        ..moved
                    },
                    socket,
                );
            }
            server.connections.drain();
        });
    }

    fn close_after_responses(&self) {
        self.defaults.closing.store(true, Ordering::Relaxed);
    }

    /// Whether connections with nothing to do go to a successor.
    fn hands_over(&self) -> bool {
        self.outbox.borrow().is_some()
    }

    /// Ready when the last connection has ended or been handed over.
    pub async fn drained(&self) {
        self.connections.empty().await;
        let outbox = self.outbox.borrow().clone();
        if let Some(outbox) = outbox {
            outbox.close();
            outbox.closed().await;
        }
    }

    /// Tells the applications of all open requests that their client is gone, so that streams end.
    pub fn disconnect_all(&self) {
        self.connections.disconnect_all();
    }

    /// Cuts every connection.
    pub fn cut_all(&self) {
        self.connections.cut_all();
    }

    /// Open connections, idle ones among them.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.connections.len() + self.lot.len()
    }

    /// Requests answered since the start.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served.get()
    }

    /// Ready when the worker has answered as many requests as it is meant to.
    pub async fn quota_reached(&self) {
        poll_fn(|cx| match self.quota {
            Some(quota) if self.served.get() >= quota => Poll::Ready(()),
            _ => {
                *self.quota_waiter.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await;
    }

    /// One request more has been answered.
    fn count(&self) {
        let served = self.served.get() + 1;
        self.served.set(served);
        if Some(served) == self.quota
            && let Some(waiter) = self.quota_waiter.take()
        {
            waiter.wake();
        }
    }

    /// Writes what the access log holds back. Called before the worker waits.
    pub fn flush_logs(&self) {
        if let Some(access) = &self.access {
            access.borrow_mut().flush();
        }
    }

    /// Whether it has been told to drain.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }
}

/// The worker's share of requests: the limit, and up to the jitter more.
fn quota(config: &WorkerConfig) -> Option<u64> {
    let limit = config.max_requests?;
    let jitter = config.max_requests_jitter;
    // Another number in each process.
    let random = RandomState::new().hash_one(());
    let more = if jitter == 0 {
        0
    } else {
        random % jitter.saturating_add(1).max(1)
    };
    Some(limit.saturating_add(more))
}
