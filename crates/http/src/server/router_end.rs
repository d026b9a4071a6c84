//! How connections of places that several applications share come from the router, and go back.
//!
//! The router has one end of a socket pair, and all workers of the application have the other, like a
//! listening socket: what no worker has taken yet waits in the kernel, whichever of them ends meanwhile.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;

use lowmem_base::control::{Moved, Received, RoutedEnd};
use lowmem_base::sys::watch;

/// The application's end.
#[derive(Debug)]
pub struct RouterEnd {
    end: RoutedEnd,
    watched: AsyncFd<OwnedFd>,
}

impl RouterEnd {
    /// Called in the runtime's context.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(end: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            watched: watch::for_both(end.as_fd().try_clone_to_owned()?)?,
            end: RoutedEnd::over(end),
        })
    }

    /// The next connection.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Moved, OwnedFd)>> {
        loop {
            let mut ready = ready!(self.watched.poll_read_ready(cx))?;
            match self.end.receive()? {
                Received::Message(moved, sockets) => {
                    // One that came without its descriptor has no memory to be received into.
                    if let Some(socket) = sockets.into_iter().next() {
                        return Poll::Ready(Ok((moved, socket)));
                    }
                }
                Received::Nothing => ready.clear_ready(),
                // The supervisor has gone, and with it all that could come.
                Received::Closed => return Poll::Pending,
            }
        }
    }

    /// Sends a connection back if there is room for it.
    pub(super) fn try_send(&self, moved: &Moved, socket: &OwnedFd) -> io::Result<()> {
        self.end.send(moved, &[socket.as_fd()])
    }

    /// Sends a connection back, once there is room for it.
    pub(super) async fn send(&self, moved: &Moved, socket: &OwnedFd) -> io::Result<()> {
        loop {
            let mut ready = self.watched.writable().await?;
            match self.try_send(moved, socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                sent => return sent,
            }
        }
    }
}
