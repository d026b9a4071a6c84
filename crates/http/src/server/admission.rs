//! The way of a request to its application, the same for each version of HTTP: the client that a trusted proxy
//! names, the request's id, the limits, and the answers that need no application.

use std::sync::Arc;

use super::application::Application;
use super::exchange::Exchange;
use super::head::RequestHead;
use super::request_id;
use super::shared::Shared;
use super::stream::Stream;
use super::websocket::{Conversation, Opening};
use crate::peers::Peers;

impl<A: Application> Shared<A> {
    /// Reads what a trusted proxy says of the client.
    pub(super) fn see_through(&self, peers: &Peers, head: &mut RequestHead<'_>) {
        if head.proxied {
            head.forwarded = self.proxies.read(peers, head.headers);
        }
    }

    /// The request's id, if requests have one.
    pub(super) fn id_of(&self, head: &RequestHead<'_>) -> Option<Box<[u8]>> {
        self.request_ids.as_ref().map(|ids| ids.of(head))
    }

    /// Answers a request that is not the application's to answer; says whether it is. A request that
    /// opens a `tunnel` is for no file.
    pub(super) fn admit(
        &self,
        head: &RequestHead<'_>,
        tunnel: bool,
        exchange: &Arc<Exchange>,
    ) -> bool {
        if self.is_full() {
            tracing::warn!("Exceeded concurrency limit.");
            exchange.refuse(503, "Service Unavailable");
            return false;
        }
        tunnel || !self.checks.answer(head, exchange) && !self.files.serve(head, exchange)
    }

    fn is_full(&self) -> bool {
        let limit = self.limits.in_flight;
        limit.is_some_and(|limit| self.in_flight.get() > limit)
    }

    /// Tells the application of a connection that has a request for it.
    pub(super) fn connect(&self, peers: &Peers, stream: &Stream) -> A::Connection {
        let tls = self.facts(stream);
        self.application.connect(peers, tls.as_ref())
    }

    /// Gives the application a WebSocket's handshake to answer.
    pub(super) fn converse(
        &self,
        application: &A::Connection,
        head: &RequestHead<'_>,
        opening: Opening,
    ) -> Arc<Conversation> {
        let conversation = Arc::new(Conversation::new(opening));
        let shared = Arc::clone(&conversation);
        self.application.websocket(application, head, shared);
        conversation
    }
}

/// Passes the head on, with the request's id among its fields.
pub(super) fn under_id<R>(
    head: &mut RequestHead<'_>,
    id: Option<&[u8]>,
    then: impl FnOnce(&RequestHead<'_>) -> R,
) -> R {
    let Some(id) = id else { return then(head) };
    let renamed = request_id::renamed(head.headers, id);
    then(&RequestHead {
        headers: &renamed,
        forwarded: head.forwarded.take(),
        ..*head
    })
}
