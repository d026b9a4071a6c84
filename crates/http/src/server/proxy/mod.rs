//! The statements of proxies about clients: in header fields, or in a header ahead of everything.
//!
//! Only peers that are trusted are listened to. Parsing is done on values and does no I/O.

mod client;
mod fields;
mod forwarded;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub(super) mod protocol;
mod x_forwarded;

pub use client::{Client, Forwarded};
pub use fields::is_proxy_field;
pub(super) use fields::{Proxies, is_trusted};
