//! The door for the fuzz targets (`fuzz/`) to rooms that no other crate sees.

pub use super::files::fuzzing as files;
pub use super::hpack::fuzzing as hpack;
pub use super::http2::fuzzing as http2;
pub use super::proxy::fuzzing as proxy;
pub use super::websocket::fuzzing as websocket;
