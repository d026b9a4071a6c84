//! The sockets that connections come on.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use rustix::fs::sendfile;
use rustix::io::{ioctl_fionread, retry_on_intr};
use rustix::net::sockopt::socket_error;
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::peers::ServerAddress;

/// A connection's socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Takes over a connected socket from a descriptor. Called in the runtime's context.
    pub(super) fn adopt(socket: OwnedFd, server: &ServerAddress) -> io::Result<Self> {
        match server {
            ServerAddress::Tcp(_) => {
                let stream = std::net::TcpStream::from(socket);
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Self::Tcp)
            }
            ServerAddress::Unix(_) => {
                let stream = std::os::unix::net::UnixStream::from(socket);
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Self::Unix)
            }
        }
    }

    /// The bare descriptor; tokio forgets it.
    pub(super) fn release(self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(OwnedFd::from),
            Self::Unix(stream) => stream.into_std().map(OwnedFd::from),
        }
    }

    /// The same for a buffer of tokio's.
    pub(super) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }

    /// Reads into the spare capacity of `buffer`, at most `limit` bytes; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let mut target = buffer.limit(limit);
        match self {
            Self::Tcp(stream) => pin!(stream.read_buf(&mut target)).poll(cx),
            Self::Unix(stream) => pin!(stream.read_buf(&mut target)).poll(cx),
        }
    }

    /// How many bytes could be read at once, as far as the last read knows that there may be any.
    pub(super) fn poll_readable_bytes(&self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        ready!(self.poll_ready(cx, Interest::READABLE))?;
        Poll::Ready(Ok(ioctl_fionread(self)?))
    }

    /// Looks at what has arrived without taking it, once it is more than `known` bytes; 0 is the end.
    pub(super) fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        known: usize,
    ) -> Poll<io::Result<usize>> {
        let peek = || match self.receive(buffer, RecvFlags::PEEK)? {
            // Nothing new: tokio should wait for more.
            count if count > 0 && count <= known => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        };
        self.poll_io(cx, Interest::READABLE, peek)
    }

    /// Takes what [`Self::poll_peek`] has seen: all of `buffer`.
    pub(super) fn take(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.receive(buffer, RecvFlags::empty())? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
        let flags = flags | RecvFlags::DONTWAIT;
        let (count, _) = retry_on_intr(|| recv(self, &mut *buffer, flags))?;
        Ok(count)
    }

    /// Writes some of `slices`.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (self, slices) {
            // One piece is the common case, and write(2) costs less than writev(2).
            (Self::Tcp(stream), [one]) => Pin::new(stream).poll_write(cx, one),
            (Self::Tcp(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
            (Self::Unix(stream), _) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    /// Sends from a file, from `offset` on.
    pub(super) fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        (file, offset): (BorrowedFd<'_>, u64),
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let send = || {
            let mut offset = offset;
            Ok(retry_on_intr(|| {
                sendfile(self, file, Some(&mut offset), count)
            })?)
        };
        self.poll_io(cx, Interest::WRITABLE, send)
    }

    /// Calls `operation` each time the socket is ready for it, until it does not say that it would block.
    fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            ready!(self.poll_ready(cx, interest))?;
            let done = match self {
                Self::Tcp(stream) => stream.try_io(interest, &mut operation),
                Self::Unix(stream) => stream.try_io(interest, &mut operation),
            };
            match done {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        match (self, interest.is_readable()) {
            (Self::Tcp(stream), true) => stream.poll_read_ready(cx),
            (Self::Tcp(stream), false) => stream.poll_write_ready(cx),
            (Self::Unix(stream), true) => stream.poll_read_ready(cx),
            (Self::Unix(stream), false) => stream.poll_write_ready(cx),
        }
    }

    /// Writes what the socket takes at once.
    pub(super) fn try_write(&self, bytes: &[u8]) {
        // A peer that is gone, or does not read, does not miss it.
        let _ = match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        };
    }

    /// Whether the peer's system has refused what was written. Forgets it.
    pub(super) fn is_broken(&self) -> bool {
        !matches!(socket_error(self), Ok(Ok(())))
    }

    /// Ends the sending side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}
