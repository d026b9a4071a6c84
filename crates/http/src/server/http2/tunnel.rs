//! A stream that carries a WebSocket (RFC 8441): between the connection, which reads and writes its
//! frames, and the session, which is a task of its own.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::protocol::{Code, Protocol};
use crate::server::byte_stream::ByteStream;

/// The number of bytes that the session may write ahead of the connection.
const AHEAD: usize = 16 * 1024;

/// The connection's end.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) stream: u32,
    pipe: Rc<RefCell<Pipe>>,
}

/// The session's end. When it is dropped, the stream ends.
#[derive(Debug)]
pub(super) struct TunnelEnd(Rc<RefCell<Pipe>>);

#[derive(Debug)]
struct Pipe {
    /// Bytes that have arrived and were not read.
    inbound: Vec<u8>,
    /// Bytes of it that are read already.
    read: usize,
    /// Bytes that were read and not granted again.
    taken: usize,
    /// Nothing more comes.
    ended: bool,
    /// There is no stream any more.
    gone: bool,
    /// Bytes that were written and not sent.
    outbound: Vec<u8>,
    sending: Sending,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// The connection's task.
    connection: Waker,
}

/// How far the sending side is from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    /// It ends with what is written.
    Ending,
    /// It has ended (END_STREAM).
    Ended,
    /// The session is over.
    Dropped,
}

/// Both ends of a new tunnel. `open`: the client may still send.
pub(super) fn new(stream: u32, open: bool, connection: &Waker) -> (Tunnel, TunnelEnd) {
    let pipe = Rc::new(RefCell::new(Pipe {
        inbound: Vec::new(),
        read: 0,
        taken: 0,
        ended: !open,
        gone: false,
        outbound: Vec::new(),
        sending: Sending::Open,
        reader: None,
        writer: None,
        connection: connection.clone(),
    }));
    let end = TunnelEnd(Rc::clone(&pipe));
    (Tunnel { stream, pipe }, end)
}

impl Tunnel {
    /// Bytes have come; with `ended` they are the last.
    pub(super) fn on_data(&self, data: &[u8], ended: bool) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.inbound.extend_from_slice(data);
        pipe.ended |= ended;
        let reader = pipe.reader.take();
        drop(pipe);
        wake(reader);
    }

    /// There is no stream any more.
    pub(super) fn on_reset(&self, protocol: &mut Protocol) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.gone = true;
        let unread = std::mem::take(&mut pipe.inbound).len() - std::mem::take(&mut pipe.read);
        protocol.release_connection(unread + std::mem::take(&mut pipe.taken));
        let wakers = [pipe.reader.take(), pipe.writer.take()];
        drop(pipe);
        wakers.into_iter().for_each(wake);
    }

    /// Moves what can be moved; says whether anything was, and nothing once the tunnel is over.
    pub(super) fn poll(&self, cx: &mut Context<'_>, protocol: &mut Protocol) -> Option<bool> {
        let mut pipe = self.pipe.borrow_mut();
        if !pipe.connection.will_wake(cx.waker()) {
            pipe.connection = cx.waker().clone();
        }
        if pipe.gone {
            return None;
        }
        let taken = std::mem::take(&mut pipe.taken);
        if taken > 0 {
            protocol.release(self.stream, taken);
        }
        let moved = pipe.send(self.stream, protocol);
        if pipe.sending != Sending::Dropped {
            let writer = pipe.writer.take_if(|_| moved);
            drop(pipe);
            wake(writer);
            return Some(moved);
        }
        pipe.gone = true;
        let unread = pipe.inbound.len() - pipe.read;
        protocol.release_connection(unread);
        // RFC 8441 section 5: as a TCP connection that is reset.
        protocol.reset(self.stream, Code::Cancel);
        None
    }

    /// Whether both sides have ended, so that there is nothing left of the stream.
    pub(super) fn is_over(&self) -> bool {
        let pipe = self.pipe.borrow();
        pipe.sending == Sending::Ended && pipe.ended
    }
}

impl Pipe {
    fn send(&mut self, stream: u32, protocol: &mut Protocol) -> bool {
        let count = self.outbound.len().min(protocol.room(stream));
        let is_last = self.sending == Sending::Ending && count == self.outbound.len();
        if count == 0 && !is_last {
            return false;
        }
        protocol.send_data(stream, &self.outbound[..count], is_last);
        self.outbound.drain(..count);
        if self.outbound.is_empty() {
            // An idle WebSocket holds no buffer.
            self.outbound = Vec::new();
        }
        if is_last {
            self.sending = Sending::Ended;
        }
        true
    }

    fn wake_connection(&self) {
        self.connection.wake_by_ref();
    }
}

impl ByteStream for TunnelEnd {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.borrow_mut();
        if pipe.gone {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let unread = &pipe.inbound[pipe.read..];
        let count = unread.len().min(limit);
        if count == 0 && !pipe.ended {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.extend_from_slice(&unread[..count]);
        pipe.read += count;
        pipe.taken += count;
        if pipe.read == pipe.inbound.len() {
            pipe.inbound = Vec::new();
            pipe.read = 0;
        }
        if count > 0 {
            pipe.wake_connection();
        }
        Poll::Ready(Ok(count))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.borrow_mut();
        if pipe.gone {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = AHEAD.saturating_sub(pipe.outbound.len());
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = pipe.outbound.len();
        for slice in slices {
            let left = room - (pipe.outbound.len() - before);
            let part = &slice[..slice.len().min(left)];
            pipe.outbound.extend_from_slice(part);
        }
        pipe.wake_connection();
        Poll::Ready(Ok(pipe.outbound.len() - before))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.borrow_mut();
        if pipe.sending == Sending::Open {
            pipe.sending = Sending::Ending;
            pipe.wake_connection();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for TunnelEnd {
    fn drop(&mut self) {
        let mut pipe = self.0.borrow_mut();
        let ends_well = matches!(pipe.sending, Sending::Ending | Sending::Ended) && pipe.ended;
        if !ends_well {
            pipe.sending = Sending::Dropped;
        }
        pipe.wake_connection();
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
