//! SIGTERM and SIGINT as a readable descriptor, for a process whose application forks.
//!
//! Python's own handlers only take a note, which a child throws away when it starts: a signal sent
//! to a child right after `fork` would be lost, and `multiprocessing.Process.terminate` without
//! effect. This handler lets a child die of the signal, whenever it comes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// The process that asked, and where the handler tells it.
static OWNER: AtomicI32 = AtomicI32::new(0);
static EVENT: AtomicI32 = AtomicI32::new(-1);

/// The signals that stop a worker.
pub const NUMBERS: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// The signal that a stop stands for, by a person or by a program.
#[must_use]
pub fn number(interrupted: bool) -> i32 {
    if interrupted {
        libc::SIGINT
    } else {
        libc::SIGTERM
    }
}

/// The handlers that had displaced ours, in the order of [`NUMBERS`].
static DISPLACED: Mutex<[Option<libc::sigaction>; 2]> = Mutex::new([None; 2]);

/// Installs the handler; the descriptor becomes readable with the first signal. A handler that the
/// application sets replaces it until [`take_back`].
pub fn install() -> io::Result<OwnedFd> {
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    // The handler's own duplicate is never closed: a signal may come at any time.
    let told = event.try_clone()?;
    EVENT.store(told.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(told);
    // SAFETY: getpid has no preconditions.
    OWNER.store(unsafe { libc::getpid() }, Ordering::Relaxed);
    for number in NUMBERS {
        exchange(number, &own())?;
    }
    Ok(event)
}

/// Puts our handlers back where others have taken their places, which [`pass_on`] calls.
pub fn take_back() -> io::Result<()> {
    for (number, kept) in NUMBERS.into_iter().zip(&mut *displaced()) {
        let other = exchange(number, &own())?;
        if other.sa_sigaction != own().sa_sigaction {
            *kept = Some(other);
        }
    }
    Ok(())
}

/// Lets the handler that was displaced, or that is in our place now, handle the signal.
pub fn pass_on(number: i32) -> io::Result<()> {
    let at = NUMBERS.iter().position(|own| *own == number);
    let kept = at.and_then(|at| displaced()[at]);
    let before = match &kept {
        Some(other) => Some(exchange(number, other)?),
        None => None,
    };
    // SAFETY: a handler is installed that returns: Python's own, which takes a note.
    unsafe { libc::raise(number) };
    if let Some(before) = before {
        exchange(number, &before)?;
    }
    Ok(())
}

fn displaced() -> MutexGuard<'static, [Option<libc::sigaction>; 2]> {
    DISPLACED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own() -> libc::sigaction {
    // SAFETY: all-zero is a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    action
}

/// Sets a handler; returns the one that was there.
fn exchange(number: i32, action: &libc::sigaction) -> io::Result<libc::sigaction> {
    // SAFETY: all-zero is a valid sigaction, which the call overwrites.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a valid action whose handler calls only async-signal-safe functions, or one that the
    // kernel gave back.
    if unsafe { libc::sigaction(number, action, &mut before) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(before)
}

/// As if SIGTERM had come.
pub fn raise() {
    // SAFETY: the handler is installed, or the default action ends the process, as asked.
    unsafe { libc::raise(libc::SIGTERM) };
}

/// Makes the descriptor readable, as a signal does.
pub fn tell() {
    let one = 1u64.to_ne_bytes();
    // SAFETY: the descriptor is never closed, or is -1, which the call refuses; the bytes live.
    unsafe {
        libc::write(
            EVENT.load(Ordering::Relaxed),
            one.as_ptr().cast(),
            one.len(),
        );
    }
}

extern "C" fn on_signal(number: libc::c_int) {
    // SAFETY: getpid, signal, raise and write are async-signal-safe (POSIX), and errno is put back.
    unsafe {
        let errno = *libc::__errno_location();
        if libc::getpid() == OWNER.load(Ordering::Relaxed) {
            tell();
        } else {
            libc::signal(number, libc::SIG_DFL);
            libc::raise(number);
        }
        *libc::__errno_location() = errno;
    }
}
