//! The end of a connection: a refusal, the rest of an unread body, the last bytes.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use super::Connection;
use super::input::READ_AHEAD;
use crate::server::application::Application;
use crate::server::between_requests::LINGER;
use crate::server::body::BodyDecoder;
use crate::server::exchange::Ending;
use crate::server::head;
use crate::server::response::{self, Outgoing};

/// A request body that its application left unread is read to its end up to this many bytes, so
/// that the connection can be kept; nginx and Go read 64 and 256 KiB.
const MAX_DISCARDED: usize = 256 * 1024;

impl<A: Application> Connection<'_, A> {
    /// Answers a request that can't be read, and ends the connection.
    pub(super) async fn refuse(&mut self, refused: head::Refused) -> Ending {
        tracing::warn!("Invalid HTTP request received.");
        tracing::debug!("{}: {}", self.peers.client_name(), refused.reason());
        let (status, text) = (refused.status(), refused.text());
        let answer = response::plain(status, text, &self.server.defaults, false);
        let mut out = Outgoing::with_buffer(answer);
        self.entry.set_deadline(Some(Instant::now() + LINGER));
        poll_fn(|cx| {
            self.entry.set_waker(cx.waker());
            while !out.is_empty() {
                match self.poll_write(cx, &mut out) {
                    Poll::Ready(true) => {}
                    Poll::Ready(false) => return Poll::Ready(Ending::Cut),
                    Poll::Pending if self.entry.is_expired() => return Poll::Ready(Ending::Cut),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(Ending::Close)
        })
        .await
    }

    /// Reads an unread body to its end, if that is near, so that the connection can be kept.
    pub(super) async fn discard(&mut self, mut body: BodyDecoder) -> Ending {
        self.entry.set_deadline(Some(Instant::now() + LINGER));
        let mut left = MAX_DISCARDED;
        let mut sink = Vec::new();
        poll_fn(|cx| {
            self.entry.set_waker(cx.waker());
            loop {
                sink.clear();
                match body.decode(self.input.unused(), &mut sink, usize::MAX) {
                    Ok(consumed) => {
                        self.input.consume(consumed);
                        left = left.saturating_sub(consumed);
                    }
                    Err(_) => return Poll::Ready(Ending::Close),
                }
                if body.is_done() {
                    return Poll::Ready(Ending::KeepAlive);
                }
                if left == 0 || self.entry.is_expired() || self.entry.is_cut() {
                    return Poll::Ready(Ending::Close);
                }
                match self.poll_fill(cx, READ_AHEAD) {
                    Poll::Ready(0) => return Poll::Ready(Ending::Close),
                    Poll::Ready(_) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// Ends the sending side and reads until the client has seen it, within the time that closing may take.
    pub(super) async fn linger(&mut self) {
        self.entry
            .set_deadline(Some(Instant::now() + self.server.linger()));
        let mut shut = false;
        poll_fn(|cx| {
            self.entry.set_waker(cx.waker());
            if !shut {
                match self.stream.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            loop {
                self.input.consume(self.input.unused().len());
                if self.entry.is_expired() || self.entry.is_cut() {
                    return Poll::Ready(());
                }
                match self.poll_fill(cx, READ_AHEAD) {
                    Poll::Ready(0) => return Poll::Ready(()),
                    Poll::Ready(_) => {}
                    Poll::Pending if self.input.ended => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }
}
