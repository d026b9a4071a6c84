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
mod head;
mod response;
mod stream;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use accept::Listener;
pub use body::{BodyDecoder, BrokenFraming};
pub use exchange::{Exchange, Finish, Received};
pub use head::{BodyLength, HeadScan, Refused as HeadRefused, RequestHead, parse};
pub use response::{BadField, Defaults, Piece, Refused, ResponseHead, reason_phrase};

use crate::config::WorkerConfig;
use crate::telemetry::AccessLog;
use crate::worker::application::Application;
use crate::worker::tasks;
use buffers::Buffers;
use connections::Connections;

/// A worker's HTTP server: what its connections share.
#[derive(Debug)]
pub struct Server<A> {
    application: A,
    defaults: Arc<Defaults>,
    limits: Limits,
    connections: Connections,
    buffers: Buffers,
    access: Option<RefCell<AccessLog>>,
    /// Requests being answered now.
    in_flight: Cell<usize>,
    /// Requests answered since the start.
    served: Cell<u64>,
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
    /// A server for `application`, which accepts nothing yet.
    #[must_use]
    pub fn new(application: A, config: &WorkerConfig) -> Rc<Self> {
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
        Rc::new(Self {
            application,
            defaults: Arc::new(Defaults {
                server: config.server_header && !names("server"),
                date: config.date_header && !names("date"),
                fields,
                draining: AtomicBool::new(false),
            }),
            connections: Connections::new(limits.keep_alive.min(limits.header_read)),
            limits,
            buffers: Buffers::default(),
            access: config
                .access_log
                .then(|| RefCell::new(AccessLog::new(&config.log))),
            in_flight: Cell::new(0),
            served: Cell::new(0),
        })
    }

    /// Accepts connections from `listeners` until the server drains.
    pub fn accept(self: &Rc<Self>, listeners: Vec<Listener>) {
        for listener in listeners {
            tasks::spawn(accept::run(Rc::clone(self), listener));
        }
        let server = Rc::clone(self);
        tasks::spawn(async move { server.connections.sweep().await });
    }

    /// Stops accepting, closes idle connections, lets requests finish.
    pub fn drain(&self) {
        self.defaults.draining.store(true, Ordering::Relaxed);
        self.connections.drain();
    }

    /// Ready when the last connection has ended.
    pub async fn drained(&self) {
        self.connections.empty().await;
    }

    /// Tells the applications of all open requests that their client is gone, so that streams end.
    pub fn disconnect_all(&self) {
        self.connections.disconnect_all();
    }

    /// Cuts every connection.
    pub fn cut_all(&self) {
        self.connections.cut_all();
    }

    /// Open connections.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// Requests answered since the start.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served.get()
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
        self.defaults.draining.load(Ordering::Relaxed)
    }
}
