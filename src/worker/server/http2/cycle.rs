//! One request and its response, on one stream.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::fields;
use super::head::Asked;
use super::protocol::{Code, Protocol};
use crate::worker::application::Application;
use crate::worker::asgi::http::{Request, Version};
use crate::worker::server::Server;
use crate::worker::server::connection::OwnedRecord;
use crate::worker::server::exchange::{Ending, Exchange, View};
use crate::worker::server::response::Outgoing;
use crate::worker::server::websocket::Conversation;

/// A piece this long is written from where it is; shorter ones are copied behind their frame's head.
const SHARED_FROM: usize = 4096;

/// Capacity that a response's head is written into before it is encoded.
const USUAL_HEAD: usize = 512;

/// A request while it is answered.
pub(super) struct Cycle<A: Application> {
    pub(super) stream: u32,
    server: Rc<Server<A>>,
    pub(super) exchange: Arc<Exchange>,
    /// The WebSocket that the request opens.
    pub(super) conversation: Option<Arc<Conversation>>,
    incoming: Incoming,
    out: Outgoing,
    /// The response's head has been sent.
    has_head: bool,
    /// The client waits for `100 Continue`.
    expects: bool,
    record: Option<Box<OwnedRecord>>,
    /// An application has been called.
    pub(super) runs: bool,
    stage: Stage,
}

/// The request's body.
#[derive(Debug)]
struct Incoming {
    /// Bytes that were announced and have not come.
    announced: Option<u64>,
    /// Bytes that it may still have.
    allowed: u64,
    /// Bytes that the client has not been granted again.
    held: usize,
    /// More is to come.
    open: bool,
    /// Nothing has come since then, though it is waited for.
    starved_since: Option<Instant>,
    /// What came before a WebSocket was accepted.
    early: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Answering,
    /// There is no stream any more. It counts until its application has ended: a client that resets
    /// as fast as it asks would otherwise start any number of them.
    Abandoned,
    /// It has been answered, or is a WebSocket.
    Over,
}

/// A stream that is a WebSocket from here on.
pub(super) struct Accepted {
    pub(super) stream: u32,
    pub(super) conversation: Option<Arc<Conversation>>,
    /// What came before it was accepted.
    pub(super) early: Vec<u8>,
    /// More may come.
    pub(super) open: bool,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing could be moved.
    Idle,
    /// Something was, and more may be.
    Moved,
    /// The stream is a WebSocket's from here on.
    Upgraded,
    /// The cycle is over.
    Done,
}

impl<A: Application> Cycle<A> {
    /// Counts as in flight until it is dropped.
    pub(super) fn new(server: &Rc<Server<A>>, stream: u32, head_only: bool, ended: bool) -> Self {
        server.in_flight.set(server.in_flight.get() + 1);
        let request = Request {
            head: head_only,
            version: Version::Http2,
        };
        let defaults = Arc::clone(&server.defaults);
        let buffer = Vec::with_capacity(USUAL_HEAD);
        let exchange = Arc::new(Exchange::new(defaults, request, true, buffer));
        if ended {
            exchange.arrive(b"", true);
        }
        Self {
            stream,
            server: Rc::clone(server),
            exchange,
            conversation: None,
            incoming: Incoming {
                announced: None,
                allowed: server.limits.body,
                held: 0,
                open: !ended,
                starved_since: None,
                early: Vec::new(),
            },
            out: Outgoing::default(),
            has_head: false,
            expects: false,
            record: None,
            runs: false,
            stage: Stage::Answering,
        }
    }

    /// Keeps what the request says that is wanted later.
    pub(super) fn note(
        &mut self,
        asked: &Asked<'_>,
        client: Option<SocketAddr>,
        started: Option<Instant>,
        handshake: bool,
    ) {
        self.incoming.announced = asked.length;
        self.expects = asked.head.expects_continue && self.incoming.open;
        self.record = self.server.note(&asked.head, client, started, handshake);
    }

    /// Whether a body of this length is allowed.
    pub(super) fn may_have(&self, length: Option<u64>) -> bool {
        length.is_none_or(|length| length <= self.incoming.allowed)
    }

    /// Whether an announced length can't be kept, as nothing follows.
    pub(super) fn is_short(&self) -> bool {
        !self.incoming.open && self.incoming.announced.is_some_and(|left| left > 0)
    }

    /// Moves what can be moved at once.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, protocol: &mut Protocol) -> Turn {
        let view = self.exchange.look(&mut self.out, Some(cx.waker()));
        if let Some(status) = view.status {
            self.server.log(&mut self.record, status);
        }
        if self.stage == Stage::Abandoned {
            let runs = self.runs && !view.finished;
            // A handshake that has been refused is nobody's business any more.
            if runs && !(self.conversation.is_some() && view.complete) {
                return Turn::Idle;
            }
            self.stage = Stage::Over;
            return Turn::Done;
        }
        self.send_continue(&view, protocol);
        if let Some(turn) = self.send_head(&view, protocol) {
            return turn;
        }
        let moved = match self.send_body(cx, &view, protocol) {
            Turn::Idle => false,
            Turn::Moved => true,
            over => return over,
        };
        if view.ending == Ending::Cut && !view.complete && self.out.is_empty() {
            protocol.reset(self.stream, Code::InternalError);
            self.abandon(protocol);
            return Turn::Moved;
        }
        self.receive(&view, protocol);
        if moved { Turn::Moved } else { Turn::Idle }
    }

    /// The stream is over; for the application its client is gone.
    pub(super) fn abandon(&mut self, protocol: &mut Protocol) {
        self.exchange.disconnect();
        if let Some(conversation) = &self.conversation {
            conversation.lost();
        }
        protocol.release_connection(std::mem::take(&mut self.incoming.held));
        self.incoming.open = false;
        self.incoming.starved_since = None;
        self.out = Outgoing::default();
        self.stage = Stage::Abandoned;
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The worker stops soon.
    pub(super) fn dismiss(&self) {
        match &self.conversation {
            Some(conversation) => conversation.dismiss(),
            None => self.exchange.dismiss(),
        }
    }

    /// RFC 9110 section 10.1.1: a client that waits is told when its body is wanted.
    fn send_continue(&mut self, view: &View, protocol: &mut Protocol) {
        if self.expects && (view.wants_continue || view.head_written) {
            self.expects = false;
            if !view.head_written {
                protocol.send_fields(self.stream, &fields::interim(), false);
            }
        }
    }

    fn send_head(&mut self, view: &View, protocol: &mut Protocol) -> Option<Turn> {
        if self.has_head || !view.head_written {
            return None;
        }
        let block = self.exchange.take_fields()?;
        self.has_head = true;
        if view.ending == Ending::Upgrade {
            protocol.send_fields(self.stream, &block, false);
            self.stage = Stage::Over;
            return Some(Turn::Upgraded);
        }
        let is_whole = view.complete && self.out.is_empty();
        protocol.send_fields(self.stream, &block, is_whole);
        is_whole.then(|| self.finish(protocol))
    }

    /// Sends one frame of what the client's windows take; more waits here, and `send()` with it.
    fn send_body(&mut self, cx: &mut Context<'_>, view: &View, protocol: &mut Protocol) -> Turn {
        let left = self.out.len();
        if !self.has_head || left == 0 && !view.complete {
            return Turn::Idle;
        }
        let room = protocol.room(self.stream);
        if left > 0 && room == 0 {
            self.exchange.set_taken(left);
            return Turn::Idle;
        }
        match self.out.poll_load(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                tracing::error!("Cannot send the rest of a file: {error}");
                protocol.reset(self.stream, Code::InternalError);
                self.abandon(protocol);
                return Turn::Moved;
            }
            Poll::Pending => return Turn::Idle,
        }
        let taken = self.out.peek().len().min(room);
        let last = view.complete && taken == self.out.len();
        if taken == 0 && !last {
            return Turn::Idle;
        }
        if taken >= SHARED_FROM {
            let piece = self.out.take(taken);
            protocol.send_shared(self.stream, piece, last);
        } else {
            protocol.send_data(self.stream, &self.out.peek()[..taken], last);
            self.out.advance(taken);
        }
        self.exchange.set_taken(self.out.len());
        if last {
            self.finish(protocol)
        } else {
            Turn::Moved
        }
    }

    /// The response has been sent as a whole.
    fn finish(&mut self, protocol: &mut Protocol) -> Turn {
        protocol.release_connection(std::mem::take(&mut self.incoming.held));
        protocol.finish(self.stream);
        self.stage = Stage::Over;
        Turn::Done
    }

    /// A piece of the request's body has come.
    pub(super) fn on_data(&mut self, data: &[u8], ended: bool, protocol: &mut Protocol) {
        let count = data.len() as u64;
        self.incoming.open &= !ended;
        self.incoming.starved_since = None;
        self.incoming.held += data.len();
        if let Some(left) = self.incoming.announced {
            let left = left.checked_sub(count);
            self.incoming.announced = left;
            if left.is_none() || self.is_short() {
                return self.break_off(protocol);
            }
        }
        if self.stage == Stage::Abandoned || self.exchange.is_gone() {
            let held = std::mem::take(&mut self.incoming.held);
            return protocol.release(self.stream, held);
        }
        let Some(allowed) = self.incoming.allowed.checked_sub(count) else {
            return self.exchange.refuse(413, "Content Too Large");
        };
        self.incoming.allowed = allowed;
        if self.conversation.is_some() {
            self.incoming.early.extend_from_slice(data);
        } else {
            self.exchange.arrive(data, ended);
        }
    }

    /// The request's body has ended with trailers, which ASGI has no message for.
    pub(super) fn on_trailers(&mut self, are_legal: bool, protocol: &mut Protocol) {
        self.incoming.open = false;
        if !are_legal || self.conversation.is_some() || self.is_short() {
            return self.break_off(protocol);
        }
        self.exchange.arrive(b"", true);
    }

    /// The request is not what it said to be (RFC 9113 section 8.1.1).
    fn break_off(&mut self, protocol: &mut Protocol) {
        protocol.reset(self.stream, Code::ProtocolError);
        self.abandon(protocol);
    }

    /// Lets the client send as much again as the application has taken.
    fn receive(&mut self, view: &View, protocol: &mut Protocol) {
        if self.conversation.is_none() {
            let taken = self.incoming.held.saturating_sub(view.unread);
            if taken > 0 {
                self.incoming.held -= taken;
                protocol.release(self.stream, taken);
            }
        }
        let waits = self.incoming.open && view.room > 0 && !self.expects && !view.complete;
        if !waits || self.server.limits.body_read.is_none() {
            self.incoming.starved_since = None;
        } else if self.incoming.starved_since.is_none() {
            self.incoming.starved_since = Some(Instant::now());
        }
    }

    /// When it is too late for the rest of the body.
    pub(super) fn due(&self, limit: Duration) -> Option<Instant> {
        self.incoming.starved_since.map(|since| since + limit)
    }

    /// The rest of the body has not come in time.
    pub(super) fn time_out(&mut self) {
        self.incoming.starved_since = None;
        self.exchange.refuse(408, "Request Timeout");
    }

    /// What a WebSocket needs that has been accepted. What came before counts as taken.
    pub(super) fn take_opening(&mut self, protocol: &mut Protocol) -> Accepted {
        protocol.release(self.stream, std::mem::take(&mut self.incoming.held));
        Accepted {
            stream: self.stream,
            conversation: self.conversation.take(),
            early: std::mem::take(&mut self.incoming.early),
            open: self.incoming.open,
        }
    }
}

impl<A: Application> Drop for Cycle<A> {
    fn drop(&mut self) {
        self.server.log_end(self.record.take(), &self.exchange);
        self.server.in_flight.set(self.server.in_flight.get() - 1);
        self.server.count();
    }
}
