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
mod files;
mod handover;
mod handshake;
mod head;
mod http2;
mod idleness;
mod parking;
pub mod percent;
mod proxy;
mod request_id;
mod response;
mod resting;
mod socket;
mod stream;
mod tls;
mod turn;
mod websocket;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

pub use accept::Listener;
pub use body::{BodyDecoder, BodyRefused};
pub use exchange::{Body, Exchange, Finish, Received};
pub use files::FilePiece;
pub use head::{BodyLength, HeadLimits, HeadScan, Refused as HeadRefused, RequestHead, parse};
pub use idleness::Use;
pub use proxy::{Client, Forwarded, is_proxy_field};
pub use response::{BadField, Defaults, Persist, Piece, Refused, ResponseHead};

pub use websocket::{
    Acceptance, Conversation, Data, Received as WebSocketReceived, Refused as WebSocketRefused,
};

use crate::application::Application;
use crate::tasks;
use crate::tls::Identity;
use buffers::Buffers;
use connections::Connections;
use files::Files;
use handover::Outbox;
use handshake::Terms;
use idleness::Checks;
use lowmem_base::config::{HttpVersions, Trusted, WebSockets, WorkerConfig};
use lowmem_base::sys::{limits, memory};
use lowmem_base::telemetry::AccessLog;
use parking::{Lot, Parked};
use proxy::Proxies;
use request_id::RequestIds;
use turn::Turn;

/// A request that has been open for so long may go on for longer than it can be waited for.
const LONG_REQUEST: Duration = Duration::from_millis(500);

/// Memory is given back to the kernel after this many connections were busy at once.
const TRIM_FROM: usize = 64;

/// A worker's HTTP server: what its connections share.
#[derive(Debug)]
pub struct Server<A> {
    application: A,
    defaults: Arc<Defaults>,
    limits: Limits,
    /// Which versions of HTTP are spoken.
    versions: HttpVersions,
    /// Connections are encrypted.
    tls: Option<Rc<Terms>>,
    files: Files,
    checks: Checks,
    proxies: Proxies,
    /// Whose connections begin with the PROXY protocol.
    preamble_from: Option<Trusted>,
    connections: Rc<Connections>,
    lot: Lot,
    /// Where connections go when they have nothing to do here, while the server drains.
    outbox: RefCell<Option<Rc<Outbox>>>,
    draining: Cell<bool>,
    buffers: Rc<Buffers>,
    /// How WebSockets are served, if they are.
    websockets: Option<Rc<WebSockets>>,
    access: Option<RefCell<AccessLog>>,
    /// Gives each request a name, if that is asked for.
    request_ids: Option<RequestIds>,
    /// Who writes when.
    turn: Turn,
    /// Requests being answered now.
    in_flight: Cell<usize>,
    /// Requests answered since the start.
    served: Cell<u64>,
    /// Connections that the successor has got.
    handed_over: Cell<u64>,
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
    body_read: Option<Duration>,
    head: HeadLimits,
    /// Bytes of a request body.
    body: u64,
    in_flight: Option<usize>,
    /// Requests of one HTTP/2 connection.
    streams: u32,
    connections: usize,
}

impl Limits {
    fn of(config: &WorkerConfig) -> Self {
        Self {
            keep_alive: config.keep_alive,
            header_read: config.header_read,
            body_read: config.limits.body_read,
            head: HeadLimits {
                size: config.max_head_size,
                target: config.limits.target,
                fields: config.limits.fields,
            },
            body: config.limits.body.unwrap_or(u64::MAX),
            in_flight: config.limit_concurrency,
            streams: config.http2_max_streams,
            connections: config
                .limits
                .connections
                .unwrap_or_else(limits::connections),
        }
    }

    /// The shortest time that any connection is held to.
    fn shortest(&self, websockets: Option<&WebSockets>) -> Duration {
        let pings = websockets.map(|w| [w.ping_interval, w.ping_timeout]);
        let pings = pings.into_iter().flatten().flatten();
        let times = [self.keep_alive, self.header_read];
        let all = times.into_iter().chain(self.body_read).chain(pings);
        all.fold(Duration::MAX, Duration::min)
    }
}

impl<A: Application> Server<A> {
    /// A server for `application`, which accepts nothing yet; with an identity it serves TLS.
    /// Called in the runtime's context.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(
        application: A,
        config: &WorkerConfig,
        identity: Option<Identity>,
    ) -> io::Result<Rc<Self>> {
        let limits = Limits::of(config);
        let shortest = limits.shortest(config.websockets.as_ref());
        Ok(Rc::new(Self {
            application,
            defaults: Arc::new(defaults(config)),
            versions: config.http,
            tls: config.tls.as_ref().zip(identity).map(|(tls, identity)| {
                Rc::new(Terms {
                    identity,
                    timeout: tls.handshake,
                })
            }),
            lot: Lot::new()?,
            outbox: RefCell::default(),
            draining: Cell::new(false),
            connections: Rc::new(Connections::new(shortest)),
            limits,
            files: Files::open(&config.mounts)?,
            checks: Checks::new(config.health_path.as_deref()),
            proxies: Proxies::new(&config.proxies),
            preamble_from: config
                .proxies
                .protocol
                .then(|| config.proxies.trusted.clone()),
            buffers: Rc::default(),
            websockets: config.websockets.map(Rc::new),
            request_ids: config.request_id.then(RequestIds::default),
            access: access_log(config)?.map(RefCell::new),
            turn: Turn::new(Instant::now),
            in_flight: Cell::new(0),
            served: Cell::new(0),
            handed_over: Cell::new(0),
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
            self.lot.expired(now).into_iter().for_each(Parked::close);
            // What connections used goes back to the kernel once they rest or have ended.
            websocket::rest(self.connections.len() == 0);
            if self.connections.has_calmed_down(TRIM_FROM) {
                memory::trim();
            }
        }
    }

    /// Tells the applications of all open requests that their client is gone, so that streams end.
    pub fn disconnect_all(&self) {
        self.connections.end_all();
    }

    /// Tells those of event streams, and of responses without a length that have gone on for so long;
    /// and WebSockets to come back.
    pub fn end_streams(&self, from: Option<Duration>) {
        self.connections.end_streams(from);
    }

    /// Ready when nothing long is open that an end of the worker would cut, or at the latest
    /// `within` this time: the requests that were open a moment ago have been answered. Event streams
    /// and WebSockets do not count.
    pub async fn no_long_requests(&self, within: Duration) {
        let end = Instant::now() + within;
        loop {
            self.connections.ask_for_unfinished();
            let left = end.saturating_duration_since(Instant::now());
            tokio::time::sleep(LONG_REQUEST.min(left)).await;
            if !self.connections.has_unfinished() || left <= LONG_REQUEST {
                return;
            }
        }
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
}

/// What responses have of the server's own.
fn defaults(config: &WorkerConfig) -> Defaults {
    let mut fields = Vec::new();
    for (name, value) in &config.headers {
        fields.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let names = |wanted: &str| {
        let mut headers = config.headers.iter();
        headers.any(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    Defaults {
        server: config.server_header && !names("server"),
        date: config.date_header && !names("date"),
        fields,
        closing: AtomicBool::new(false),
    }
}

fn access_log(config: &WorkerConfig) -> io::Result<Option<AccessLog>> {
    if !config.access_log {
        return Ok(None);
    }
    AccessLog::new(&config.access).map(Some)
}

/// The worker's share of requests: the limit, and up to the jitter more.
fn quota(config: &WorkerConfig) -> Option<u64> {
    let limit = config.max_requests?;
    let jitter = config.max_requests_jitter;
    // Another number in each process, also in those that were forked from one.
    let random = RandomState::new().hash_one(std::process::id());
    let more = if jitter == 0 {
        0
    } else {
        random % jitter.saturating_add(1).max(1)
    };
    Some(limit.saturating_add(more))
}
