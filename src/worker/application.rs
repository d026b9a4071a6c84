//! The seam between the server and whoever runs applications.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::server::{Exchange, RequestHead};

/// Runs the application for requests that the server has read.
///
/// Everything here is called on the worker's one thread.
pub trait Application: 'static {
    /// What the application keeps for a connection between its requests.
    type Connection;

    /// Called before the first request of a connection.
    fn connect(&self, peers: &Peers) -> Self::Connection;

    /// Starts the application on a request. Whatever happens next, happens through `exchange`;
    /// the head is borrowed from the connection's read buffer and gone after the call.
    fn request(
        &self,
        connection: &Self::Connection,
        head: &RequestHead<'_>,
        exchange: Arc<Exchange>,
    );
}

/// Both ends of a connection, as ASGI's `client` and `server` tell them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peers {
    /// The peer, unless it came through a Unix socket.
    pub client: Option<SocketAddr>,
    /// The local end.
    pub server: ServerAddress,
}

/// The local end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerAddress {
    /// Address and port that the client connected to.
    Tcp(SocketAddr),
    /// Path of the Unix socket.
    Unix(String),
}
