//! How a connection ends: its sending side first, and the rest when its client has seen that. Closing a socket
//! with unread data resets it, and the client may lose what it has not read yet (RFC 9112 section 9.6).

use std::task::{Context, Poll};

use super::buffers::{self, Buffers};
use super::byte_stream::ByteStream;
use super::connections::Entry;

/// A connection that has nothing more to say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lingering {
    /// The sending side has ended.
    shut: bool,
}

impl Lingering {
    /// Ready when the client has ended its side, too, or its time is up.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut dyn ByteStream,
        buffers: &Buffers,
        entry: &Entry,
    ) -> Poll<()> {
        if !self.shut {
            match stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        let mut buffer = buffers.take();
        let ended = loop {
            if entry.is_expired() || entry.is_cut() {
                break Poll::Ready(());
            }
            buffer.clear();
            match stream.poll_read(cx, &mut buffer, buffers::SIZE) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => break Poll::Ready(()),
                Poll::Pending => break Poll::Pending,
            }
        };
        buffers.give(buffer);
        ended
    }
}
