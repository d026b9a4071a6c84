//! A connection's stream as h2 wants it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::worker::server::stream::Stream;

thread_local! {
    /// What is decrypted on its way to h2, which reads into memory that is not initialised.
    static DECRYPTED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A stream that is shared with whoever closes it after h2 is done.
pub(super) struct Io {
    stream: Rc<RefCell<Stream>>,
    /// What had been read before it was known to be HTTP/2.
    early: Vec<u8>,
}

impl Io {
    pub(super) fn new(stream: Rc<RefCell<Stream>>, early: Vec<u8>) -> Self {
        Self { stream, early }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let count = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..count]);
            self.early.drain(..count);
            if self.early.is_empty() {
                self.early = Vec::new();
            }
            return Poll::Ready(Ok(()));
        }
        match &mut *self.stream.borrow_mut() {
            Stream::Plain(socket) => socket.poll_read_into(cx, buffer),
            Stream::Tls(stream) => DECRYPTED.with_borrow_mut(|decrypted| {
                decrypted.clear();
                ready!(stream.poll_read(cx, decrypted, buffer.remaining()))?;
                buffer.put_slice(decrypted);
                Poll::Ready(Ok(()))
            }),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream
            .borrow_mut()
            .poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream.borrow_mut().poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A write is ready when it has gone to the kernel.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.borrow_mut().poll_shutdown(cx)
    }
}
