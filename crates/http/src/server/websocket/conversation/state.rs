//! The state that both halves share.

use std::collections::VecDeque;
use std::task::Waker;

use super::super::frame::{self, Opcode};
use super::super::inbound::Data;
use super::Opening;
use super::waiting::{Receivers, Wakers};
use crate::asgi::websocket::{Close, Session};
use crate::server::response::{Outgoing, Piece};

/// Bytes of messages that the application has not received, beyond which the connection stops
/// reading; the figure that HTTP has for bodies.
const READ_HIGH_WATER: usize = 64 * 1024;

/// So many messages are as good as that: each has a cost of its own. Uvicorn's `--ws-max-queue`.
const MAX_QUEUED: usize = 32;

/// Unsent bytes beyond which `send()` waits; asyncio's and Uvicorn's figure.
pub(in crate::server::websocket) const WRITE_HIGH_WATER: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct State {
    /// The WebSocket as its application knows it.
    pub(super) session: Session,
    /// Until the handshake is answered.
    pub(super) opening: Option<Box<Opening>>,
    /// `websocket.connect` was received.
    pub(super) connected: bool,
    /// The progress of the closing handshake.
    pub(super) link: Link,
    /// Messages that the application has not received, and their bytes.
    pub(super) inbox: VecDeque<Data>,
    pub(super) unread: usize,
    /// The content of `websocket.disconnect`.
    pub(super) end: Option<Box<Close>>,
    /// Frames that the connection has not taken yet.
    pub(super) out: Outgoing,
    /// Bytes that the connection has taken and not written.
    pub(super) taken: usize,
    /// Wait for a message.
    pub(super) receivers: Receivers,
    /// Wait until enough has been written.
    pub(super) senders: Vec<Waker>,
    /// The connection's task.
    pub(super) connection: Option<Waker>,
}

/// How far the closing handshake has come (RFC 6455 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server::websocket) enum Link {
    /// Frames go both ways.
    Open,
    /// Our close frame is in the output; the client's is awaited.
    Closing,
    /// Nothing more will be said.
    Closed,
}

impl State {
    pub(super) fn new(opening: Opening) -> Self {
        Self {
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
        }
    }

    pub(super) fn put(&mut self, opcode: Opcode, compressed: bool, piece: Piece<'_>) {
        let mut head = Vec::with_capacity(frame::MAX_HEAD);
        frame::write_head(&mut head, opcode, compressed, piece.len());
        self.out.put(Piece::Small(&head));
        self.out.put(piece);
    }

    /// Our close frame goes out, and the client's is awaited.
    pub(super) fn say_close(&mut self, close: Close) -> Wakers {
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
    pub(super) fn ended(&mut self, close: Close) -> Wakers {
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

    /// Sets the end, unless there is one: the application gets the first. Returns the tasks to wake.
    pub(super) fn end_with(&mut self, close: Close) -> Receivers {
        self.end.get_or_insert_with(|| Box::new(close));
        std::mem::take(&mut self.receivers)
    }

    /// Whether another message may be read. After the close, all are, and dropped.
    pub(super) fn has_room_to_read(&self) -> bool {
        self.session != Session::Accepted
            || self.unread < READ_HIGH_WATER && self.inbox.len() < MAX_QUEUED
    }

    /// Whether `send()` may go on: little is unsent, or the client no longer reads it.
    pub(super) fn has_room_to_send(&self) -> bool {
        self.link != Link::Open || self.taken + self.out.len() <= WRITE_HIGH_WATER
    }
}
