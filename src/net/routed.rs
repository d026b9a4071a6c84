//! The pair over which the router and one application pass connections to each other.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::SockRef;

use crate::control::{Moved, Received, RoutedEnd, socket_pair};

/// Connections on their way to an application, or back: the kernel takes what it may at most, of its usual
/// 208 KiB twice as much. That is some hundred connections, or a head of 64 KiB with a part of its body.
const BUFFER: usize = 212_992;

/// Both ends.
#[derive(Debug)]
pub(super) struct Pair {
    /// Workers have it as well, and take connections from it as from a listening socket.
    application: RoutedEnd,
    router: OwnedFd,
}

impl Pair {
    pub(super) fn new() -> io::Result<Self> {
        let (application, router) = socket_pair()?;
        for end in [&application, &router] {
            // Refused, less waits in it.
            let _ = SockRef::from(end).set_send_buffer_size(BUFFER);
        }
        Ok(Self {
            application: RoutedEnd::over(application),
            router,
        })
    }

    /// The same pair once more: what waits in it stays.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            application: RoutedEnd::over(self.application.as_fd().try_clone_to_owned()?),
            router: self.router.try_clone()?,
        })
    }

    pub(super) fn application(&self) -> BorrowedFd<'_> {
        self.application.as_fd()
    }

    pub(super) fn router(&self) -> &OwnedFd {
        &self.router
    }

    /// A connection that waits to be taken.
    pub(super) fn take(&self) -> io::Result<Option<(Moved, OwnedFd)>> {
        loop {
            match self.application.receive()? {
                Received::Message(moved, sockets) => {
                    // One that came without its descriptor has no memory to be received into.
                    if let Some(socket) = sockets.into_iter().next() {
                        return Ok(Some((moved, socket)));
                    }
                }
                Received::Nothing | Received::Closed => return Ok(None),
            }
        }
    }

    /// Sends a connection to the router.
    pub(super) fn give_back(&self, moved: &Moved, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.application.send(moved, &[socket])
    }
}
