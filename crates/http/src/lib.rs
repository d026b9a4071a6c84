//! The worker without its Python: the HTTP server, the ASGI protocols as values, and the seam.
//!
//! `server` knows no Python, `asgi` knows no tokio, and neither knows the bridge, which is a crate
//! of its own (`bridge/`) and implements [`server::application::Application`].
#![forbid(unsafe_code)]

pub mod alarm;
pub mod asgi;
pub mod interface;
pub mod own_body;
pub mod peers;
pub mod server;
pub mod tasks;
pub mod threads;
pub mod tls;
