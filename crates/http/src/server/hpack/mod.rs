//! HPACK: field compression for HTTP/2 (RFC 7541). No I/O.

mod decode;
pub(super) mod encode;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod huffman;
mod list;
mod table;

pub(super) use decode::Decoder;
pub(super) use list::FieldList;

/// A block that does not say what its sender meant: COMPRESSION_ERROR (RFC 9113 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undecodable;
