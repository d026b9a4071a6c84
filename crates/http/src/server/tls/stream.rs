//! A socket and the session that goes over it.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use super::session::Session;
use super::{MAX_RECORD, MAX_SEALED, spare};
use crate::server::socket::Socket;

/// An encrypted connection.
#[derive(Debug)]
pub(in crate::server) struct TlsStream {
    socket: Socket,
    session: Session,
}

/// The result of a handshake.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) enum Shaken {
    Hands,
    /// The client has sent an HTTP request without TLS.
    PlainHttp,
}

impl TlsStream {
    pub(in crate::server) fn new(socket: Socket, session: Session) -> Self {
        Self { socket, session }
    }

    pub(in crate::server) fn session(&self) -> &Session {
        &self.session
    }

    pub(in crate::server) fn into_parts(self) -> (Socket, Session) {
        (self.socket, self.session)
    }

    /// Takes the handshake as far as it goes; what the client sent behind it goes to `early`.
    pub(in crate::server) fn poll_handshake(
        &mut self,
        cx: &mut Context<'_>,
        early: &mut Vec<u8>,
    ) -> Poll<io::Result<Shaken>> {
        loop {
            ready!(self.poll_flush(cx))?;
            if !self.session.is_handshaking() {
                return Poll::Ready(Ok(Shaken::Hands));
            }
            let is_first = self.session.is_untouched();
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            // A method; a TLS record of a handshake begins with 22.
            if is_first && self.session.incoming[0].is_ascii_uppercase() {
                return Poll::Ready(Ok(Shaken::PlainHttp));
            }
            if let Err(error) = self.session.open(early) {
                self.session.put_alert();
                let _ = self.poll_flush(cx);
                return Poll::Ready(Err(error));
            }
        }
    }

    pub(in crate::server) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Reads what is encrypted; `Ready(0)` is the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        spare::take(&mut self.session.incoming);
        let room = MAX_RECORD.saturating_sub(self.session.incoming.len());
        let received = self
            .socket
            .poll_read(cx, &mut self.session.incoming, room.max(1));
        if matches!(received, Poll::Ready(Ok(1..))) {
            self.session.touched = true;
        } else {
            spare::give(&mut self.session.incoming);
        }
        received
    }

    pub(in crate::server) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            if !self.session.surplus.is_empty() {
                let count = self.session.surplus.len().min(limit);
                buffer.extend(self.session.surplus.drain(..count));
                if self.session.surplus.is_empty() {
                    self.session.surplus = Vec::new();
                }
                return Poll::Ready(Ok(count));
            }
            if self.session.ended {
                return Poll::Ready(Ok(0));
            }
            if self.poll_flush(cx)?.is_pending()
                && self.session.outgoing.unwritten().len() > 2 * MAX_SEALED
            {
                // The protocol's own answers, such as key updates, wait for a peer that reads.
                return Poll::Pending;
            }
            if ready!(self.poll_receive(cx))? == 0 {
                self.session.ended = true;
                return Poll::Ready(Ok(0));
            }
            let before = buffer.len();
            if let Err(error) = self.session.open(buffer) {
                self.session.put_alert();
                let _ = self.poll_flush(cx);
                return Poll::Ready(Err(error));
            }
            let count = buffer.len() - before;
            if count > limit {
                self.session.surplus = buffer.split_off(before + limit);
            }
            if count > 0 {
                return Poll::Ready(Ok(count.min(limit)));
            }
        }
    }

    /// Encrypts and writes some of `slices`. What it could not write of that yet is finished by the
    /// next call, which must bring the same bytes.
    pub(in crate::server) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.session.sealed == 0 {
            self.session.sealed = self.session.seal(slices)?;
        }
        ready!(self.poll_flush(cx))?;
        Poll::Ready(Ok(std::mem::take(&mut self.session.sealed)))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut self.session.outgoing;
        while !outgoing.is_empty() {
            let slices = [IoSlice::new(&outgoing.buffer[outgoing.written..])];
            match ready!(self.socket.poll_write(cx, &slices))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => outgoing.written += count,
            }
        }
        outgoing.buffer.clear();
        outgoing.written = 0;
        spare::give(&mut outgoing.buffer);
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more comes, and ends the sending side.
    pub(in crate::server) fn poll_shutdown(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        // rustls makes a second one no longer than the first: there is none.
        self.session.put_close_notify();
        ready!(self.poll_flush(cx))?;
        self.socket.poll_shutdown(cx)
    }

    /// Says goodbye to an idle peer, as far as the socket takes it at once.
    pub(in crate::server) fn farewell(&mut self) {
        let words = self.session.farewell();
        self.socket.try_write(words);
    }
}
