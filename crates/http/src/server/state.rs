//! The server: its connections, those that are parked, and the way to a successor.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::handover::Outbox;
use super::parking::Lot;
use super::reclaim::Reclaim;
use super::router_end::RouterEnd;
use super::shared::Shared;
use lowmem_base::config::Trusted;

/// A worker's HTTP server.
#[derive(Debug)]
pub struct Server<A> {
    pub(super) shared: Rc<Shared<A>>,
    /// The peers whose connections begin with the PROXY protocol.
    pub(super) preamble_from: Option<Trusted>,
    pub(super) lot: Lot,
    /// Where connections go when they have nothing to do here, while the server drains.
    pub(super) outbox: RefCell<Option<Rc<Outbox>>>,
    /// When freed memory is given back.
    pub(super) reclaim: RefCell<Reclaim>,
    /// Where connections go whose next request is another application's.
    pub(super) router: RefCell<Option<Rc<RouterEnd>>>,
    /// Connections that the successor has got.
    pub(super) handed_over: Cell<u64>,
}

impl<A> Server<A> {
    /// Open connections, idle ones among them.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.connections.len() + self.lot.len()
    }
}
