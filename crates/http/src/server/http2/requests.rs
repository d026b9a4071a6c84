//! How a stream becomes a request, or a WebSocket.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::cycle::{Accepted, Cycle, Turn};
use super::head::{self, Asked, Bad};
use super::protocol::{Code, Violation};
use super::session::Session;
use super::tunnel;
use super::waiting::named;
use crate::server::application::Application;
use crate::server::hpack::FieldList;
use crate::server::websocket::{self, Asked as Wish, Conversation, Opening, Session as WebSocket};
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
        let read = head::read(fields, server.limits.head, |asked| {
            is_early = self.name_and_answer(&mut cycle, asked, started);
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
        asked: &mut Asked<'_>,
        started: Option<Instant>,
    ) -> bool {
        self.see_through(asked);
        let ids = self.server.request_ids.as_ref();
        let Some(id) = ids.map(|ids| ids.of(&asked.head)) else {
            return self.answer(cycle, asked, started);
        };
        cycle.exchange.name(id.clone());
        named(asked, &id, |asked| self.answer(cycle, asked, started))
    }

    /// Reads what a trusted proxy says of the client.
    pub(super) fn see_through(&self, asked: &mut Asked<'_>) {
        if asked.head.proxied {
            let read = self.server.proxies.read(&self.peers, asked.head.headers);
            asked.head.forwarded = read;
        }
        if let Some(root) = self.root(asked) {
            asked.head.root = root;
        }
    }

    /// How much of a request's path the application is mounted at; nothing where the request is not for
    /// this application.
    fn root(&self, asked: &Asked<'_>) -> Option<usize> {
        if !self.peers.routed {
            return Some(0);
        }
        let host = asked.head.header("host").unwrap_or_default();
        self.server.territory.root(host, asked.head.path)
    }

    fn answer(
        &mut self,
        cycle: &mut Cycle<A>,
        asked: &Asked<'_>,
        started: Option<Instant>,
    ) -> bool {
        let server = Rc::clone(&self.server);
        let exchange = Arc::clone(&cycle.exchange);
        let is_websocket = self.protocol_of(asked) == Some(true);
        cycle.note(asked, self.peers.client, started, is_websocket);
        if cycle.is_short() {
            return false;
        }
        if !cycle.may_have(asked.length) {
            exchange.refuse(413, "Content Too Large");
        } else if self.root(asked).is_none() {
            // RFC 9110 section 15.5.20: the client may ask again over another connection.
            exchange.refuse(421, "Misdirected Request");
        } else if server.admit(&asked.head, asked.protocol.is_some(), &exchange) {
            if is_websocket {
                self.shake_hands(cycle, asked);
            } else if asked.protocol.is_some() {
                // RFC 9110 section 15.6.2: nothing else is spoken in a stream.
                exchange.refuse(501, "Not Implemented");
            } else if self.unsent.must_wait() {
                return true;
            } else {
                self.call(cycle, asked);
            }
        }
        false
    }

    /// Calls the application.
    pub(super) fn call(&mut self, cycle: &mut Cycle<A>, asked: &Asked<'_>) {
        let server = Rc::clone(&self.server);
        cycle.runs = true;
        let exchange = Arc::clone(&cycle.exchange);
        let application = self.application();
        server
            .application
            .request(application, &asked.head, exchange);
    }

    /// Whether the requested protocol is supported: WebSocket, if it is served. `None` for a plain request.
    fn protocol_of(&self, asked: &Asked<'_>) -> Option<bool> {
        let server = &self.server;
        let takes = server.websockets.is_some() && server.application.takes_websockets();
        asked.protocol.map(|it| takes && it == b"websocket")
    }

    fn application(&mut self) -> &A::Connection {
        self.application.get_or_insert_with(|| {
            let tls = self.server.facts(&self.stream);
            self.server.application.connect(&self.peers, tls.as_ref())
        })
    }

    fn shake_hands(&mut self, cycle: &mut Cycle<A>, asked: &Asked<'_>) {
        let server = Rc::clone(&self.server);
        let exchange = Arc::clone(&cycle.exchange);
        let deflate = server
            .websockets
            .as_ref()
            .is_some_and(|it| it.per_message_deflate);
        match websocket::examine_connect(&asked.head, deflate) {
            Wish::WebSocket(handshake) => {
                let opening = Opening {
                    exchange,
                    handshake,
                };
                let conversation = Arc::new(Conversation::new(opening));
                cycle.conversation = Some(Arc::clone(&conversation));
                cycle.runs = true;
                let application = self.application();
                server
                    .application
                    .websocket(application, &asked.head, conversation);
            }
            Wish::Refused(status, why) => exchange.refuse(status, why),
            Wish::Other => exchange.refuse(501, "Not Implemented"),
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
