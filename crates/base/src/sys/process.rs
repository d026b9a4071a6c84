//! Starting, reaping and killing worker processes.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command};
use std::time::Duration;

use super::user::User;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, getppid, kill_process, pidfd_open,
    set_parent_process_death_signal, wait, waitpid,
};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Code(i32),
    /// A signal with this number killed it.
    Signal(i32),
    /// The kernel killed it, because there was no memory left within this limit, or at all.
    NoMemory(Option<u64>),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Ending::Code(code) => write!(f, "exited with code {code}"),
            Ending::Signal(number) => match signal_hook::low_level::signal_name(number) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {number}"),
            },
            Ending::NoMemory(limit) => {
                f.write_str("was killed by the kernel for want of memory (")?;
                match limit {
                    Some(limit) => write!(f, "limit {} MB", limit >> 20)?,
                    None => f.write_str("the machine's")?,
                }
                f.write_str("; see --max-rss)")
            }
        }
    }
}

/// Lets the kernel ask a child to stop (SIGTERM) when this process ends, however it ends.
pub fn end_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: between fork and exec it makes two system calls and nothing that locks or allocates.
    unsafe { command.pre_exec(move || tie_to(parent, Signal::TERM)) };
}

/// In a child: has the kernel send `signal` when its parent dies.
pub(super) fn tie_to(parent: Pid, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    // Had the parent died before the line above, no signal would come.
    if getppid() != Some(parent) {
        return Err(Errno::SRCH.into());
    }
    Ok(())
}

/// The children of a process, as far as the kernel tells (`CONFIG_PROC_CHILDREN`).
#[must_use]
pub fn children(pid: Pid) -> Vec<Pid> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let mut children = Vec::new();
    for task in tasks.into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let pids = text
            .split_ascii_whitespace()
            .filter_map(|pid| pid.parse().ok());
        children.extend(pids.filter_map(Pid::from_raw));
    }
    children
}

/// Asks a child that has not been collected to stop.
pub fn terminate(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // ESRCH cannot happen to an unreaped child, and there is nothing else to be done about it.
    let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
}

/// Starts a process that inherits `control` and that the kernel kills when this one dies.
///
/// It stays in this process group, so that a debugger in it can read the terminal.
pub fn start(mut command: Command, control: OwnedFd, user: Option<User>) -> io::Result<Pid> {
    let parent = getpid();
    let inherited = control.as_raw_fd();
    let in_child = move || {
        // Before the tie, which a change of the user undoes.
        if let Some(user) = &user {
            user.become_it()?;
        }
        tie_to(parent, Signal::KILL)?;
        // SAFETY: `control` is open in the parent until the child has called exec.
        let control = unsafe { BorrowedFd::borrow_raw(inherited) };
        fcntl_setfd(control, FdFlags::empty())?;
        Ok(())
    };
    // SAFETY: between fork and exec it makes a handful of system calls and nothing that locks or allocates.
    unsafe { command.pre_exec(in_child) };
    let child = command.spawn()?;
    drop(control);
    Ok(Pid::from_child(&child))
}

/// Has this thread, and the processes that it starts, receive all signals.
pub fn unblock_signals() -> io::Result<()> {
    // SAFETY: all-zero is a valid set, which the first call initialises; the second reads it, and stores none.
    let error = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut())
    };
    match error {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

/// Has `work` done by a copy of this process, which ends with it: what it allocates, decrypts or
/// maps leaves no trace here. Says what it returned.
///
/// Only for a process with one thread.
pub fn apart(work: impl FnOnce() -> String) -> io::Result<String> {
    let (mut reader, mut writer) = io::pipe()?;
    // SAFETY: fork has no precondition. With one thread no lock is held for ever in the copy, and the
    // copy leaves by `_exit`: nothing of what this process is in the middle of happens twice.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            drop(reader);
            let told =
                catch_unwind(AssertUnwindSafe(work)).map(|told| writer.write_all(told.as_bytes()));
            leave(i32::from(!matches!(told, Ok(Ok(())))))
        }
        pid => {
            drop(writer);
            let mut told = String::new();
            reader.read_to_string(&mut told)?;
            match waitpid(Pid::from_raw(pid), WaitOptions::empty())? {
                Some((_, status)) if status.exit_status() == Some(0) => Ok(told),
                _ => Err(io::Error::other(
                    "a process for it ended before it was done",
                )),
            }
        }
    }
}

/// Collects one ended child, its own or adopted (an init gets orphans), if there is one.
pub fn reap() -> Option<(Pid, Ending)> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => return Some((pid, Ending::Code(code))),
                (_, Some(signal)) => return Some((pid, Ending::Signal(signal))),
                // Stopped or continued: not an end.
                (None, None) => continue,
            },
            Err(Errno::INTR) => continue,
            // ECHILD: no children.
            Ok(None) | Err(_) => return None,
        }
    }
}

/// Collects this child if it has ended.
pub fn reap_one(child: Pid) -> Option<Ending> {
    let (_, status) = waitpid(Some(child), WaitOptions::NOHANG).ok()??;
    let code = status.exit_status().map(Ending::Code);
    code.or_else(|| status.terminating_signal().map(Ending::Signal))
}

/// The signal that has a worker write its stacks. Of the real-time ones, which applications seldom use;
/// not the first, which the C library and debuggers take.
#[must_use]
pub fn stacks_signal() -> i32 {
    libc::SIGRTMAX() - 3
}

/// Makes a child that has not been collected write the stacks of its threads.
pub fn ask_for_stacks(pid: Pid) {
    // SAFETY: no preconditions; the child is not reaped yet, so the pid is still its own.
    unsafe { libc::kill(pid.as_raw_nonzero().get(), stacks_signal()) };
}

/// Ends a child that does not end by itself. The child is not reaped yet, so the pid is still its own.
pub fn kill(pid: Pid) {
    // ESRCH cannot happen to an unreaped child, and there is nothing else to be done about it.
    let _ = kill_process(pid, Signal::KILL);
}

/// Waits until a child that has not been reaped ends, for a time at most; whether it has ended.
pub fn ends_within(child: &Child, time: Duration) -> bool {
    // A time too long for the kernel is as good as none.
    let time = Timespec::try_from(time).ok();
    match pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
        Ok(ended) => {
            let mut sources = [PollFd::new(&ended, PollFlags::IN)];
            poll(&mut sources, time.as_ref()).is_ok_and(|ready| ready > 0)
        }
        // A kernel without them: the time passes.
        Err(_) => {
            let _ = poll(&mut [], time.as_ref());
            false
        }
    }
}

/// The time of the processor that a process has used so far.
pub fn processor_time(pid: i32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command between the parentheses may itself hold spaces and parentheses.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let used = ticks()? + ticks()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_secs_f64(used as f64 / per_second as f64))
}

/// Ends this process at once: no destructors, no `atexit` of the C library.
pub fn leave(code: i32) -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::_exit(code) }
}
