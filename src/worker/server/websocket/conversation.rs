//! One WebSocket, between its connection and the application.
//!
//! What `exchange.rs` says of threads and wakers holds here, too: both halves run on the worker's
//! thread, Python may drop its half on any, the state is behind a mutex that is never contended and
//! never held while a waker is called.
//!
//! Until the handshake is answered there is an [`Exchange`] as for any request, which writes what is
//! no acceptance: a rejection, a response of the application's, a 500.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::deflate;
use super::frame::{self, Opcode, Violation};
use super::handshake::{self, Handshake};
use super::inbound::Data;
use crate::worker::asgi::websocket::{BadClose, Close, Message, Refusal, Session, Step};
use crate::worker::server::exchange::{Exchange, Finish, wake};
use crate::worker::server::response::{BadField, Outgoing, Piece, ResponseHead};

/// Bytes of messages that the application has not received, beyond which the connection stops
/// reading; the figure that HTTP has for bodies.
const READ_HIGH_WATER: usize = 64 * 1024;

/// So many messages are as good as that: each has a cost of its own. Uvicorn's `--ws-max-queue`.
const MAX_QUEUED: usize = 32;

/// Unsent bytes beyond which `send()` waits; asyncio's and Uvicorn's figure.
pub(super) const WRITE_HIGH_WATER: usize = 64 * 1024;

/// A shorter message is sent as it is: alone in its window it hardly gets shorter.
const DEFLATE_FROM: usize = 128;

/// What `receive()` brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// `websocket.connect`
    Connect,
    /// `websocket.receive`
    Message(Data),
    /// `websocket.disconnect`
    Disconnect(Close),
}

/// Why a message of the application is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not legal now.
    Message(Refusal),
    /// A close that can't be sent.
    Close(BadClose),
    /// A subprotocol that the client did not offer (RFC 6455 section 4.2.2).
    Subprotocol,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self::Message(refusal)
    }
}

/// What is needed until the handshake is answered.
#[derive(Debug)]
pub struct Opening {
    /// Writes the answer.
    pub exchange: Arc<Exchange>,
    /// What the client offers.
    pub handshake: Handshake,
}

/// One WebSocket.
#[derive(Debug)]
pub struct Conversation {
    /// The window of what is compressed, if anything is.
    deflate: Option<u8>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The WebSocket as its application knows it.
    session: Session,
    /// Until the handshake is answered.
    opening: Option<Box<Opening>>,
    /// `websocket.connect` was received.
    connected: bool,
    /// What of the closing handshake is done.
    link: Link,
    /// Messages that the application has not received, and their bytes.
    inbox: VecDeque<Data>,
    unread: usize,
    /// What `websocket.disconnect` will say.
    end: Option<Box<Close>>,
    /// Frames that the connection has not taken yet.
    out: Outgoing,
    /// Bytes that the connection has taken and not written.
    taken: usize,
    /// Wait for a message.
    receivers: Receivers,
    /// Wait until enough has been written.
    senders: Vec<Waker>,
    /// The connection's task.
    connection: Option<Waker>,
}

/// How far the closing handshake has come (RFC 6455 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Frames go both ways.
    Open,
    /// Our close frame is in the output; the client's is awaited.
    Closing,
    /// Nothing more will be said.
    Closed,
}

/// What the connection finds when it looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct View {
    pub(super) link: Link,
    /// There is room for another message.
    pub(super) room: bool,
}

/// The head of the answer that accepts a handshake, while the application's fields are added.
#[derive(Debug)]
pub struct Acceptance(ResponseHead);

impl Acceptance {
    /// Adds a field of the application's.
    ///
    /// # Errors
    /// It could not stand on the wire, or is the handshake's own.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadField> {
        if handshake::is_reserved(name) {
            return Err(BadField::Reserved);
        }
        self.0.field(name, value)
    }
}

impl Conversation {
    pub(in crate::worker::server) fn new(opening: Opening) -> Self {
        Self {
            deflate: opening.handshake.deflate.map(|agreement| agreement.sent),
            state: Mutex::new(State {
                session: Session::Connecting,
                opening: Some(Box::new(opening)),
                connected: false,
                link: Link::Open,
                inbox: VecDeque::new(),
                unread: 0,
                end: None,
                out: Outgoing::default(),
                taken: 0,
                receivers: Receivers::default(),
                senders: Vec::new(),
                connection: None,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere can't leave the state half-changed in a way that matters here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether permessage-deflate was agreed on.
    pub(super) fn deflates(&self) -> bool {
        self.deflate.is_some()
    }

    // ---- the application's half -------------------------------------------------------------

    /// The types of the messages that may be sent now.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        self.lock().session.expected()
    }

    /// The subprotocols that the client offers, in its order.
    #[must_use]
    pub fn subprotocols(&self) -> Vec<String> {
        let state = self.lock();
        let opening = state.opening.as_ref();
        opening.map_or_else(Vec::new, |opening| opening.handshake.subprotocols.clone())
    }

    /// Begins the answer to `websocket.accept`.
    ///
    /// # Errors
    /// It is not legal now, or the client does not speak `subprotocol`.
    pub fn acceptance(&self, subprotocol: Option<&str>) -> Result<Acceptance, Refused> {
        let state = self.lock();
        let _ = { state.session }.take(Message::Accept)?;
        let mut head = ResponseHead::new(Vec::with_capacity(256), 101);
        let opening = state.opening.as_ref().ok_or(Refusal::Disconnected)?;
        let Handshake {
            proof,
            subprotocols,
            deflate,
        } = &opening.handshake;
        let agreement = deflate.map(|agreement| agreement.to_string());
        if subprotocol.is_some_and(|chosen| !subprotocols.iter().any(|name| name == chosen)) {
            return Err(Refused::Subprotocol);
        }
        for (name, value) in [
            ("upgrade", Some("websocket")),
            ("connection", Some("Upgrade")),
            ("sec-websocket-accept", Some(proof.as_str())),
            ("sec-websocket-protocol", subprotocol),
            ("sec-websocket-extensions", agreement.as_deref()),
        ] {
            if let Some(value) = value {
                let legal = head.field(name.as_bytes(), value.as_bytes());
                debug_assert!(legal.is_ok());
            }
        }
        Ok(Acceptance(head))
    }

    /// Takes `websocket.accept`.
    ///
    /// # Errors
    /// It is not legal now.
    pub fn accept(&self, acceptance: Acceptance) -> Result<(), Refusal> {
        let mut state = self.lock();
        let _ = state.session.take(Message::Accept)?;
        let opening = state.opening.take();
        drop(state);
        if let Some(opening) = opening {
            opening.exchange.upgrade(acceptance.0);
        }
        Ok(())
    }

    /// Takes a message about the response of HTTP that denies the handshake; it goes to the
    /// exchange.
    ///
    /// # Errors
    /// It is not legal now.
    pub fn respond(&self, message: Message) -> Result<Arc<Exchange>, Refusal> {
        let mut state = self.lock();
        let _ = state.session.take(message)?;
        let opening = state.opening.as_ref().ok_or(Refusal::Disconnected)?;
        Ok(Arc::clone(&opening.exchange))
    }

    /// A piece of that response was sent; with the last one the WebSocket is closed.
    pub fn responded(&self, exchange: &Exchange) {
        if exchange.is_complete() {
            let receivers = self.lock().end_with(Close::code(Close::ABNORMAL));
            receivers.into_iter().for_each(Waker::wake);
        }
    }

    /// Takes `websocket.send`.
    ///
    /// # Errors
    /// It is not legal now.
    pub fn send(&self, text: bool, piece: Piece<'_>) -> Result<(), Refusal> {
        let mut state = self.lock();
        let _ = state.session.take(Message::Send)?;
        let opcode = if text { Opcode::Text } else { Opcode::Binary };
        let plain = match &piece {
            Piece::Small(bytes) => bytes,
            Piece::Shared(bytes) => &bytes[..],
        };
        let window = self.deflate.filter(|_| plain.len() >= DEFLATE_FROM);
        match window.and_then(|window| deflate::deflate(plain, window)) {
            Some(compressed) => state.put(opcode, true, Piece::Small(&compressed)),
            None => state.put(opcode, false, piece),
        }
        let connection = state.connection.take();
        drop(state);
        wake(connection);
        Ok(())
    }

    /// Takes `websocket.close`: a close frame, or before the handshake is answered its rejection.
    ///
    /// # Errors
    /// It is not legal now, or can't be sent.
    pub fn close(&self, code: i64, reason: String) -> Result<(), Refused> {
        let mut state = self.lock();
        let step = { state.session }.take(Message::Close)?;
        if step == Step::Reject {
            state.session = Session::Closed;
            let opening = state.opening.take();
            let receivers = state.end_with(Close::code(Close::ABNORMAL));
            drop(state);
            if let Some(opening) = opening {
                opening.exchange.refuse(403, "");
            }
            receivers.into_iter().for_each(Waker::wake);
            return Ok(());
        }
        let close = Close::checked(code, reason).map_err(Refused::Close)?;
        state.session = Session::Closed;
        let wakers = state.say_close(close);
        drop(state);
        wakers.wake();
        Ok(())
    }

    /// Ready when little enough is unsent for the next `send()`, or nobody reads it any more.
    pub fn poll_sent(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.lock();
        if state.has_room_to_send() {
            return Poll::Ready(());
        }
        state.senders.push(waker.clone());
        Poll::Pending
    }

    /// Whether [`Self::poll_sent`] would be ready.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lock().has_room_to_send()
    }

    /// What `receive()` brings, if it is there.
    pub fn poll_receive(&self, waker: Option<&Waker>) -> Poll<Received> {
        let mut state = self.lock();
        if !state.connected {
            state.connected = true;
            return Poll::Ready(Received::Connect);
        }
        let was_full = !state.has_room_to_read();
        if let Some(data) = state.inbox.pop_front() {
            state.unread -= data.len();
            let reads_on = was_full && state.has_room_to_read();
            let connection = if reads_on {
                state.connection.take()
            } else {
                None
            };
            drop(state);
            wake(connection);
            return Poll::Ready(Received::Message(data));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Received::Disconnect((**end).clone()));
        }
        if let Some(waker) = waker {
            let given_up = state.receivers.add(waker);
            drop(state);
            given_up.into_iter().for_each(Waker::wake);
        }
        Poll::Pending
    }

    /// The application has returned or raised. Says whether the handshake was answered.
    pub fn finish(&self, raised: bool) -> Finish {
        let mut state = self.lock();
        state.inbox = VecDeque::new();
        state.unread = 0;
        match state.session {
            Session::Connecting | Session::Denied => {
                state.session = Session::Disconnected;
                let opening = state.opening.take();
                drop(state);
                opening.map_or(Finish::Complete, |opening| opening.exchange.finish())
            }
            Session::Accepted => {
                state.session = Session::Closed;
                let code = if raised {
                    Close::INTERNAL_ERROR
                } else {
                    Close::NORMAL
                };
                let wakers = state.say_close(Close::code(code));
                drop(state);
                wakers.wake();
                Finish::Complete
            }
            Session::Closed | Session::Disconnected => {
                // The connection may wait for room to read on, or for an answer to a handshake
                // whose client is gone.
                let connection = state.connection.take();
                let opening = state.opening.take();
                drop(state);
                wake(connection);
                opening.map_or(Finish::Complete, |opening| opening.exchange.finish())
            }
        }
    }

    // ---- the connection's half --------------------------------------------------------------

    /// Moves what is to be written to `out` and says how things stand; wakes `waker` at the next
    /// change.
    pub(super) fn look(&self, out: &mut Outgoing, waker: &Waker) -> View {
        let mut state = self.lock();
        if !state.out.is_empty() {
            out.append(&mut state.out);
        }
        match &mut state.connection {
            Some(old) if old.will_wake(waker) => {}
            slot => *slot = Some(waker.clone()),
        }
        View {
            link: state.link,
            room: state.has_room_to_read(),
        }
    }

    /// So many bytes of what was taken are still to be written.
    pub(super) fn set_taken(&self, taken: usize) {
        let mut state = self.lock();
        state.taken = taken;
        if !state.has_room_to_send() {
            return;
        }
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.into_iter().for_each(Waker::wake);
    }

    /// A message has arrived; says whether there is room for another. One that comes after the
    /// application's close is dropped.
    pub(super) fn arrived(&self, data: Data) -> bool {
        let mut state = self.lock();
        if state.session != Session::Accepted {
            return true;
        }
        state.unread += data.len();
        state.inbox.push_back(data);
        let room = state.has_room_to_read();
        let receivers = std::mem::take(&mut state.receivers);
        drop(state);
        receivers.into_iter().for_each(Waker::wake);
        room
    }

    /// The client's close frame has arrived: it is answered with its own code, unless it is the
    /// answer to ours (RFC 6455 section 5.5.1).
    pub(super) fn peer_closed(&self, close: Close) {
        let mut state = self.lock();
        if state.link == Link::Open {
            state.out.put(Piece::Small(&frame::close(&close)));
        }
        let wakers = state.ended(close);
        drop(state);
        wakers.wake();
    }

    /// The client broke the protocol or a limit, or is silent: it is told, and not listened to.
    pub(super) fn fail(&self, violation: Violation) {
        let close = Close {
            code: violation.code,
            reason: violation.reason.to_owned(),
        };
        self.peer_closed(close);
    }

    /// The worker stops: the client is told to come back, and the application that it is gone.
    pub(super) fn restart(&self) {
        let mut state = self.lock();
        if state.session == Session::Accepted {
            state.session = Session::Disconnected;
            let wakers = state.say_close(Close::code(Close::RESTART));
            drop(state);
            wakers.wake();
        }
    }

    /// The connection is lost, or is about to be cut.
    pub(in crate::worker::server) fn lost(&self) {
        let mut state = self.lock();
        state.out = Outgoing::default();
        state.taken = 0;
        let wakers = state.ended(Close::code(Close::ABNORMAL));
        drop(state);
        wakers.wake();
    }

    /// The worker stops soon, and the handshake is not answered: the server answers it.
    pub(in crate::worker::server) fn dismiss(&self) {
        let mut state = self.lock();
        if state.session != Session::Connecting {
            return;
        }
        let opening = state.opening.take();
        let wakers = state.ended(Close::code(Close::RESTART));
        drop(state);
        if let Some(opening) = opening {
            opening.exchange.refuse(503, "Service Unavailable");
        }
        wakers.wake();
    }
}

/// Whoever waits for a message: one as a rule, and then nothing is allocated for it.
#[derive(Debug, Default)]
struct Receivers {
    last: Option<Waker>,
    others: Vec<Waker>,
}

/// An application that gives up on `receive()` again and again leaves wakers behind: beyond this
/// many all are woken, and those that still wait come back.
const MAX_RECEIVERS: usize = 16;

impl Receivers {
    /// Adds one; gives back those to be woken because there are too many.
    fn add(&mut self, waker: &Waker) -> Vec<Waker> {
        let given_up = if self.others.len() >= MAX_RECEIVERS {
            std::mem::take(&mut self.others)
        } else {
            Vec::new()
        };
        self.others.extend(self.last.replace(waker.clone()));
        given_up
    }
}

impl IntoIterator for Receivers {
    type Item = Waker;
    type IntoIter = std::iter::Chain<std::vec::IntoIter<Waker>, std::option::IntoIter<Waker>>;

    fn into_iter(self) -> Self::IntoIter {
        self.others.into_iter().chain(self.last)
    }
}

/// Whoever is to be woken once the state is let go.
#[must_use]
struct Wakers {
    receivers: Receivers,
    senders: Vec<Waker>,
    connection: Option<Waker>,
}

impl Wakers {
    fn wake(self) {
        wake(self.connection);
        self.receivers.into_iter().for_each(Waker::wake);
        self.senders.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn put(&mut self, opcode: Opcode, compressed: bool, piece: Piece<'_>) {
        let mut head = Vec::with_capacity(frame::MAX_HEAD);
        frame::write_head(&mut head, opcode, compressed, piece.len());
        self.out.put(Piece::Small(&head));
        self.out.put(piece);
    }

    /// Our close frame goes out, and the client's is awaited.
    fn say_close(&mut self, close: Close) -> Wakers {
        if self.link == Link::Open {
            self.link = Link::Closing;
            self.out.put(Piece::Small(&frame::close(&close)));
        }
        Wakers {
            receivers: self.end_with(close),
            senders: std::mem::take(&mut self.senders),
            connection: self.connection.take(),
        }
    }

    /// Nothing more will be said.
    fn ended(&mut self, close: Close) -> Wakers {
        self.link = Link::Closed;
        if self.session != Session::Closed {
            self.session = Session::Disconnected;
        }
        Wakers {
            receivers: self.end_with(close),
            senders: std::mem::take(&mut self.senders),
            connection: self.connection.take(),
        }
    }

    /// The first end is the one that the application is told. Gives back who waits for it.
    fn end_with(&mut self, close: Close) -> Receivers {
        self.end.get_or_insert_with(|| Box::new(close));
        std::mem::take(&mut self.receivers)
    }

    /// Whether another message may be read. After the close, all are, and dropped.
    fn has_room_to_read(&self) -> bool {
        self.session != Session::Accepted
            || self.unread < READ_HIGH_WATER && self.inbox.len() < MAX_QUEUED
    }

    /// Whether `send()` may go on: little is unsent, or nobody reads it any more.
    fn has_room_to_send(&self) -> bool {
        self.link != Link::Open || self.taken + self.out.len() <= WRITE_HIGH_WATER
    }
}
