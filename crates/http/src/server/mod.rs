//! The HTTP server: accepts, reads requests, writes responses. Knows no Python.
//!
//! One tokio task per connection, all on the worker's one thread. A connection reads a head, gives
//! it to the application, and moves bytes between the socket and the [`Exchange`] until the
//! response is written; then it takes the next head. The protocol's parts (`head`, `body`,
//! `response`, and the messages in `asgi`) do no I/O and are tested as values.

mod accept;
mod admission;
pub mod application;
pub mod beginning;
mod between_requests;
mod body;
mod buffers;
mod byte_stream;
mod connection;
mod connections;
mod counted;
mod course;
mod exchange;
mod expectation;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handover;
mod handshake;
mod head;
mod hpack;
mod http2;
mod idleness;
mod lingering;
mod measured;
mod parking;
mod preamble;
mod proxy;
mod reclaim;
mod record;
mod request_id;
mod response;
mod resting;
mod router_end;
mod shared;
mod socket;
mod state;
mod stream;
mod territory;
mod tls;
mod turn;
mod unanswered;
mod warming;
mod websocket;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

pub use accept::Listener;
pub use body::{BodyDecoder, BodyRefused};
pub use exchange::{Body, Exchange, Finish, Received, RoomForMore};
pub use head::{BodyLength, HeadLimits, HeadScan, Refused as HeadRefused, RequestHead, parse};
pub use idleness::Use;
pub use proxy::{Client, Forwarded, is_proxy_field};
pub use response::{BadField, Defaults, FilePiece, Persist, Piece, Refused, ResponseHead};
pub use router_end::RouterEnd;
pub use state::Server;
pub use websocket::{
    Acceptance, Conversation, Data, Received as WebSocketReceived, Refused as WebSocketRefused,
};

use crate::tasks;
use crate::tls::Identity;
use application::Application;
use lowmem_base::config::ServerSettings;
use lowmem_base::counters;
use lowmem_base::figures::Megabytes;
use lowmem_base::routes::Routes;
use lowmem_base::sys::{clock, memory};
use parking::{Lot, Parked};
use reclaim::Sample;
use shared::Shared;

/// A request that has been open for so long may go on for longer than it can be waited for.
const LONG_REQUEST: Duration = Duration::from_millis(500);

/// Memory is given back to the kernel after this many connections were busy at once.
const TRIM_FROM: usize = 64;

impl<A: Application> Server<A> {
    /// A server for `application`, which accepts nothing yet; with an identity it serves TLS.
    /// Called in the runtime's context.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(
        application: A,
        config: &ServerSettings,
        identity: Option<Identity>,
    ) -> io::Result<Rc<Self>> {
        let proxies = &config.proxies;
        Ok(Rc::new(Self {
            shared: Rc::new(Shared::new(application, config, identity)?),
            preamble_from: proxies.protocol.then(|| proxies.trusted.clone()),
            lot: Lot::new()?,
            outbox: RefCell::default(),
            reclaim: RefCell::default(),
            handed_over: Cell::new(0),
            router: RefCell::default(),
        }))
    }

    /// Accepts connections from `listeners` until the server drains.
    pub fn accept(self: &Rc<Self>, listeners: Vec<Listener>) {
        self.reclaim(Instant::now());
        for listener in listeners {
            if let Listener::Routed(end) = &listener {
                *self.router.borrow_mut() = Some(Rc::clone(end));
            }
            tasks::spawn(accept::run(Rc::clone(self), listener));
        }
        tasks::spawn(Rc::clone(self).sweep());
        tasks::spawn(Rc::clone(self).unpark());
    }

    /// Ends connections whose time is up, for as long as the worker lives.
    async fn sweep(self: Rc<Self>) {
        loop {
            let needed = || self.lot.len() > 0 || self.is_unsettled();
            self.shared.connections.next_sweep(needed).await;
            let now = Instant::now();
            self.tell_sweep(now);
            self.shared.connections.sweep(now);
            self.lot.expired(now).into_iter().for_each(Parked::close);
            // Memory that connections used goes back to the kernel once they are parked or have ended.
            websocket::rest(self.shared.connections.len() == 0);
            if self.shared.connections.has_calmed_down(TRIM_FROM) {
                memory::trim();
            }
            self.reclaim(now);
        }
    }

    /// Gives freed memory back if that is worth it and delays no request.
    fn reclaim(&self, now: Instant) {
        let mut reclaim = self.reclaim.borrow_mut();
        if !reclaim.is_due(now) {
            return;
        }
        let sample = Sample {
            now,
            cpu: clock::of_process(),
            served: self.shared.served(),
            resident: memory::resident(),
        };
        if reclaim.look(sample) && reclaim.is_worth_it(memory::heap()) {
            let bytes = memory::give_back();
            tracing::debug!("Gave {} MB back", Megabytes(bytes));
            reclaim.given_back(memory::resident());
        }
    }

    /// From now on these applications answer on the places that several share.
    pub fn set_routes(&self, routes: Routes) {
        self.shared.territory.set(routes);
    }

    /// Gives freed memory back at once.
    pub fn give_back(&self) {
        let bytes = memory::give_back();
        tracing::debug!("Gave {} MB back, as asked", Megabytes(bytes));
        self.reclaim.borrow_mut().given_back(memory::resident());
    }

    /// Whether the server has periodic work, though no connection is open.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.reclaim.borrow().is_unsettled(Instant::now())
    }

    /// Tells the applications of all open requests that their client is gone, so that streams end.
    pub fn disconnect_all(&self) {
        self.shared.connections.end_all();
    }

    /// Tells those of event streams, and of responses without a length that have gone on for so long;
    /// and WebSockets to come back.
    pub fn end_streams(&self, from: Option<Duration>) {
        self.shared.connections.end_streams(from);
    }

    /// Ready when nothing long is open that an end of the worker would cut, or at the latest
    /// `within` this time: the requests that were open a moment ago have been answered. Event streams
    /// and WebSockets do not count.
    pub async fn no_long_requests(&self, within: Duration) {
        let end = Instant::now() + within;
        loop {
            self.shared.connections.ask_for_unfinished();
            let left = end.saturating_duration_since(Instant::now());
            tokio::time::sleep(LONG_REQUEST.min(left)).await;
            if !self.shared.connections.has_unfinished() || left <= LONG_REQUEST {
                return;
            }
        }
    }

    /// Ready when no WebSocket is open.
    pub async fn no_websockets(&self) {
        let connections = &self.shared.connections;
        poll_fn(|cx| {
            if connections.sessions() == 0 {
                return Poll::Ready(());
            }
            connections.wake_with_room(cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// Cuts every connection.
    pub fn cut_all(&self) {
        self.shared.connections.cut_all();
    }

    /// Requests answered since the start.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.shared.served()
    }

    /// The use of the application so far.
    #[must_use]
    pub fn use_so_far(&self) -> Use {
        self.shared.use_so_far()
    }

    /// Ready when the worker has answered as many requests as it is meant to.
    pub async fn quota_reached(&self) {
        self.shared.quota_reached().await;
    }

    /// Says how many connections there are. Called before the worker waits.
    pub fn tell_counters(&self) {
        if let Some(page) = self.shared.page {
            self.shared.tell_in_flight();
            counters::set(&page.now.active, self.shared.connections.len());
            counters::set(&page.now.parked, self.lot.len());
        }
    }

    /// A sweep has been made, which was due then.
    fn tell_sweep(&self, now: Instant) {
        if let Some(page) = self.shared.page {
            let late = self.shared.connections.due().map(|due| now - due);
            let nanos = late.map(|late| usize::try_from(late.as_nanos()).unwrap_or(usize::MAX));
            counters::set(&page.now.lag, nanos.unwrap_or_default());
            counters::step(&page.now.turns);
            self.tell_counters();
        }
    }

    /// Writes what the access log holds back. Called before the worker waits.
    pub fn flush_logs(&self) {
        self.shared.access.flush();
    }
}
