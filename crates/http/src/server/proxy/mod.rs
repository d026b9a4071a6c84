//! What proxies in front of the server say of its clients: in header fields, or ahead of everything.
//!
//! Only peers that are trusted are listened to. Parsing is done on values and does no I/O, but for
//! `preamble`, which reads the PROXY protocol's header from a connection.

mod fields;
mod forwarded;
pub(super) mod preamble;
mod protocol;
mod x_forwarded;

pub(super) use fields::Proxies;
pub use fields::{Client, Forwarded, is_proxy_field};
