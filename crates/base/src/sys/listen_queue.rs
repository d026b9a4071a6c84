//! The queue of a listening TCP socket.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

/// Connections that wait to be accepted, and the most that may; `None` where the kernel does not say.
#[must_use]
pub fn of(listener: impl AsFd) -> Option<(u32, u32)> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the buffer is as long as the length says, and a `tcp_info` of zeroes is valid, so that
    // whatever part of it the kernel writes it is initialised.
    let (failed, info) = unsafe {
        let failed = libc::getsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        );
        (failed, info.assume_init())
    };
    /// `TCP_LISTEN`
    const LISTENS: u8 = 10;
    // tcp_get_info: of a listener these two are the queue's length and its limit.
    let queue = (info.tcpi_unacked, info.tcpi_sacked);
    (failed == 0 && info.tcpi_state == LISTENS).then_some(queue)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_that_is_not_accepted_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        if let Some((waiting, most)) = of(&listener) {
            assert!(waiting == 1 && most >= 1, "{waiting} of {most}");
        }
        assert_eq!(of(&connected), None);
    }
}
