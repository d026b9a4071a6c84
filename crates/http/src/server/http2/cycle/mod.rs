//! One request and its response, on one stream.

mod receiving;
mod sending;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::head::Framing;
use super::protocol::{Code, Protocol};
use crate::asgi::http::{Request, Version};
use crate::server::application::Application;
use crate::server::connections::{Call, Unanswered};
use crate::server::exchange::{Ending, Exchange, Unsent, fields};
use crate::server::expectation::Expectation;
use crate::server::head::RequestHead;
use crate::server::hpack::FieldList;
use crate::server::measured::Measured;
use crate::server::record::OwnedRecord;
use crate::server::response::Outgoing;
use crate::server::shared::Shared;
use crate::server::websocket::Conversation;
use receiving::Incoming;

/// Capacity that a response's head is written into before it is encoded.
const USUAL_HEAD: usize = 512;

/// A request while it is answered.
pub(super) struct Cycle<A: Application> {
    pub(super) stream: u32,
    server: Rc<Shared<A>>,
    pub(super) exchange: Arc<Exchange>,
    /// The WebSocket that the request opens.
    pub(super) conversation: Option<Arc<Conversation>>,
    incoming: Incoming,
    out: Outgoing,
    /// The response's head has been sent.
    has_head: bool,
    /// The client's windows take nothing of the response since then.
    held_since: Option<Instant>,
    /// The application has until then to begin the response.
    response_due: Option<Instant>,
    expects: Expectation,
    record: Option<Box<OwnedRecord>>,
    measured: Option<Measured>,
    /// An application has been called.
    pub(super) runs: bool,
    /// The request's fields, while it waits for others before its application is called.
    pub(super) waiting: Option<Box<FieldList>>,
    stage: Stage,
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
    /// Bytes that came before it was accepted.
    pub(super) early: Vec<u8>,
    /// More may come.
    pub(super) open: bool,
}

/// The result of driving a cycle once.
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
    pub(super) fn new(
        server: &Rc<Shared<A>>,
        (stream, ended): (u32, bool),
        (head_only, takes_trailers): (bool, bool),
        together: &Arc<Unsent>,
    ) -> Self {
        server.in_flight.set(server.in_flight.get() + 1);
        server.tell_in_flight();
        let request = Request {
            head: head_only,
            version: Version::Http2,
            trailers: takes_trailers,
            hints: true,
        };
        let defaults = Arc::clone(&server.defaults);
        let buffer = Vec::with_capacity(USUAL_HEAD);
        let exchange = Exchange::new(defaults, request, true, buffer);
        let exchange = Arc::new(exchange.among(together));
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
            held_since: None,
            response_due: None,
            expects: Expectation::new(false),
            record: None,
            measured: None,
            runs: false,
            waiting: None,
            stage: Stage::Answering,
        }
    }

    /// Keeps the parts of the request that are needed later.
    pub(super) fn note(
        &mut self,
        head: &RequestHead<'_>,
        framing: Framing<'_>,
        (client, started): (Option<SocketAddr>, Option<Instant>),
        handshake: bool,
    ) {
        self.incoming.announced = framing.length;
        self.expects = Expectation::new(head.expects_continue && self.incoming.open);
        self.measured = self.server.measured(head, started);
        self.record = self.server.access.note(head, client, started, handshake);
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
            if let Some(measured) = &mut self.measured {
                measured.set_status(status);
            }
            self.server.access.log(&mut self.record, status);
        }
        if self.stage == Stage::Abandoned {
            let runs = self.runs && !view.finished;
            // The application of a refused handshake is not waited for.
            if runs && !(self.conversation.is_some() && view.complete) {
                return Turn::Idle;
            }
            self.stage = Stage::Over;
            return Turn::Done;
        }
        if self.expects.is_due(&view) {
            protocol.send_fields(self.stream, &fields::interim(), false);
        }
        self.send_interim(&view, protocol);
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

    /// When the client is too late with the rest of the body, or with taking some of the response, or
    /// the application with beginning it.
    pub(super) fn due(&self) -> Option<Instant> {
        let dues = [self.body_due(), self.write_due(), self.response_due];
        dues.into_iter().flatten().min()
    }

    /// Gives up on what is due at `now`; says whether anything is.
    pub(super) fn time_out(&mut self, now: Instant, protocol: &mut Protocol) -> bool {
        if self.write_due().is_some_and(|due| due <= now) {
            protocol.reset(self.stream, Code::Cancel);
            self.abandon(protocol);
            return true;
        }
        if self.response_due.is_some_and(|due| due <= now) {
            self.response_due = None;
            let conversation = self.conversation.as_ref();
            return self.server.time_out(&self.exchange, conversation);
        }
        let is_late = self.body_due().is_some_and(|due| due <= now);
        if is_late {
            self.refuse_body();
        }
        is_late
    }

    fn write_due(&self) -> Option<Instant> {
        Some(self.held_since? + self.server.limits.write?)
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
        self.held_since = None;
        self.response_due = None;
        self.waiting = None;
        self.out = Outgoing::default();
        self.stage = Stage::Abandoned;
    }

    /// The client has reset the stream, or left.
    pub(super) fn leave(&mut self, protocol: &mut Protocol) {
        if self.stage == Stage::Answering && !self.has_head {
            self.server.access.log_left(self.record.take());
        }
        self.abandon(protocol);
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// The worker ends soon.
    pub(super) fn on_call(&self, call: Call) {
        match (&self.conversation, call) {
            (Some(conversation), Call::EndAll) => conversation.dismiss(),
            (Some(_), Call::Tell | Call::EndStreams(_)) => {}
            (None, Call::Tell) => {
                let request: Arc<dyn Unanswered> = Arc::<Exchange>::clone(&self.exchange);
                self.server.connections.tell_unfinished(&request);
            }
            (None, Call::EndStreams(from)) => self.exchange.dismiss_endless(from, Instant::now()),
            (None, Call::EndAll) => self.exchange.dismiss(),
        }
    }

    /// The parts that an accepted WebSocket needs. Bytes that came before count as taken.
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
        self.server
            .access
            .log_end(self.record.take(), &self.exchange);
        self.server.in_flight.set(self.server.in_flight.get() - 1);
        self.server.tell_in_flight();
        self.server.has_answered(self.measured.take());
        self.server.count();
    }
}
