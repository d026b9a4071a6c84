//! The little that is said and heard on a connection that is held.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// Reads in one go, before others get their turn.
const TURN: usize = 64;

/// Reads and forgets what is there; whether the client has ended its side.
pub(crate) fn has_ended(socket: BorrowedFd<'_>) -> bool {
    let mut sink = [0; 4096];
    for _ in 0..TURN {
        match recv(socket, &mut sink[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return true,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return false,
            Err(_) => return true,
        }
    }
    // A client that goes on sending does not read.
    true
}

/// Sends a few bytes, which fit into any socket's buffer; whether they did.
pub(crate) fn tell(socket: BorrowedFd<'_>, text: &[u8]) -> bool {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    send(socket, text, flags).is_ok_and(|sent| sent == text.len())
}
