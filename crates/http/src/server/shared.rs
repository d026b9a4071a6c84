//! The parts of the server that the protocols use: settings, counts, and state that connections share.
//!
//! It knows no listener, no parking lot and no successor; those are the server's.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::application::Application;
use super::between_requests::{LAST_LINGER, LINGER};
use super::buffers::Buffers;
use super::connections::{Connections, Entry};
use super::exchange::Exchange;
use super::files::Files;
use super::head::{HeadLimits, RequestHead};
use super::idleness::{Checks, Use};
use super::lingering::Lingering;
use super::proxy::Proxies;
use super::record::Records;
use super::request_id::RequestIds;
use super::response::Defaults;
use super::stream::Stream;
use super::territory::Territory;
use super::tls::Terms;
use super::turn::Turn;
use crate::asgi::http::Request;
use crate::peers::TlsFacts;
use crate::tls::Identity;
use lowmem_base::config::{HttpVersions, ServerSettings, WebSockets};
use lowmem_base::counters::{self, Page};
use lowmem_base::sys::{clock, limits};

/// The state that all connections of a worker share.
#[derive(Debug)]
pub(super) struct Shared<A> {
    pub(super) application: A,
    pub(super) defaults: Arc<Defaults>,
    pub(super) limits: Limits,
    /// Which versions of HTTP are spoken.
    pub(super) versions: HttpVersions,
    /// Connections are encrypted.
    pub(super) tls: Option<Rc<Terms>>,
    pub(super) files: Files,
    pub(super) checks: Checks,
    pub(super) proxies: Proxies,
    pub(super) connections: Rc<Connections>,
    pub(super) buffers: Rc<Buffers>,
    /// The part that this application has of places that several share.
    pub(super) territory: Territory,
    /// How WebSockets are served, if they are.
    pub(super) websockets: Option<Rc<WebSockets>>,
    pub(super) access: Records,
    /// Gives each request a name, if that is asked for.
    pub(super) request_ids: Option<RequestIds>,
    /// Orders the connections' writes.
    pub(super) turn: Turn,
    /// Where requests are counted, if they are.
    pub(super) page: Option<&'static Page>,
    /// Since when it is counted there.
    pub(super) counts_since: Instant,
    /// Requests being answered now.
    pub(super) in_flight: Rc<Cell<usize>>,
    draining: Cell<bool>,
    handing_over: Cell<bool>,
    /// Requests answered since the start.
    served: Cell<u64>,
    /// The number of requests after which the worker is due.
    quota: Option<u64>,
    quota_waiter: RefCell<Option<Waker>>,
}

/// The limits of a connection, in time and memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) keep_alive: Duration,
    pub(super) header_read: Duration,
    pub(super) body_read: Option<Duration>,
    pub(super) request: Option<Duration>,
    pub(super) write: Option<Duration>,
    pub(super) head: HeadLimits,
    /// Bytes of a request body.
    pub(super) body: u64,
    pub(super) in_flight: Option<usize>,
    /// Requests of one HTTP/2 connection.
    pub(super) streams: u32,
    pub(super) connections: usize,
}

impl Limits {
    fn of(config: &ServerSettings) -> Self {
        Self {
            keep_alive: config.limits.keep_alive,
            header_read: config.limits.header_read,
            body_read: config.limits.body_read,
            request: config.limits.request,
            write: config.limits.write,
            head: HeadLimits {
                size: config.limits.head,
                target: config.limits.target,
                fields: config.limits.fields,
            },
            body: config.limits.body.unwrap_or(u64::MAX),
            in_flight: config.limits.concurrency,
            streams: config.http.max_streams,
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
        let optional = [self.body_read, self.request, self.write];
        let optional = optional.into_iter().flatten();
        let all = times.into_iter().chain(optional).chain(pings);
        all.fold(Duration::MAX, Duration::min)
    }
}

impl<A: Application> Shared<A> {
    pub(super) fn new(
        application: A,
        config: &ServerSettings,
        identity: Option<Identity>,
    ) -> io::Result<Self> {
        let limits = Limits::of(config);
        let shortest = limits.shortest(config.websockets.as_ref());
        if let Some(page) = counters::mine() {
            page.begin(clock::monotonic());
        }
        Ok(Self {
            application,
            defaults: Arc::new(defaults(config)),
            versions: config.http.versions,
            tls: config.tls.as_ref().zip(identity).map(|(tls, identity)| {
                Rc::new(Terms {
                    identity,
                    timeout: tls.handshake,
                })
            }),
            connections: Rc::new(Connections::new(shortest, limits.write)),
            limits,
            files: Files::open(&config.mounts)?,
            checks: Checks::new(config.health_path.as_deref()),
            proxies: Proxies::new(&config.proxies),
            buffers: Rc::default(),
            territory: Territory::of(config),
            websockets: config.websockets.map(Rc::new),
            request_ids: config.http.request_id.then(RequestIds::default),
            access: Records::new(config)?,
            turn: Turn::new(Instant::now),
            page: counters::mine(),
            counts_since: Instant::now(),
            in_flight: Rc::default(),
            draining: Cell::new(false),
            handing_over: Cell::new(false),
            served: Cell::new(0),
            quota: quota(config),
            quota_waiter: RefCell::default(),
        })
    }

    /// A new exchange for a request, shared by the connection and the application.
    pub(super) fn exchange(&self, head: &RequestHead<'_>, id: Option<Box<[u8]>>) -> Arc<Exchange> {
        let request = Request {
            head: head.method == "HEAD",
            version: head.version,
            trailers: head.trailers,
            hints: head.hints,
        };
        let defaults = Arc::clone(&self.defaults);
        let exchange = Exchange::new(defaults, request, head.keep_alive, self.buffers.take());
        if let Some(id) = id {
            exchange.name(id);
        }
        Arc::new(exchange)
    }

    /// The TLS facts of an encrypted connection.
    pub(super) fn facts(&self, stream: &Stream) -> Option<TlsFacts> {
        let (terms, session) = self.tls.as_ref().zip(stream.session())?;
        Some(session.facts(Arc::clone(&terms.identity.certificate)))
    }

    /// Requests answered since the start.
    pub(super) fn served(&self) -> u64 {
        self.served.get()
    }

    /// Requests that the server made to itself are not counted.
    pub(super) fn forget_served(&self) {
        self.served.set(0);
    }

    /// The use of the application so far.
    pub(super) fn use_so_far(&self) -> Use {
        let open = self.in_flight.get();
        let all = self.served.get() + open as u64;
        Use {
            begun: all - self.checks.answered(),
            open,
            websockets: self.connections.sessions(),
        }
    }

    /// Whether the server drains.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub(super) fn set_draining(&self) {
        self.draining.set(true);
    }

    /// Whether connections with nothing to do go to a successor.
    pub(super) fn hands_over(&self) -> bool {
        self.handing_over.get()
    }

    pub(super) fn set_handing_over(&self, hands_over: bool) {
        self.handing_over.set(hands_over);
    }

    /// How long a connection that has been closed here waits for its client.
    pub(super) fn linger(&self) -> Duration {
        if self.is_draining() {
            LAST_LINGER
        } else {
            LINGER
        }
    }

    /// Ends the sending side of a connection, and reads until the client has seen it.
    pub(super) async fn end(&self, entry: &Entry, stream: &mut Stream) {
        entry.set_deadline(Some(Instant::now() + self.linger()));
        let mut lingering = Lingering::default();
        poll_fn(|cx| {
            entry.set_waker(cx.waker());
            lingering.poll(cx, stream, &self.buffers, entry)
        })
        .await;
    }

    /// From now on each response closes its connection.
    pub(super) fn close_after_responses(&self) {
        self.defaults.closing.store(true, Ordering::Relaxed);
    }

    /// Ready when the worker has answered as many requests as it is meant to.
    pub(super) async fn quota_reached(&self) {
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
    pub(super) fn count(&self) {
        let served = self.served.get() + 1;
        self.served.set(served);
        if Some(served) == self.quota
            && let Some(waiter) = self.quota_waiter.take()
        {
            waiter.wake();
        }
    }
}

/// The header fields that the server adds to responses.
fn defaults(config: &ServerSettings) -> Defaults {
    let mut fields = Vec::new();
    for (name, value) in &config.http.headers {
        fields.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    let names = |wanted: &str| {
        let mut headers = config.http.headers.iter();
        headers.any(|(name, _)| name.eq_ignore_ascii_case(wanted))
    };
    Defaults {
        server: config.http.server_header && !names("server"),
        date: config.http.date_header && !names("date"),
        fields,
        closing: AtomicBool::new(false),
    }
}

/// The worker's share of requests: the limit, and up to the jitter more.
fn quota(config: &ServerSettings) -> Option<u64> {
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
