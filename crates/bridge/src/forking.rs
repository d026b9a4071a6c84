//! Forking this process, for a template: the worker, call or run that is asked for continues in the new one.

use std::io;
use std::os::fd::BorrowedFd;

use pyo3::ffi;
use pyo3::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use lowmem_base::sys::fork::{self, Side};

/// Forks a child of this process.
///
/// # Errors
/// The operating system allows no further process.
pub fn child(py: Python<'_>) -> io::Result<Side> {
    forked(py, fork::child)
}

/// Forks a process that becomes a child of the supervisor, as this one is.
///
/// # Errors
/// The operating system allows no further process.
pub fn sibling(py: Python<'_>) -> io::Result<Side> {
    forked(py, fork::sibling)
}

/// Forks as `os.fork` does, except for whose child the process is.
fn forked(_: Python<'_>, fork: fn() -> io::Result<Side>) -> io::Result<Side> {
    // SAFETY: attached; each call is followed by exactly one of the two others, below.
    unsafe { ffi::PyOS_BeforeFork() };
    let side = fork();
    match &side {
        Ok(Side::New) => {
            // SAFETY: this is the only thread of a process that was just forked.
            unsafe { ffi::PyOS_AfterFork_Child() };
        }
        Ok(Side::Old(_)) | Err(_) => {
            // SAFETY: the process that forked, or tried to.
            unsafe { ffi::PyOS_AfterFork_Parent() };
        }
    }
    side
}

/// Whether the other end is closed: the request for a process has been given up.
pub fn has_hung_up(connection: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(connection, PollFlags::empty())];
    let now = Timespec::default();
    retry_on_intr(|| poll(&mut polled, Some(&now))).is_err()
        || polled[0].revents().contains(PollFlags::HUP)
}
