//! Whether the application is used, for a supervisor that lets it sleep, and health checks, which are no
//! use of it.

use std::cell::Cell;
use std::sync::Arc;

use super::exchange::Exchange;
use super::head::RequestHead;
use super::response::{Piece, ResponseHead};

/// Requests for the health path, which the server answers itself.
#[derive(Debug)]
pub(super) struct Checks {
    path: Option<Box<[u8]>>,
    /// How many were answered.
    answered: Cell<u64>,
}

/// The use of the application so far.
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

    /// How many were answered.
    pub(super) fn answered(&self) -> u64 {
        self.answered.get()
    }

    /// Answers a health check. Says no where it is for the application.
    pub(super) fn answer(&self, head: &RequestHead<'_>, exchange: &Arc<Exchange>) -> bool {
        let is_check = self.path.as_deref() == Some(head.path_below())
            && head.query.is_empty()
            && !head.upgrade
            && matches!(head.method, "GET" | "HEAD");
        if is_check {
            self.answered.set(self.answered.get() + 1);
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
