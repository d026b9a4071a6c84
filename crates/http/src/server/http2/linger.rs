//! How a connection ends.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use crate::server::application::Application;
use crate::server::buffers;
use crate::server::connections::Entry;
use crate::server::shared::Shared;
use crate::server::stream::Stream;

/// Ends the sending side, and reads until the client has seen it: closing a socket with unread data
/// resets it, and the client may lose what it has not read yet.
pub(super) async fn linger<A: Application>(server: &Shared<A>, entry: &Entry, mut stream: Stream) {
    entry.set_deadline(Some(Instant::now() + server.linger()));
    let mut buffer = server.buffers.take();
    let mut shut = false;
    poll_fn(|cx| {
        entry.set_waker(cx.waker());
        if !shut {
            match stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        loop {
            if entry.is_expired() || entry.is_cut() {
                return Poll::Ready(());
            }
            buffer.clear();
            match stream.poll_read(cx, &mut buffer, buffers::SIZE) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
    server.buffers.give(buffer);
}
