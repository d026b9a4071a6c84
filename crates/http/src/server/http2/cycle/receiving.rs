//! The request's body: what has come of it goes to the application, what is taken is granted again.

use std::time::Instant;

use super::{Cycle, Stage};
use crate::server::application::Application;
use crate::server::body::BodyRefused;
use crate::server::exchange::View;
use crate::server::http2::protocol::{Code, Protocol};

/// The request's body.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Bytes that were announced and have not come.
    pub(super) announced: Option<u64>,
    /// Bytes that it may still have.
    pub(super) allowed: u64,
    /// Bytes that the client has not been granted again.
    pub(super) held: usize,
    /// More of the body is expected.
    pub(super) open: bool,
    /// Nothing has come since then, though it is waited for.
    pub(super) starved_since: Option<Instant>,
    /// Bytes that came before a WebSocket was accepted.
    pub(super) early: Vec<u8>,
}

impl<A: Application> Cycle<A> {
    /// A piece of the request's body has come.
    pub(in crate::server::http2) fn on_data(
        &mut self,
        data: &[u8],
        ended: bool,
        protocol: &mut Protocol,
    ) {
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
            return self.exchange.refuse_body(BodyRefused::TooLarge);
        };
        self.incoming.allowed = allowed;
        if self.conversation.is_some() {
            self.incoming.early.extend_from_slice(data);
        } else {
            self.exchange.arrive(data, ended);
        }
    }

    /// The request's body has ended with trailers, which ASGI has no message for.
    pub(in crate::server::http2) fn on_trailers(
        &mut self,
        are_legal: bool,
        protocol: &mut Protocol,
    ) {
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
    pub(super) fn receive(&mut self, view: &View, protocol: &mut Protocol) {
        if self.conversation.is_none() {
            let taken = self.incoming.held.saturating_sub(view.unread);
            if taken > 0 {
                self.incoming.held -= taken;
                protocol.release(self.stream, taken);
            }
        }
        let waits = self.incoming.open && view.room > 0 && !self.expects.waits() && !view.complete;
        self.note_response(view, waits);
        if !waits || self.server.limits.body_read.is_none() {
            self.incoming.starved_since = None;
        } else if self.incoming.starved_since.is_none() {
            self.incoming.starved_since = Some(Instant::now());
        }
    }

    /// The application has its time to begin the response, but for that in which the client is waited
    /// for.
    fn note_response(&mut self, view: &View, waits: bool) {
        let Some(limit) = self.server.limits.request else {
            return;
        };
        // The stream of a handshake stays open, and its application waits for nothing from the client.
        let waits = waits && self.conversation.is_none();
        if !self.runs || waits || view.head_written || view.complete {
            self.response_due = None;
        } else {
            self.response_due
                .get_or_insert_with(|| Instant::now() + limit);
        }
    }

    /// When it is too late for the rest of the body.
    pub(super) fn body_due(&self) -> Option<Instant> {
        let limit = self.server.limits.body_read?;
        Some(self.incoming.starved_since? + limit)
    }

    /// The rest of the body has not come in time.
    pub(super) fn refuse_body(&mut self) {
        self.incoming.starved_since = None;
        self.exchange.refuse_body(BodyRefused::TooSlow);
    }
}
