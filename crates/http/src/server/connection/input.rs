//! The bytes that have been read from a connection and not been used.

use std::task::{Context, Poll};

use super::Connection;
use crate::server::application::Application;
use crate::server::buffers;

/// Pipelined requests are read ahead of their turn up to this many bytes.
pub(super) const READ_AHEAD: usize = 64 * 1024;

/// The bytes that have been read and not been used.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already used.
    used: usize,
    /// The peer has ended its side.
    pub(super) ended: bool,
}

impl Input {
    pub(super) fn unused(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == self.buffer.len()
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.used += n;
        if self.is_empty() {
            self.buffer.clear();
            self.used = 0;
        }
    }

    /// Moves what is unused to the front, so that all free capacity is behind it.
    fn compact(&mut self) {
        if self.used > 0 {
            self.buffer.drain(..self.used);
            self.used = 0;
        }
    }
}

impl From<Vec<u8>> for Input {
    fn from(buffer: Vec<u8>) -> Self {
        Self {
            buffer,
            ..Self::default()
        }
    }
}

impl<A: Application> Connection<'_, A> {
    /// Reads from the socket into the input, up to `limit` unused bytes; `Ready(0)` is the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<usize> {
        if self.input.ended {
            return Poll::Pending;
        }
        self.input.compact();
        if self.input.buffer.capacity() == 0 {
            self.input.buffer = self.server.buffers.take();
        }
        let room = limit.saturating_sub(self.input.buffer.len());
        if self.input.buffer.len() == self.input.buffer.capacity() {
            self.input.buffer.reserve(room.min(buffers::SIZE));
        }
        let polled = self.stream.poll_read(cx, &mut self.input.buffer, room);
        match polled {
            Poll::Ready(Ok(n @ 1..)) => return Poll::Ready(n),
            Poll::Ready(Ok(0) | Err(_)) => self.input.ended = true,
            Poll::Pending => {}
        }
        if polled.is_pending() || self.input.is_empty() {
            self.settle();
        }
        polled.map(|_| 0)
    }

    /// Holds no more of a read buffer than what is in it: others may have to wait for this
    /// connection, or this one for others.
    pub(super) fn settle(&mut self) {
        self.server.buffers.settle(&mut self.input.buffer);
    }
}
