//! The application's half: what it sends, what it receives, how it ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use super::super::deflate;
use super::super::frame::Opcode;
use super::super::handshake::{self, Handshake};
use super::{Conversation, Received, Refused};
use crate::asgi::websocket::{Close, Message, Refusal, Session, Step};
use crate::server::exchange::{Exchange, Finish, wake};
use crate::server::response::{BadField, Piece, ResponseHead};

/// A shorter message is sent as it is: alone in its window it hardly gets shorter.
const DEFLATE_FROM: usize = 128;

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
        let opening = state.opening.as_ref().ok_or(Refusal::Disconnected)?;
        let Handshake {
            proof,
            subprotocols,
            deflate,
        } = &opening.handshake;
        let agreement = deflate.map(|agreement| agreement.to_string());
        // Over HTTP/2 the stream is a WebSocket's from the beginning (RFC 8441 section 5).
        let status = if proof.is_some() { 101 } else { 200 };
        let mut head = ResponseHead::new(Vec::with_capacity(256), status);
        if subprotocol.is_some_and(|chosen| !subprotocols.iter().any(|name| name == chosen)) {
            return Err(Refused::Subprotocol);
        }
        for (name, value) in [
            ("upgrade", proof.as_ref().map(|_| "websocket")),
            ("connection", proof.as_ref().map(|_| "Upgrade")),
            ("sec-websocket-accept", proof.as_deref()),
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

    /// Takes `websocket.close` where the handshake is not answered: it is rejected, whatever code and
    /// reason the message has. Says whether that was so.
    #[must_use]
    pub fn reject(&self) -> bool {
        let mut state = self.lock();
        if { state.session }.take(Message::Close) != Ok(Step::Reject) {
            return false;
        }
        state.session = Session::Closed;
        let opening = state.opening.take();
        let receivers = state.end_with(Close::code(Close::ABNORMAL));
        drop(state);
        if let Some(opening) = opening {
            opening.exchange.refuse(403, "");
        }
        receivers.into_iter().for_each(Waker::wake);
        true
    }

    /// Takes `websocket.close` of an open WebSocket: a close frame.
    ///
    /// # Errors
    /// It is not legal now, or can't be sent.
    pub fn close(&self, code: i64, reason: String) -> Result<(), Refused> {
        let mut state = self.lock();
        let _ = { state.session }.take(Message::Close)?;
        let close = Close::checked(code, reason).map_err(Refused::Close)?;
        state.session = Session::Closed;
        let wakers = state.say_close(close);
        drop(state);
        wakers.wake();
        Ok(())
    }

    /// Ready when little enough is unsent for the next `send()`, or the client no longer reads it.
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

    /// Whether `receive()` has brought the end, and brings nothing else.
    #[must_use]
    pub fn has_told_end(&self) -> bool {
        self.told_end.load(Ordering::Relaxed)
    }

    /// The next message of `receive()`, if it is there.
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
            self.told_end.store(true, Ordering::Relaxed);
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
}
