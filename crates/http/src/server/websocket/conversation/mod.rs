//! One WebSocket, between its connection and the application.
//!
//! The rules of `exchange/mod.rs` for threads and wakers hold here, too: both halves run on the worker's
//! thread, Python may drop its half on any, the state is behind a mutex that is never contended and
//! never held while a waker is called.
//!
//! Until the handshake is answered there is an [`Exchange`] as for any request, which writes what is
//! no acceptance: a rejection, a response of the application's, a 500.

mod application;
mod connection;
mod state;
mod waiting;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::handshake::Handshake;
use super::inbound::Data;
use crate::asgi::websocket::{BadClose, Close, Refusal};
use crate::server::exchange::Exchange;
use state::State;

pub use application::Acceptance;
pub(super) use connection::View;
pub(super) use state::{Link, WRITE_HIGH_WATER};

/// The next message of `receive()`.
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

/// The parts that are needed until the handshake is answered.
#[derive(Debug)]
pub struct Opening {
    /// Writes the answer.
    pub exchange: Arc<Exchange>,
    /// The client's offer.
    pub handshake: Handshake,
}

/// One WebSocket.
#[derive(Debug)]
pub struct Conversation {
    /// The window of what is compressed, if anything is.
    deflate: Option<u8>,
    /// `receive()` has brought `websocket.disconnect`.
    told_end: AtomicBool,
    state: Mutex<State>,
}

impl Conversation {
    pub(in crate::server) fn new(opening: Opening) -> Self {
        Self {
            deflate: opening.handshake.deflate.map(|agreement| agreement.sent),
            told_end: AtomicBool::new(false),
            state: Mutex::new(State::new(opening)),
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
}
