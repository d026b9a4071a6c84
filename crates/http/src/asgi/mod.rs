//! The ASGI protocols as values: no I/O, no runtime, no Python.

pub mod http;
pub mod lifespan;
pub mod websocket;
