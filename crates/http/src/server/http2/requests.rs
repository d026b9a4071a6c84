//! How a stream becomes a request, or a WebSocket.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::cycle::{Accepted, Cycle, Turn};
use super::head::{self, Bad, Framing};
use super::protocol::{Code, Violation};
use super::session::Session;
use super::tunnel;
use crate::server::admission::under_id;
use crate::server::application::Application;
use crate::server::body::BodyRefused;
use crate::server::head::RequestHead;
use crate::server::hpack::FieldList;
use crate::server::websocket::{self, Asked, Opening, Session as WebSocket};
use crate::tasks;

impl<A: Application> Session<A> {
    /// Starts the application on a request, and answers at once if it does.
    pub(super) fn start(
        &mut self,
        cx: &mut Context<'_>,
        stream: u32,
        ended: bool,
        fields: &FieldList,
    ) -> Result<(), Violation> {
        // Clients are held to half of that; the rest are applications of streams that have been reset.
        if self.cycles.len() >= 2 * self.server.limits.streams as usize {
            return self.protocol.refuse(stream, Code::RefusedStream);
        }
        self.note_request();
        let server = Rc::clone(&self.server);
        let started = server.clock();
        let takes = (head::is_head_only(fields), head::takes_trailers(fields));
        let mut cycle = Cycle::new(&server, (stream, ended), takes, &self.unsent);
        let mut is_early = false;
        let read = head::read(fields, server.limits.head, |head, framing| {
            is_early = self.name_and_answer(&mut cycle, head, framing, started);
        });
        match read {
            Ok(()) if is_early => {
                if !self.keep_waiting(&mut cycle, fields) {
                    return self.protocol.refuse(stream, Code::RefusedStream);
                }
            }
            Ok(()) if cycle.is_short() => return self.protocol.refuse(stream, Code::ProtocolError),
            Ok(()) => {}
            Err(Bad::Malformed(why)) => {
                tracing::debug!(
                    "{}: HTTP/2: a malformed request: {why}",
                    self.peers.client_name()
                );
                return self.protocol.refuse(stream, Code::ProtocolError);
            }
            Err(Bad::Refused(refused)) => {
                tracing::warn!("Invalid HTTP request received.");
                tracing::debug!("{}: {}", self.peers.client_name(), refused.reason());
                cycle.exchange.refuse(refused.status(), refused.text());
            }
        }
        let mut turn = Turn::Moved;
        while turn == Turn::Moved {
            turn = cycle.poll(cx, &mut self.protocol);
        }
        match turn {
            Turn::Upgraded => {
                let accepted = cycle.take_opening(&mut self.protocol);
                self.upgrade(cx, accepted);
            }
            Turn::Idle | Turn::Moved => self.cycles.push(cycle),
            Turn::Done => {}
        }
        Ok(())
    }

    /// Answers a request, or calls its application; says whether that has to wait.
    fn name_and_answer(
        &mut self,
        cycle: &mut Cycle<A>,
        head: &mut RequestHead<'_>,
        framing: Framing<'_>,
        started: Option<Instant>,
    ) -> bool {
        self.complete(head);
        let id = self.server.id_of(head);
        if let Some(id) = &id {
            cycle.exchange.name(id.clone());
        }
        under_id(head, id.as_deref(), |head| {
            self.answer(cycle, head, framing, started)
        })
    }

    /// Sets the facts that are not the request's own: the client that a proxy names, and the place of the
    /// application.
    pub(super) fn complete(&self, head: &mut RequestHead<'_>) {
        self.server.see_through(&self.peers, head);
        if let Some(root) = self.root(head) {
            head.root = root;
        }
    }

    /// How much of a request's path the application is mounted at; nothing where the request is not for
    /// this application.
    fn root(&self, head: &RequestHead<'_>) -> Option<usize> {
        if !self.peers.routed {
            return Some(0);
        }
        let host = head.header("host").unwrap_or_default();
        self.server.territory.root(host, head.path)
    }

    fn answer(
        &mut self,
        cycle: &mut Cycle<A>,
        head: &RequestHead<'_>,
        framing: Framing<'_>,
        started: Option<Instant>,
    ) -> bool {
        let server = Rc::clone(&self.server);
        let exchange = Arc::clone(&cycle.exchange);
        let is_websocket = self.protocol_of(framing) == Some(true);
        cycle.note(head, framing, (self.peers.client, started), is_websocket);
        if cycle.is_short() {
            return false;
        }
        if !cycle.may_have(framing.length) {
            exchange.refuse_body(BodyRefused::TooLarge);
        } else if self.root(head).is_none() {
            // RFC 9110 section 15.5.20: the client may ask again over another connection.
            exchange.refuse(421, "Misdirected Request");
        } else if server.admit(head, framing.protocol.is_some(), &exchange) {
            if is_websocket {
                self.shake_hands(cycle, head);
            } else if framing.protocol.is_some() {
                // RFC 9110 section 15.6.2: nothing else is spoken in a stream.
                exchange.refuse(501, "Not Implemented");
            } else if self.unsent.must_wait() {
                return true;
            } else {
                self.call(cycle, head);
            }
        }
        false
    }

    /// Calls the application.
    pub(super) fn call(&mut self, cycle: &mut Cycle<A>, head: &RequestHead<'_>) {
        let server = Rc::clone(&self.server);
        cycle.runs = true;
        let exchange = Arc::clone(&cycle.exchange);
        let application = self.application();
        server.application.request(application, head, exchange);
    }

    /// Whether the requested protocol is supported: WebSocket, if it is served. `None` for a plain request.
    fn protocol_of(&self, framing: Framing<'_>) -> Option<bool> {
        let server = &self.server;
        let takes = server.websockets.is_some() && server.application.takes_websockets();
        framing.protocol.map(|it| takes && it == b"websocket")
    }

    fn application(&mut self) -> &A::Connection {
        let connect = || self.server.connect(&self.peers, &self.stream);
        self.application.get_or_insert_with(connect)
    }

    fn shake_hands(&mut self, cycle: &mut Cycle<A>, head: &RequestHead<'_>) {
        let server = Rc::clone(&self.server);
        let exchange = Arc::clone(&cycle.exchange);
        let deflate = server
            .websockets
            .as_ref()
            .is_some_and(|it| it.per_message_deflate);
        match websocket::examine_connect(head, deflate) {
            Asked::WebSocket(handshake) => {
                let opening = Opening {
                    exchange,
                    handshake,
                };
                cycle.runs = true;
                let application = self.application();
                cycle.conversation = Some(server.converse(application, head, opening));
            }
            Asked::Refused(status, why) => exchange.refuse(status, why),
            Asked::Other => exchange.refuse(501, "Not Implemented"),
        }
    }

    /// The handshake has been accepted: the stream is a WebSocket's from here on.
    pub(super) fn upgrade(&mut self, cx: &mut Context<'_>, accepted: Accepted) {
        let (Some(conversation), Some(settings)) = (accepted.conversation, &self.server.websockets)
        else {
            return;
        };
        let (tunnel, end) = tunnel::new(accepted.stream, accepted.open, cx.waker());
        self.tunnels.push(tunnel);
        let session = WebSocket::new(
            Box::new(end),
            self.server.connections.add_stream(),
            Rc::clone(&self.server.buffers),
            (conversation, settings),
            accepted.early,
        );
        // A task of its own, as over HTTP/1.1.
        tasks::spawn(session);
    }
}
