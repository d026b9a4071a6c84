//! Connections that move between processes: from a worker to its successor, or to the supervisor and
//! from there to the next worker.
//!
//! The socket pair between two processes carries the ends of further pairs, the *lanes*, which hold the
//! connections; `server/handover.rs` of the HTTP crate says why.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Channel;

/// Descriptors in one message of a lane, well below the kernel's 253; with what has been read of each,
/// a message stays below the socket's buffer.
pub const BATCH: usize = 32;

/// A connection on its way; its descriptor rides along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The addresses of its ends.
    pub peers: Peers,
    /// Its stage of life.
    pub stage: Stage,
    /// The bytes of the next request that have been read.
    #[serde(with = "text")]
    pub input: Vec<u8>,
    /// How long it may still be silent, where that is known.
    pub left: Option<Duration>,
    /// The router has decided whose the next request is.
    pub decided: bool,
}

/// Bytes as a text of characters with their numbers: a head takes little more than its own length.
mod text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        to.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = text.chars().map(u8::try_from).collect::<Result<_, _>>();
        bytes.map_err(D::Error::custom)
    }
}

/// A connection's stage of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It was accepted: what a proxy says of its client, if one does, has not been read either.
    Accepted,
    /// It has not sent a request yet.
    Fresh,
    /// It has been served, and is between two requests.
    Idle,
}

/// The receiving end of a lane rides along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane;

/// One end of the socket pair between the two processes.
pub type HandOver = Channel<Lane, Lane>;

/// One end of a lane.
pub type LaneEnd = Channel<Vec<Moved>, Vec<Moved>>;

/// One end of the socket pair between the router and an application: connections whose next request is
/// the application's go there, and come back when the one after that is another's.
pub type RoutedEnd = Channel<Moved, Moved>;

/// Both ends of a connection, as ASGI's `client` and `server` tell them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// The peer, unless it came through a Unix socket.
    pub client: Option<SocketAddr>,
    /// The local end.
    pub server: ServerAddress,
    /// It came through a place that several applications share.
    pub routed: bool,
}

impl Peers {
    /// The client's name in log lines.
    #[must_use]
    pub fn client_name(&self) -> String {
        self.client
            .map_or_else(|| "unix".to_owned(), |client| client.to_string())
    }
}

/// The local end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerAddress {
    /// Address and port that the client connected to.
    Tcp(SocketAddr),
    /// Path of the Unix socket.
    Unix(String),
}
