//! What proxies in front of the server say of its clients: in header fields, or ahead of everything.
//!
//! Only peers that are trusted are listened to. Parsing is done on values and does no I/O.

mod fields;
mod forwarded;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub(super) mod protocol;
mod x_forwarded;

pub use fields::{Client, Forwarded, is_proxy_field};
pub(super) use fields::{Proxies, is_trusted};
