//! Reading the rest of a request's body while its application runs.

use std::task::{Context, Poll};

use super::Connection;
use super::input::READ_AHEAD;
use super::run::Run;
use crate::server::application::Application;
use crate::server::buffers;
use crate::server::exchange::READ_HIGH_WATER;

/// From so many bytes on, the rest of a body is read to where the application receives it from,
/// without passing the read buffer: a copy less, and a system call for 64 KiB instead of four.
const DIRECT_FROM: u64 = buffers::SIZE as u64;

impl<A: Application> Connection<'_, A> {
    /// Reads what may be read now: the rest of the body, or only whether the client is still there.
    /// Says whether anything changed.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>, run: &mut Run, room: usize) -> bool {
        if run.body.is_done() {
            return self.poll_client(cx, run);
        }
        if room == 0 || run.expects {
            // It is not the client that is waited for.
            self.not_due(run);
            return false;
        }
        if self.input.is_empty() && run.body.plain_bytes() >= DIRECT_FROM {
            return self.poll_direct(cx, run, room);
        }
        if self.input.is_empty() {
            match self.poll_fill(cx, READ_AHEAD) {
                // The request will never be whole.
                Poll::Ready(0) => {
                    run.gone = true;
                    return true;
                }
                Poll::Ready(_) => self.not_due(run),
                Poll::Pending => return self.is_too_slow(run),
            }
        }
        match run.exchange.arrived(&mut run.body, self.input.unused()) {
            Ok(consumed) => self.input.consume(consumed),
            Err(refused) => run.break_off(refused),
        }
        true
    }

    /// Reads ahead, which tells whether the client is still there.
    fn poll_client(&mut self, cx: &mut Context<'_>, run: &Run) -> bool {
        let full = self.input.unused().len() >= READ_AHEAD;
        if full || self.input.ended {
            return false;
        }
        match self.poll_fill(cx, READ_AHEAD) {
            Poll::Ready(0) => {
                run.half_close();
                true
            }
            Poll::Ready(_) => true,
            Poll::Pending => false,
        }
    }

    /// Reads the next of the body past the input.
    fn poll_direct(&mut self, cx: &mut Context<'_>, run: &mut Run, room: usize) -> bool {
        // Where some waits to be received, the next comes behind it.
        if room == READ_HIGH_WATER && self.fill_own(cx, run) {
            self.not_due(run);
            return true;
        }
        match self.poll_fill_body(cx, run) {
            Poll::Ready(n) => {
                self.not_due(run);
                run.gone = n == 0;
                true
            }
            Poll::Pending => self.is_too_slow(run),
        }
    }

    /// Reads the next of the body from the socket to the exchange; `Ready(0)` is the end.
    fn poll_fill_body(&mut self, cx: &mut Context<'_>, run: &mut Run) -> Poll<usize> {
        if self.input.ended {
            return Poll::Pending;
        }
        let stream = &mut self.stream;
        let polled = run.exchange.arrived_from(&mut run.body, |body, limit| {
            stream
                .poll_read(cx, body, limit)
                .map(Result::unwrap_or_default)
        });
        self.input.ended = polled == Poll::Ready(0);
        polled
    }
}
