//! How long a thread computes at a time before the kernel lets another have the processor: short turns come sooner, too.
//!
//! Linux 6.12 and later let a thread of the usual policy choose (EEVDF, `sched_runtime` of `sched_setattr(2)`): one that wakes
//! up takes the processor from another whose turn is longer. Its share of the processor stays what it was.

use std::fs;
use std::io;
use std::mem::size_of;

/// The shortest turn that the kernel grants, in nanoseconds. Without a choice it is some 3 ms.
const SHORTEST: u64 = 100_000;

/// Threads and processes that a thread starts have the usual turns (`SCHED_FLAG_RESET_ON_FORK`).
const NOT_INHERITED: u64 = 1;

/// `struct sched_attr` in its first version (`sched_setattr(2)`).
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Has the threads that this process has now compute for 0.1 ms at a time. Those with a policy of their own are left alone;
/// an older kernel ignores it.
///
/// # Errors
/// /proc is missing, or a filter of system calls refuses it.
pub fn shorten() -> io::Result<()> {
    for thread in fs::read_dir("/proc/self/task")? {
        let Ok(thread) = thread?.file_name().to_string_lossy().parse() else {
            continue;
        };
        match shorten_thread(thread) {
            // It has ended meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            done => done?,
        }
    }
    Ok(())
}

fn shorten_thread(thread: libc::pid_t) -> io::Result<()> {
    let mut attributes = of(thread)?;
    if attributes.policy != libc::SCHED_OTHER.cast_unsigned() {
        return Ok(());
    }
    attributes.runtime = SHORTEST;
    attributes.flags |= NOT_INHERITED;
    // SAFETY: the kernel reads as many bytes as `size` says, which is the whole of the structure.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attributes, 0) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn of(thread: libc::pid_t) -> io::Result<Attributes> {
    #[expect(clippy::cast_possible_truncation, reason = "48 bytes")]
    let size = size_of::<Attributes>() as u32;
    let mut found = Attributes::default();
    // SAFETY: the kernel writes `size` bytes at most, which is the whole of the structure.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, thread, &raw mut found, size, 0) };
    if done == 0 {
        Ok(found)
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn threads_of_now_have_short_turns_and_those_that_they_start_the_usual_ones() {
        thread::spawn(|| {
            let before = of(0).expect("sched_getattr");
            shorten_thread(0).expect("sched_setattr");
            let after = of(0).expect("sched_getattr");
            assert_eq!(after.nice, before.nice);
            let started = thread::spawn(|| of(0).expect("sched_getattr"));
            let started = started.join().expect("a thread");
            assert_eq!(started.runtime, before.runtime);
            // Older kernels tell of no turns: 0 before and after.
            assert!(after.runtime == SHORTEST || before.runtime == 0);
        })
        .join()
        .expect("a thread");
    }
}
