//! Forking a process that becomes its parent's sibling: a template makes workers, and the
//! supervisor is their parent.
//!
//! A fork between the two ends at once, so that the new process is an orphan, and goes to the
//! nearest ancestor that takes orphans in (`PR_SET_CHILD_SUBREAPER`): the supervisor. To it the
//! worker is a child like any other: SIGCHLD, waitpid and a pid that no other process can get.
//! `CLONE_PARENT` would do it in one step, but behind the back of the C library, which would go on
//! with the old process's thread id.

use std::io::{self, Read, Write};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, set_child_subreaper,
    set_parent_process_death_signal, waitpid,
};

/// Which of the two processes this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that forked; the new one has this pid.
    Old(Pid),
    /// The new one.
    New,
}

/// From now on orphans of this process's descendants become its children.
pub fn take_orphans_in() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Forks a child, as `fork` does. The rule of [`sibling`] holds here, too.
pub fn child() -> io::Result<Side> {
    // SAFETY: as in `sibling`; the new process goes on with a whole copy of this one.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::New),
        pid => Pid::from_raw(pid)
            .map(Side::Old)
            .ok_or_else(|| io::Error::other("fork has returned no pid")),
    }
}

/// Forks a process whose parent is this one's parent, which takes orphans in. The kernel kills it
/// when that parent dies.
///
/// Only for a process with one thread: others would not exist in the new process, and what they
/// have locked would stay so.
pub fn sibling() -> io::Result<Side> {
    let parent = getppid();
    let (mut reader, mut writer) = io::pipe()?;
    // SAFETY: fork has no precondition. Should an application's import have started threads in spite of
    // the rule above, what they have locked stays locked in the new process, as after `os.fork`: it may
    // hang, which the time for a worker's start bounds, and nothing else. The process in between only
    // forks, writes and leaves.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            let between = getpid();
            // SAFETY: as above; the new process goes on with a whole copy of this one.
            let forked = unsafe { libc::fork() };
            if forked == 0 {
                drop(writer);
                return match settle(between, parent) {
                    Ok(()) => Ok(Side::New),
                    // The supervisor is gone: there is nothing to do here.
                    Err(_) => super::process::leave(0),
                };
            }
            let told = writer.write_all(&forked.to_ne_bytes());
            super::process::leave(i32::from(told.is_err()))
        }
        between => {
            drop(writer);
            let mut pid = [0; size_of::<libc::pid_t>()];
            let told = reader.read_exact(&mut pid);
            // Its end is certain, and its code tells nothing that the pipe has not told.
            let _ = waitpid(Pid::from_raw(between), WaitOptions::empty());
            told?;
            Pid::from_raw(libc::pid_t::from_ne_bytes(pid).max(0))
                .map(Side::Old)
                .ok_or_else(|| io::Error::other("the second fork failed"))
        }
    }
}

/// In the new process: waits until it has been taken in, which is a matter of microseconds.
fn settle(between: Pid, parent: Option<Pid>) -> io::Result<()> {
    while getppid() == Some(between) {
        std::thread::yield_now();
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == parent {
        Ok(())
    } else {
        Err(io::Error::other("the supervisor is gone"))
    }
}
