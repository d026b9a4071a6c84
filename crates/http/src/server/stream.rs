//! The byte streams that connections are served on.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use super::byte_stream::ByteStream;
use super::socket::Socket;
use super::tls::{Session, TlsStream};
use crate::peers::ServerAddress;

/// A connection's stream: a value, so that the serve path exists once.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    /// Boxed to keep the enum small.
    Tls(Box<TlsStream>),
}

impl Stream {
    /// Takes over a connected socket from a descriptor, with a session over it or none. Called in
    /// the runtime's context.
    pub(super) fn adopt(
        socket: OwnedFd,
        server: &ServerAddress,
        session: Option<Box<Session>>,
    ) -> io::Result<Self> {
        let socket = Socket::adopt(socket, server)?;
        Ok(match session {
            Some(session) => Self::Tls(Box::new(TlsStream::new(socket, *session))),
            None => Self::Plain(socket),
        })
    }

    /// The bare descriptor, which tokio forgets, and the session that goes over it.
    pub(super) fn release(self) -> io::Result<(OwnedFd, Option<Box<Session>>)> {
        match self {
            Self::Plain(socket) => Ok((socket.release()?, None)),
            Self::Tls(stream) => {
                let (socket, session) = stream.into_parts();
                Ok((socket.release()?, Some(Box::new(session))))
            }
        }
    }

    /// Whether the peer's system has refused what was written.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Plain(socket) => socket.is_broken(),
            Self::Tls(stream) => stream.socket().is_broken(),
        }
    }

    /// The session, if it is encrypted.
    pub(super) fn session(&self) -> Option<&Session> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(stream.session()),
        }
    }

    /// Reads into the spare capacity of `buffer`, at most `limit` bytes; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.poll_read(cx, buffer, limit),
            Self::Tls(stream) => stream.poll_read(cx, buffer, limit),
        }
    }

    /// Writes some of `slices`. The call after one that was not ready has to bring the same bytes.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => socket.poll_write(cx, slices),
            Self::Tls(stream) => stream.poll_write(cx, slices),
        }
    }

    /// Ends the sending side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => socket.poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }

    /// Tells an idle peer that the connection ends, where the end of the socket does not say it.
    pub(super) fn farewell(&mut self) {
        if let Self::Tls(stream) = self {
            stream.farewell();
        }
    }
}

impl ByteStream for Stream {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        Self::poll_read(self, cx, buffer, limit)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self, cx, slices)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self, cx)
    }
}
