//! Descriptors that another process opened for this one.

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::fcntl_getfd;

/// Takes over a descriptor whose number was passed on (argv, `--fd`). Call it once for a number.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: the borrow lives for one call, which answers EBADF when the number is not open.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) })?;
    // SAFETY: it is open, and the process that passed the number gave the descriptor to this one.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_number_is_refused() {
        assert!(adopt(-1).is_err());
        assert!(adopt(1_000_000).is_err());
    }
}
