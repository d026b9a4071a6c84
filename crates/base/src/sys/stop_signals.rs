//! SIGTERM and SIGINT as a readable descriptor, for a process whose application forks.
//!
//! Python's own handlers only take a note, which a child throws away when it starts: a signal sent
//! to a child right after `fork` would be lost, and `multiprocessing.Process.terminate` without
//! effect. This handler lets a child die of the signal, whenever it comes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// The process that asked, and where the handler tells it.
static OWNER: AtomicI32 = AtomicI32::new(0);
static EVENT: AtomicI32 = AtomicI32::new(-1);

/// Installs the handler; the descriptor becomes readable with the first signal. An application
/// that sets a handler of its own replaces this one.
pub fn install() -> io::Result<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    // The handler's own duplicate is never closed: a signal may come at any time.
    let told = event.try_clone()?;
    EVENT.store(told.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(told);
    // SAFETY: getpid has no preconditions.
    OWNER.store(unsafe { libc::getpid() }, Ordering::Relaxed);
    for number in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: all-zero is a valid sigaction: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: a valid action whose handler calls only async-signal-safe functions.
        if unsafe { libc::sigaction(number, &action, std::ptr::null_mut()) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(event)
}

/// As if SIGTERM had come.
pub fn raise() {
    // SAFETY: the handler is installed, or the default action ends the process, as asked.
    unsafe { libc::raise(libc::SIGTERM) };
}

extern "C" fn on_signal(number: libc::c_int) {
    // SAFETY: getpid, signal, raise and write are async-signal-safe (POSIX), and errno is put back.
    unsafe {
        let errno = *libc::__errno_location();
        if libc::getpid() == OWNER.load(Ordering::Relaxed) {
            let one = 1u64.to_ne_bytes();
            libc::write(
                EVENT.load(Ordering::Relaxed),
                one.as_ptr().cast(),
                one.len(),
            );
        } else {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        }
        *libc::__errno_location() = errno;
    }
}
