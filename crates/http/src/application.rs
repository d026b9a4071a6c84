//! The seam between the server and whoever runs applications.

use std::any::Any;
use std::sync::Arc;

use tokio::io::ReadBuf;

use super::server::{Conversation, Exchange, RequestHead};

pub use lowmem_base::control::{Peers, ServerAddress};

/// Runs the application for requests that the server has read.
///
/// Everything here is called on the worker's one thread.
pub trait Application: 'static {
    /// What the application keeps for a connection between its requests.
    type Connection;

    /// Called before the first request of a connection, which is encrypted if `tls` is there.
    fn connect(&self, peers: &Peers, tls: Option<&TlsFacts>) -> Self::Connection;

    /// Starts the application on a request. Whatever happens next, happens through `exchange`;
    /// the head is borrowed from the connection's read buffer and gone after the call.
    fn request(
        &self,
        connection: &Self::Connection,
        head: &RequestHead<'_>,
        exchange: Arc<Exchange>,
    );

    /// Has `fill` fill `size` bytes of the application's own memory with a part of a request body,
    /// which `receive()` then brings as they are. `None` where there is no such memory: `fill` has
    /// not been called then.
    fn own_body(&self, size: usize, fill: &mut dyn FnMut(&mut ReadBuf<'_>)) -> Option<OwnBody> {
        let _ = (size, fill);
        None
    }

    /// Whether it can be asked for a WebSocket; what it can't be asked is served as plain HTTP.
    fn takes_websockets(&self) -> bool;

    /// Starts the application on a WebSocket whose handshake is still to be answered, through
    /// `conversation`; what holds for [`Self::request`] holds here.
    fn websocket(
        &self,
        connection: &Self::Connection,
        head: &RequestHead<'_>,
        conversation: Arc<Conversation>,
    );
}

/// Part of a request body in memory of the application's own.
#[derive(Debug)]
pub struct OwnBody {
    /// What the application knows it as.
    pub object: Box<dyn Any + Send>,
    /// How many bytes were filled.
    pub length: usize,
}

/// What is known of an encrypted connection, as ASGI's TLS extension tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// The certificate that the client was shown, in DER.
    pub certificate: Arc<[u8]>,
    /// The certificates that the client showed, its own first, in DER. They have been verified.
    pub client_chain: Vec<Vec<u8>>,
    /// The version's number on the wire (RFC 8446 section 4.2.1).
    pub version: Option<u16>,
    /// The cipher suite's number (RFC 8446 appendix B.4).
    pub cipher_suite: Option<u16>,
}
