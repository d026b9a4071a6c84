//! Whether the application is used, for a supervisor that lets it sleep, and health checks, which are no
//! use of it.

use std::cell::Cell;
use std::sync::Arc;

use super::{Exchange, Piece, RequestHead, ResponseHead, Server};
use crate::application::Application;

/// Requests for the health path, which the server answers itself.
#[derive(Debug)]
pub(super) struct Checks {
    path: Option<Box<[u8]>>,
    /// How many were answered.
    answered: Cell<u64>,
}

/// What the application has had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// Requests that have begun, without health checks.
    pub begun: u64,
    /// Requests that have not ended; health checks are among them for a turn.
    pub open: usize,
    /// Open WebSockets.
    pub websockets: usize,
}

impl Checks {
    pub(super) fn new(path: Option<&str>) -> Self {
        Self {
            path: path.map(|path| path.as_bytes().into()),
            answered: Cell::new(0),
        }
    }
}

impl<A: Application> Server<A> {
    /// What has been used so far.
    #[must_use]
    pub fn use_so_far(&self) -> Use {
        let open = self.in_flight.get();
        let all = self.served.get() + open as u64;
        Use {
            begun: all - self.checks.answered.get(),
            open,
            websockets: self.connections.sessions(),
        }
    }

    /// Answers a health check. Says no where it is for the application.
    pub(super) fn answers_check(&self, head: &RequestHead<'_>, exchange: &Arc<Exchange>) -> bool {
        let is_check = self.checks.path.as_deref() == Some(head.path)
            && head.query.is_empty()
            && !head.upgrade
            && matches!(head.method, "GET" | "HEAD");
        if is_check {
            self.checks.answered.set(self.checks.answered.get() + 1);
            answer(exchange);
        }
        is_check
    }
}

fn answer(exchange: &Exchange) {
    // Refused, the client has been answered in another way, or has gone.
    let Ok(buffer) = exchange.begin() else { return };
    let mut head = ResponseHead::new(buffer, 200);
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "3"),
    ] {
        if let Err(bad) = head.field(name.as_bytes(), value.as_bytes()) {
            tracing::debug!("{name}: {value:?}: {bad}");
        }
    }
    if exchange.start(head).is_ok() {
        let _ = exchange.body(Piece::Small(b"ok\n"), false);
    }
    let _ = exchange.finish();
}
