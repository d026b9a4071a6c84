//! One stream: a request and its response.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::Response;

use super::SEND_BUFFER;
use crate::worker::application::Application;
use crate::worker::asgi::http::{Request, Version};
use crate::worker::server::connection::OwnedRecord;
use crate::worker::server::exchange::{Ending, Exchange, View};
use crate::worker::server::response::Outgoing;
use crate::worker::server::{BodyLength, RequestHead, Server};

/// A request while it is answered.
pub(super) struct Cycle<A: Application> {
    server: Rc<Server<A>>,
    pub(super) exchange: Arc<Exchange>,
    /// The request's body, while it arrives.
    body: Option<RecvStream>,
    /// Bytes that it may still have.
    allowed: u64,
    /// Nothing of it has come since then, though there is room.
    starved_since: Option<Instant>,
    respond: SendResponse<Bytes>,
    /// The response's body, once its head has been sent.
    send: Option<SendStream<Bytes>>,
    out: Outgoing,
    /// The client waits for `100 Continue`.
    expects: bool,
    record: Option<Box<OwnedRecord>>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Answering,
    /// The response has been given to h2 as a whole.
    Answered,
    /// There is no stream any more. It counts until its application has ended: a client that resets
    /// as fast as it asks would otherwise start any number of them.
    Abandoned,
}

impl<A: Application> Cycle<A> {
    /// What `body` and `respond` are the ends of. Counts as in flight until it is dropped.
    pub(super) fn new(
        server: &Rc<Server<A>>,
        exchange: Arc<Exchange>,
        body: RecvStream,
        respond: SendResponse<Bytes>,
    ) -> Self {
        server.in_flight.set(server.in_flight.get() + 1);
        let mut cycle = Self {
            server: Rc::clone(server),
            exchange,
            body: Some(body),
            allowed: server.limits.body,
            starved_since: None,
            respond,
            send: None,
            out: Outgoing::default(),
            expects: false,
            record: None,
            stage: Stage::Answering,
        };
        if cycle.body.as_ref().is_some_and(RecvStream::is_end_stream) {
            cycle.exchange.arrive(b"", true);
            cycle.body = None;
        }
        cycle
    }

    /// The exchange of a request.
    pub(super) fn exchange(server: &Server<A>, head_only: bool) -> Arc<Exchange> {
        let request = Request {
            head: head_only,
            version: Version::Http2,
        };
        let defaults = Arc::clone(&server.defaults);
        Arc::new(Exchange::new(defaults, request, true, Vec::new()))
    }

    /// Keeps what the head says that is wanted later.
    pub(super) fn note(
        &mut self,
        head: &RequestHead<'_>,
        client: Option<SocketAddr>,
        started: Option<Instant>,
    ) {
        self.expects = head.expects_continue && self.body.is_some();
        self.record = self.server.note(head, client, started, false);
    }

    /// Whether a body of an announced length is allowed.
    pub(super) fn may_have(&self, length: BodyLength) -> bool {
        matches!(length, BodyLength::Sized(length) if length <= self.allowed)
    }

    pub(super) fn starved_since(&self) -> Option<Instant> {
        self.starved_since
    }

    /// Moves what can be moved; ready when the stream is done with.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let view = self.exchange.look(&mut self.out, Some(cx.waker()));
            if let Some(status) = view.status {
                self.server.log(&mut self.record, status);
            }
            if self.stage == Stage::Abandoned {
                return if view.finished {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                };
            }
            if self.is_reset(cx) {
                self.abandon();
                continue;
            }
            let mut progress = self.send_continue(&view);
            progress |= self.send_head(&view);
            progress |= self.send_body(cx, &view);
            if self.stage == Stage::Answered {
                return Poll::Ready(());
            }
            if view.ending == Ending::Cut && !view.complete && self.out.is_empty() {
                self.respond.send_reset(Reason::INTERNAL_ERROR);
                self.abandon();
                continue;
            }
            progress |= !view.complete && self.receive(cx, view.room);
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// Whether the client has reset the stream, or is gone.
    fn is_reset(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.send {
            Some(send) => send.poll_reset(cx).is_ready(),
            None => self.respond.poll_reset(cx).is_ready(),
        }
    }

    /// The stream is over; for the application its client is gone.
    pub(super) fn abandon(&mut self) {
        self.exchange.disconnect();
        self.body = None;
        self.send = None;
        self.out = Outgoing::default();
        self.stage = Stage::Abandoned;
    }

    /// RFC 9110 section 10.1.1: a client that waits is told when its body is wanted.
    fn send_continue(&mut self, view: &View) -> bool {
        if !self.expects || !(view.wants_continue || view.head_written) {
            return false;
        }
        self.expects = false;
        if view.head_written {
            return true;
        }
        let mut interim = Response::new(());
        *interim.status_mut() = http::StatusCode::CONTINUE;
        // A stream that can't take it is found to be reset.
        let _ = self.respond.send_informational(interim);
        true
    }

    fn send_head(&mut self, view: &View) -> bool {
        let Some(fields) = self.exchange.take_fields() else {
            return false;
        };
        let is_whole = view.complete && self.out.is_empty();
        match self.respond.send_response(*fields, is_whole) {
            Ok(_) if is_whole => self.stage = Stage::Answered,
            Ok(send) => self.send = Some(send),
            Err(_) => self.abandon(),
        }
        true
    }

    /// Gives h2 what the client's windows take; more waits here, and `send()` with it.
    fn send_body(&mut self, cx: &mut Context<'_>, view: &View) -> bool {
        let mut progress = false;
        while let Some(send) = &mut self.send {
            let left = self.out.len();
            if left == 0 && !view.complete {
                break;
            }
            if left > 0 && send.capacity() == 0 {
                // More than h2 holds would not come, and a file may have more than it can count.
                send.reserve_capacity(left.min(SEND_BUFFER));
                if send.capacity() == 0 && send.poll_capacity(cx).is_pending() {
                    break;
                }
            }
            match self.out.poll_load(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    tracing::error!("Cannot send the rest of a file: {error}");
                    send.send_reset(Reason::INTERNAL_ERROR);
                    self.abandon();
                    return true;
                }
                Poll::Pending => break,
            }
            let piece = self.out.take(send.capacity());
            if left > 0 && piece.is_empty() {
                // A capacity that was announced and taken back: the stream is reset.
                break;
            }
            let last = view.complete && self.out.is_empty();
            if send.send_data(piece, last).is_err() {
                self.abandon();
            } else if last {
                self.send = None;
                self.stage = Stage::Answered;
            }
            progress = true;
        }
        if progress || !self.out.is_empty() {
            self.exchange.set_taken(self.out.len());
        }
        progress
    }

    /// Takes what has come of the request's body, while there is room. The client may send as much
    /// again as is taken here, and no more.
    fn receive(&mut self, cx: &mut Context<'_>, room: usize) -> bool {
        let Some(body) = &mut self.body else {
            return false;
        };
        let since = self.starved_since.take();
        if room == 0 || self.expects {
            return false;
        }
        match body.poll_data(cx) {
            Poll::Pending => {
                self.starved_since = Some(since.unwrap_or_else(Instant::now));
                return false;
            }
            Poll::Ready(Some(Ok(data))) if data.len() as u64 > self.allowed => {
                self.body = None;
                self.exchange.refuse(413, "Content Too Large");
            }
            Poll::Ready(Some(Ok(data))) => {
                self.allowed -= data.len() as u64;
                let is_last = body.is_end_stream();
                self.exchange.arrive(&data, is_last);
                // Fails where the stream is gone, which is found out next.
                let _ = body.flow_control().release_capacity(data.len());
                if is_last {
                    self.body = None;
                }
            }
            // Trailers, which ASGI has no message for, end a body, too.
            Poll::Ready(None) => {
                self.exchange.arrive(b"", true);
                self.body = None;
            }
            Poll::Ready(Some(Err(_))) => self.abandon(),
        }
        true
    }
}

impl<A: Application> Drop for Cycle<A> {
    fn drop(&mut self) {
        self.server.log_end(self.record.take(), &self.exchange);
        self.server.in_flight.set(self.server.in_flight.get() - 1);
        self.server.count();
    }
}
