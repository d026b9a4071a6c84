//! The response: what the application has told, as the stream's frames.

use std::task::{Context, Poll};
use std::time::Instant;

use super::{Cycle, Stage, Turn};
use crate::server::application::Application;
use crate::server::exchange::{Ending, View};
use crate::server::http2::protocol::{Code, Protocol};

/// A piece this long is written from where it is; shorter ones are copied behind their frame's head.
const SHARED_FROM: usize = 4096;

impl<A: Application> Cycle<A> {
    /// Early hints, which may wait for room until the response is there.
    pub(super) fn send_interim(&mut self, view: &View, protocol: &mut Protocol) {
        if view.has_interim && !self.has_head && (view.head_written || !protocol.is_full()) {
            for block in self.exchange.take_interim() {
                protocol.send_fields(self.stream, &block, false);
            }
        }
    }

    pub(super) fn send_head(&mut self, view: &View, protocol: &mut Protocol) -> Option<Turn> {
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
        let is_whole = view.complete && self.out.is_empty() && !view.has_trailers;
        protocol.send_fields(self.stream, &block, is_whole);
        is_whole.then(|| self.finish(protocol))
    }

    /// Sends one frame of what the client's windows take; more waits here, and `send()` with it.
    pub(super) fn send_body(
        &mut self,
        cx: &mut Context<'_>,
        view: &View,
        protocol: &mut Protocol,
    ) -> Turn {
        let left = self.out.len();
        if !self.has_head || left == 0 && !view.complete {
            return Turn::Idle;
        }
        if left == 0 && view.has_trailers {
            protocol.send_fields(self.stream, &self.exchange.take_trailers(), true);
            return self.finish(protocol);
        }
        let room = protocol.room(self.stream);
        if left > 0 && room == 0 {
            self.exchange.set_unsent(&self.out);
            self.hold(protocol);
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
        let last = view.complete && !view.has_trailers && taken == self.out.len();
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
        self.held_since = None;
        self.exchange.set_unsent(&self.out);
        if last {
            self.finish(protocol)
        } else {
            Turn::Moved
        }
    }

    /// Nothing can be sent. Where that is the windows' doing, the client has its time to open them; a
    /// socket that takes nothing is the connection's matter.
    fn hold(&mut self, protocol: &Protocol) {
        if self.held_since.is_none() && !protocol.is_full() {
            self.held_since = Some(Instant::now());
        }
    }

    /// The response has been sent as a whole.
    fn finish(&mut self, protocol: &mut Protocol) -> Turn {
        protocol.release_connection(std::mem::take(&mut self.incoming.held));
        protocol.finish(self.stream);
        self.stage = Stage::Over;
        Turn::Done
    }
}
