//! The stream that carries a WebSocket.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// A carrier of a WebSocket's frames: a socket, a TLS stream, a stream of HTTP/2.
pub(super) trait ByteStream {
    /// Reads into the spare capacity of `buffer`, at most `limit` bytes; 0 is the end.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
        limit: usize,
    ) -> Poll<io::Result<usize>>;

    /// Writes some of `slices`.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Ends the sending side.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}
