//! A session of its own: a process that runs a job, and all that it starts. It is ended as a whole.
//!
//! Each has a *lifeline*, a pipe whose other end the supervisor holds and never writes to. The kernel
//! sends SIGKILL to the whole process group when that end is closed, in whatever way the supervisor
//! ends: `F_SETSIG` and `F_SETOWN` choose the signal and the group. `PR_SET_PDEATHSIG` alone would
//! leave behind what the process has started itself.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, getpid, getpriority_process, kill_process, kill_process_group,
    setpriority_process, setsid,
};

use super::process::tie_to;
use super::user::User;

/// Added to the supervisor's own score: when memory is short, a run goes first.
const OOM_SCORE: i32 = 500;
const HIGHEST_OOM_SCORE: i32 = 1_000;

const LOWEST_NICE: i32 = -20;
const HIGHEST_NICE: i32 = 19;

/// Chooses the signal of a descriptor (fcntl.h); libc has no name for it with the GNU library.
const F_SETSIG: libc::c_int = 10;

/// Both ends of a lifeline: the process's, and that which keeps it alive.
pub fn lifeline() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// In a process that was just made: begins a session, which ends with the lifeline.
pub fn begin(lifeline: BorrowedFd<'_>) -> io::Result<()> {
    setsid()?;
    let own = lifeline.as_raw_fd();
    let set = |command, argument: libc::c_int| {
        // SAFETY: these commands take an integer and change the descriptor only.
        match unsafe { libc::fcntl(own, command, argument) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // A negative number is a process group, here that of the new session.
    set(libc::F_SETOWN, -getpid().as_raw_nonzero().get())?;
    set(F_SETSIG, libc::SIGKILL)?;
    set(libc::F_SETFL, libc::O_ASYNC)
}

/// Starts a process in a session of its own, which writes to `output`, reads nothing, and inherits
/// `control` besides. It is `user`'s, if one is named.
pub fn start(
    mut command: Command,
    control: Option<OwnedFd>,
    lifeline: OwnedFd,
    output: OwnedFd,
    user: Option<User>,
) -> io::Result<Pid> {
    let parent = getpid();
    let passed = [
        Some(lifeline.as_raw_fd()),
        control.as_ref().map(AsRawFd::as_raw_fd),
    ];
    let in_child = move || {
        // Before the tie and the lifeline: a change of the user undoes the one, and the other is
        // signalled with the rights of its owner.
        if let Some(user) = &user {
            user.become_it()?;
        }
        tie_to(parent, Signal::KILL)?;
        for number in passed.into_iter().flatten() {
            // SAFETY: open in the parent until the child has called exec.
            fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, FdFlags::empty())?;
        }
        // SAFETY: as above.
        begin(unsafe { BorrowedFd::borrow_raw(passed[0].unwrap_or_default()) })
    };
    // SAFETY: between fork and exec it makes system calls and nothing that locks or allocates.
    unsafe { command.pre_exec(in_child) };
    command.stdin(Stdio::null());
    command.stdout(Stdio::from(output.try_clone()?));
    command.stderr(Stdio::from(output));
    let child = command.spawn()?;
    drop((control, lifeline));
    Ok(Pid::from_child(&child))
}

/// Makes a process, and what it will start, the first to be killed when memory is short, and nicer than this
/// process, whose own niceness it may have been started with. Refusals (a lower niceness, a container without
/// /proc) leave it as it is.
pub fn lower(process: Pid, nice: i32) {
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let own: i32 = own.trim().parse().unwrap_or(0);
    let score = (own + OOM_SCORE).min(HIGHEST_OOM_SCORE);
    let number = process.as_raw_nonzero();
    let _ = fs::write(format!("/proc/{number}/oom_score_adj"), score.to_string());
    if nice != 0
        && let Ok(own) = getpriority_process(None)
    {
        let _ = setpriority_process(Some(process), nicer(own, nice));
    }
}

/// A niceness above another, as far as the kernel has any.
fn nicer(own: i32, nice: i32) -> i32 {
    own.saturating_add(nice).clamp(LOWEST_NICE, HIGHEST_NICE)
}

/// Makes a session nicer than this process's. Where the kernel schedules sessions against each other
/// (autogroup), the niceness of a process counts within its session only. False where it should be tried
/// again: the process has not begun its session yet, or the kernel, which takes only so many of these from a
/// process that is not root's, has just taken one.
#[must_use]
pub fn lower_session(leader: Pid, nice: i32) -> bool {
    let number = leader.as_raw_nonzero().get();
    if session(number) != Some(number) {
        return false;
    }
    let Ok(own) = fs::read_to_string("/proc/self/autogroup") else {
        return true;
    };
    // "/autogroup-73 nice 0"
    let own = own.trim_end().rsplit(' ').next();
    let own: i32 = own.and_then(|own| own.parse().ok()).unwrap_or(0);
    let nice = nicer(own, nice);
    let written = fs::write(format!("/proc/{number}/autogroup"), nice.to_string());
    !written.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Sends a signal to all processes of a session.
pub fn signal(leader: Pid, signal: Signal) {
    // Those that have ended are no failure. The leader is named, too: one that was forked by a
    // template may not have begun its session yet.
    let _ = kill_process_group(leader, signal);
    for member in members(leader) {
        let _ = kill_process(member, signal);
    }
}

/// The live processes of a session; its leader need not be among them any more.
#[must_use]
pub fn members(leader: Pid) -> Vec<Pid> {
    let own = leader.as_raw_nonzero().get();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_member = |pid: &i32| *pid == own || session(*pid) == Some(own);
    pids.filter(is_member).filter_map(Pid::from_raw).collect()
}

/// The session of a process that is no zombie.
fn session(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have any character; state, parent, group and session follow its last bracket.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let is_zombie = fields.next()? == "Z";
    fields.nth(2)?.parse().ok().filter(|_| !is_zombie)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::process::{Ending, reap_one};
    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel has no notification of a session's processes"
    )]
    fn until<T>(mut seen: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(found) = seen() {
                return found;
            }
            assert!(Instant::now() < end, "it does not happen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_niceness_is_counted_from_this_processs_within_what_the_kernel_has() {
        assert_eq!(nicer(0, 5), 5);
        assert_eq!(nicer(10, 5), 15);
        assert_eq!(nicer(3, -5), -2);
        assert_eq!((nicer(15, 10), nicer(-15, -20)), (19, -20));
    }

    #[test]
    fn a_session_ends_with_its_lifeline_whatever_it_ignores() {
        let (theirs, ours) = lifeline().unwrap();
        let (_reader, output) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; sleep 60 & sleep 60 & wait"]);
        let leader = start(command, None, theirs, output, None).unwrap();
        until(|| (members(leader).len() == 3).then_some(()));
        signal(leader, Signal::TERM);
        drop(ours);
        assert_eq!(until(|| reap_one(leader)), Ending::Signal(libc::SIGKILL));
        until(|| members(leader).is_empty().then_some(()));
    }
}
