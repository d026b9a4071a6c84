//! WebSockets: from a handshake to the close frames. Knows no Python, and HTTP only in `handshake`.
//!
//! A [`Session`] moves frames between a stream of bytes, whatever that is, and the
//! [`Conversation`], where it meets the application. What an idle WebSocket holds is in these two:
//! no read buffer, no write buffer, no compression state, no timer.

mod conversation;
mod deflate;
mod extension;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handshake;
mod inbound;
mod keepalive;
mod session;

pub(super) use conversation::Opening;
pub use conversation::{Acceptance, Conversation, Received, Refused};
pub(super) use deflate::rest;
pub(super) use handshake::{Asked, examine, examine_connect};
pub use inbound::Data;
pub(super) use session::Session;
