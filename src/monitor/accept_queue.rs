//! How many connections wait to be accepted.

use std::os::fd::OwnedFd;

use crate::sys::listen_queue;

/// A TCP listener that is looked at: the status server's own descriptor of it.
#[derive(Debug)]
pub struct Watched {
    /// The application that accepts.
    pub app: String,
    /// `127.0.0.1:8000`
    pub place: String,
    /// The socket.
    pub socket: OwnedFd,
}

impl Watched {
    /// Connections that wait, and the most that may; of a Unix socket the kernel does not say.
    pub fn queue(&self) -> Option<(u32, u32)> {
        listen_queue::of(&self.socket)
    }
}
