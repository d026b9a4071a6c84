//! The life of an accepted WebSocket: frames in, frames out, to the end of the connection.

use std::io::IoSlice;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::conversation::{Conversation, Link, View, WRITE_HIGH_WATER};
use super::frame::{self, Opcode, Violation};
use super::inbound::{Event, Inbound};
use super::keepalive::{Due, Keepalive};
use crate::asgi::websocket::Close;
use crate::server::buffers::{self, Buffers};
use crate::server::byte_stream::ByteStream;
use crate::server::connections::Guard;
use crate::server::response::{Outgoing, Piece};
use lowmem_base::config::WebSockets;
use lowmem_base::counters::{self, Held};

/// How long the client may take to answer our close frame; Uvicorn's figure.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long it may take while the server drains.
const LAST_CALL: Duration = Duration::from_secs(2);

/// How long the last bytes may take, and how long the connection is read from after them. Closing
/// a socket with unread data resets it, and the client may lose our close frame.
const LINGER: Duration = Duration::from_secs(2);

/// An accepted WebSocket and its connection.
pub(in crate::server) struct Session {
    stream: Box<dyn ByteStream>,
    guard: Guard,
    buffers: Rc<Buffers>,
    conversation: Arc<Conversation>,
    inbound: Inbound,
    /// Bytes that have been read and could not be used yet; empty while the connection is idle.
    input: Vec<u8>,
    /// Bytes of `input` already used.
    used: usize,
    out: Outgoing,
    keepalive: Option<Keepalive>,
    /// It is one of the open WebSockets.
    _held: Option<Held>,
    ending: Ending,
}

/// How the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Not yet.
    Not,
    /// The client's close frame is awaited until the deadline.
    Awaited,
    /// The last bytes are on their way, or have been written, and the client's end is awaited.
    Lingering { shut: bool },
}

/// Serves it until the connection has ended. A future by hand: one of an `async fn` would hold the
/// session twice, as what it was given and as what it works with.
impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ended = self.poll_end(cx);
        if ended.is_ready() {
            self.conversation.lost();
        }
        ended
    }
}

impl Session {
    /// `input` is what has been read behind the handshake.
    pub(in crate::server) fn new(
        stream: Box<dyn ByteStream>,
        guard: Guard,
        buffers: Rc<Buffers>,
        (conversation, settings): (Arc<Conversation>, &Rc<WebSockets>),
        input: Vec<u8>,
    ) -> Self {
        let now = Instant::now();
        // It was for the connection that this has been.
        guard.entry.take_call();
        let mut guard = guard;
        guard.becomes_session();
        let session = Self {
            stream,
            guard,
            buffers,
            inbound: Inbound::new(settings.max_size, conversation.deflates()),
            conversation,
            input,
            used: 0,
            out: Outgoing::default(),
            keepalive: Keepalive::new(Rc::clone(settings), now),
            _held: counters::mine().map(|page| Held::new(&page.now.websockets)),
            ending: Ending::Not,
        };
        session.wait_for_ping();
        session
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.guard.entry.set_waker(cx.waker());
        if self.guard.entry.is_cut() {
            return Poll::Ready(());
        }
        if self.guard.is_draining() || self.guard.entry.take_call().is_some() {
            self.conversation.restart();
        }
        let view = self.conversation.look(&mut self.out, cx.waker());
        if self.guard.entry.is_expired() && self.time_is_up(view).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let view = self.conversation.look(&mut self.out, cx.waker());
            self.follow(view.link);
            let Ok(wrote) = self.poll_write(cx) else {
                return Poll::Ready(());
            };
            let read = match self.ending {
                Ending::Lingering { .. } if self.out.is_empty() => return self.poll_linger(cx),
                Ending::Lingering { .. } => false,
                _ => match self.poll_input(cx, view) {
                    Ok(read) => read,
                    Err(Gone) => return Poll::Ready(()),
                },
            };
            if !wrote && !read {
                return Poll::Pending;
            }
        }
    }

    /// Keeps up with the closing handshake.
    fn follow(&mut self, link: Link) {
        let (ending, time) = match (link, self.ending) {
            (Link::Closing, Ending::Not) if self.guard.is_draining() => {
                (Ending::Awaited, LAST_CALL)
            }
            (Link::Closing, Ending::Not) => (Ending::Awaited, CLOSE_TIMEOUT),
            (Link::Closed, Ending::Not | Ending::Awaited) => {
                (Ending::Lingering { shut: false }, LINGER)
            }
            _ => return,
        };
        self.ending = ending;
        self.keepalive = None;
        let deadline = Instant::now() + time;
        self.guard.entry.set_deadline(Some(deadline));
    }

    fn wait_for_ping(&self) {
        let deadline = self.keepalive.as_ref().map(Keepalive::deadline);
        self.guard.entry.set_deadline(deadline);
    }

    /// The deadline has passed; ready if the connection ends here.
    fn time_is_up(&mut self, view: View) -> Poll<()> {
        let Some(keepalive) = &mut self.keepalive else {
            return Poll::Ready(());
        };
        let now = Instant::now();
        if keepalive.is_asked() && !(view.room && self.out.len() < WRITE_HIGH_WATER) {
            // The application does not read: a pong may have arrived unseen.
            keepalive.heard(now);
        }
        match keepalive.due(now) {
            Due::Nothing => {}
            Due::Ping(payload) => {
                let ping = frame::control(Opcode::Ping, &payload);
                self.out.put(Piece::Small(&ping));
            }
            Due::TimedOut => self.conversation.fail(Violation {
                code: Close::INTERNAL_ERROR,
                reason: "keepalive ping timeout",
            }),
        }
        self.wait_for_ping();
        Poll::Pending
    }

    /// Writes what there is; says whether anything was written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        if self.out.is_empty() {
            return Ok(false);
        }
        let mut slices = [IoSlice::new(&[]); 16];
        let count = self.out.slices(&mut slices);
        let written = match self.stream.poll_write(cx, &slices[..count]) {
            Poll::Ready(Ok(0) | Err(_)) => return Err(Gone),
            Poll::Ready(Ok(n)) => n,
            Poll::Pending => 0,
        };
        self.guard.entry.set_stalled(written == 0);
        self.out.advance(written);
        self.conversation.set_taken(self.out.len());
        if self.out.is_empty() {
            // An idle WebSocket holds no buffer.
            self.out = Outgoing::default();
        }
        Ok(written > 0)
    }

    /// Reads, and acts on what was read; says whether anything was.
    fn poll_input(&mut self, cx: &mut Context<'_>, view: View) -> Result<bool, Gone> {
        // Pings that are answered and never read must not gather either.
        if !view.room || self.out.len() >= WRITE_HIGH_WATER {
            return Ok(false);
        }
        if self.input.is_empty() && !self.poll_fill(cx)? {
            return Ok(false);
        }
        // All of it before anything is written: many small messages or pings are answered in one go.
        while self.used < self.input.len() {
            let goes_on = match self.inbound.advance(&self.input[self.used..]) {
                Ok((consumed, event)) => {
                    self.used += consumed;
                    event.is_none_or(|event| self.on_event(event))
                }
                Err(violation) => {
                    self.used = self.input.len();
                    self.conversation.fail(violation);
                    false
                }
            };
            if !goes_on || self.out.len() >= WRITE_HIGH_WATER {
                break;
            }
        }
        if self.used == self.input.len() {
            self.used = 0;
            self.buffers.give(std::mem::take(&mut self.input));
        }
        Ok(true)
    }

    /// Reads into the empty input; says whether anything came.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        let mut buffer = self.buffers.take();
        match self.stream.poll_read(cx, &mut buffer, buffers::SIZE) {
            Poll::Ready(Ok(0) | Err(_)) => Err(Gone),
            Poll::Ready(Ok(_)) => {
                self.input = buffer;
                let waits = |keepalive: &&mut Keepalive| keepalive.is_asked();
                if let Some(keepalive) = self.keepalive.as_mut().filter(waits) {
                    keepalive.heard(Instant::now());
                    self.wait_for_ping();
                }
                Ok(true)
            }
            Poll::Pending => {
                self.buffers.give(buffer);
                Ok(false)
            }
        }
    }

    /// Acts on what the client has said; says whether to listen on.
    fn on_event(&mut self, event: Event) -> bool {
        match event {
            Event::Message(data) => return self.conversation.arrived(data),
            // Nothing follows our close frame (section 5.5.1).
            Event::Ping(payload) if self.ending == Ending::Not => {
                let pong = frame::control(Opcode::Pong, &payload);
                self.out.put(Piece::Small(&pong));
            }
            Event::Ping(_) | Event::Pong(_) => {}
            Event::Close(close) => {
                // Nothing follows it (section 5.5.1).
                self.used = self.input.len();
                self.conversation.peer_closed(close);
                return false;
            }
        }
        true
    }

    /// Ends the sending side and reads until the client has seen it.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ending == (Ending::Lingering { shut: false }) {
            match self.stream.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.ending = Ending::Lingering { shut: true },
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        loop {
            match self.poll_fill(cx) {
                Ok(true) => self.buffers.give(std::mem::take(&mut self.input)),
                Ok(false) => return Poll::Pending,
                Err(Gone) => return Poll::Ready(()),
            }
        }
    }
}

/// The connection has ended.
struct Gone;
