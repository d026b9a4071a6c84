//! The HTTP server with an application in Rust: hyper as the client and second opinion over HTTP/1.1
//! and HTTP/2, sockets for what hyper will not say. No Python takes part.

#![allow(
    clippy::unwrap_used,
    reason = "a test says what it expects; its panic is the message"
)]

mod application;
mod bodies;
mod broken;
mod clients;
mod ending;
mod files;
mod http1;
mod http2;
mod identity;
mod limits;
mod logged;
mod proxied;
mod serving;
mod tls;
mod tunnel;
mod warming;
mod websocket;
