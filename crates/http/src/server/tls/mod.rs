//! TLS over a byte stream, by rustls (RFC 8446, RFC 5246).
//!
//! rustls only turns bytes into bytes here (its unbuffered interface), so that a connection that
//! waits holds what a session cannot do without, and no buffer: what arrives is read into one that
//! all connections of the thread share, and only what is left of an incomplete record is kept.

mod outgoing;
mod session;
mod spare;
mod stream;

use std::time::Duration;

use crate::tls::Identity;

pub(super) use session::Session;
pub(super) use stream::{Shaken, TlsStream};

/// The largest record (RFC 5246 section 6.2.3 allows it 2 KiB more than RFC 8446 does).
const MAX_RECORD: usize = 16 * 1024 + 2048 + 5;

/// Plain bytes in one record.
const FRAGMENT: usize = 16 * 1024;

/// Plain bytes that are encrypted at once: four records in one system call.
const MAX_SEALED: usize = 4 * FRAGMENT;

/// The configuration that encrypted connections are made with.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) identity: Identity,
    /// How long a handshake may take.
    pub(super) timeout: Duration,
}
