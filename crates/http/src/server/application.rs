//! The seam between the server and the code that runs applications.

use std::sync::Arc;

use tokio::io::ReadBuf;

use super::exchange::Exchange;
use super::head::RequestHead;
use super::websocket::Conversation;
use crate::own_body::OwnBody;
use crate::peers::{Peers, TlsFacts};

/// Runs the application for requests that the server has read.
///
/// Everything here is called on the worker's one thread.
pub trait Application: 'static {
    /// The state that the application keeps for a connection between its requests.
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

    /// The time of a request is up, and it has been answered: what can be ended of the application's
    /// work on it should end.
    fn cancel(&self, exchange: &Exchange) {
        let _ = exchange;
    }

    /// The same of a WebSocket whose handshake the application has not answered.
    fn cancel_websocket(&self, conversation: &Conversation) {
        let _ = conversation;
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
