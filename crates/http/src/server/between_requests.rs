//! A connection between two requests, and how long connections may take in ending: what the protocols
//! and the server know of each other's connections.

use std::time::{Duration, Instant};

use super::stream::Stream;
use crate::peers::Peers;

/// How long a connection that has not sent a whole head yet may still do so when the server drains.
pub(super) const LAST_CALL: Duration = Duration::from_millis(500);

/// How long a closed connection is read from after its last response. Closing a socket with unread
/// data resets it, and the client may lose the response (RFC 9112 section 9.6).
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// The same when the worker drains: a client that does not close its connection must not hold it up.
pub(super) const LAST_LINGER: Duration = Duration::from_millis(500);

/// The bytes of an incomplete head move with the connection up to this many; a connection with more is
/// served where it is.
pub(super) const MAX_INPUT: usize = 1024;

/// A connection between two requests: new, woken, or handed over.
pub(super) struct Resting {
    pub(super) stream: Stream,
    pub(super) peers: Peers,
    /// The bytes of the next head that have been read.
    pub(super) input: Vec<u8>,
    /// No request has been read yet.
    pub(super) fresh: bool,
    /// The router has decided that its next request is this application's.
    pub(super) decided: bool,
    /// When it will have been idle for too long, where that is known.
    pub(super) idle_until: Option<Instant>,
}

impl Resting {
    /// A new connection.
    pub(super) fn new(stream: Stream, peers: Peers) -> Self {
        Self {
            stream,
            peers,
            input: Vec::new(),
            fresh: true,
            decided: false,
            idle_until: None,
        }
    }
}
