//! Writing what waits to be written: bytes of the response, or of a file.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use super::Connection;
use crate::server::application::Application;
use crate::server::response::Outgoing;
use crate::server::socket::Socket;
use crate::server::stream::Stream;

impl<A: Application> Connection<'_, A> {
    /// Writes some of `out`; `Ready(false)` when the peer is gone.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Poll<bool> {
        if out.file().is_some() {
            if let Stream::Plain(socket) = &self.stream {
                return poll_send_file(cx, socket, out);
            }
            if let Err(error) = ready!(out.poll_load(cx)) {
                return Poll::Ready(unreadable(&error));
            }
        }
        let mut slices = [IoSlice::new(&[]); 16];
        let count = out.slices(&mut slices);
        match self.stream.poll_write(cx, &slices[..count]) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(n)) => {
                out.advance(n);
                Poll::Ready(true)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Sends some of the file whose turn it is; `Ready(false)` when the peer is gone.
fn poll_send_file(cx: &mut Context<'_>, socket: &Socket, out: &mut Outgoing) -> Poll<bool> {
    let Some(file) = out.file() else {
        return Poll::Ready(true);
    };
    let count = match ready!(file.poll_ready(cx)) {
        Ok(count) => usize::try_from(count).unwrap_or(usize::MAX),
        Err(error) => return Poll::Ready(unreadable(&error)),
    };
    match ready!(socket.poll_send_file(cx, file.place(), count)) {
        Ok(0) => Poll::Ready(unreadable(&io::ErrorKind::UnexpectedEof.into())),
        Err(_) => Poll::Ready(false),
        Ok(sent) => {
            file.advance(sent as u64);
            out.drop_sent_file();
            Poll::Ready(true)
        }
    }
}

/// The rest of a promised body can't be sent: the connection is cut, so that the client sees it.
fn unreadable(error: &io::Error) -> bool {
    tracing::error!("Cannot send the rest of a file: {error}");
    false
}
