//! The locks of the index: bytes of one file, locked for an open file description (`F_OFD_SETLK`, fcntl(2)), which the
//! kernel gives back when their holder ends.
//!
//! A bucket of the index belongs to one of [`STRIPES`] bytes, so that writers of different keys seldom meet. A byte of
//! its own is for changes of the header. The order is stripes, then header; no attempt blocks, so there is no deadlock.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

/// How long a change of the index waits for its turn. A change takes some microseconds; a holder that is stopped or
/// has no processor for longer makes the write a miss.
const PATIENCE: Duration = Duration::from_millis(100);

/// Attempts before the first sleep: the holder is seldom away for longer.
const SPINS: u32 = 50;

/// Locks for the buckets of the index.
const STRIPES: u32 = 256;

/// A part of the index that only one process changes at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// These two buckets, in which a key can lie.
    Buckets([u32; 2]),
    /// Which segments there are.
    Header,
}

impl Part {
    /// The bytes to lock, in ascending order; one of them may be missing.
    fn bytes(self) -> [Option<u32>; 2] {
        match self {
            Self::Header => [Some(STRIPES), None],
            Self::Buckets(buckets) => {
                let [one, other] = buckets.map(|bucket| bucket % STRIPES);
                [
                    Some(one.min(other)),
                    Some(one.max(other)).filter(|_| one != other),
                ]
            }
        }
    }
}

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard {
    file: Arc<File>,
    bytes: [Option<u32>; 2],
}

impl Drop for Guard {
    fn drop(&mut self) {
        for byte in self.bytes.into_iter().flatten() {
            let _ = change(&self.file, libc::F_UNLCK, byte);
        }
    }
}

/// Whether a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Never,
    Patiently,
}

/// Takes the lock of a part; `None` if it is not free in time.
pub(crate) fn take(file: &Arc<File>, part: Part, wait: Wait) -> Option<Guard> {
    let mut began = None;
    let mut attempts = 0u32;
    loop {
        match attempt(file, part) {
            Ok(guard) => return Some(guard),
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN | Errno::EACCES) if wait == Wait::Patiently => {}
            Err(_) => return None,
        }
        attempts += 1;
        if attempts < SPINS {
            std::thread::yield_now();
            continue;
        }
        let since: Instant = *began.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            return None;
        }
        pause();
    }
}

/// All bytes of a part, or none.
fn attempt(file: &Arc<File>, part: Part) -> Result<Guard, Errno> {
    let mut guard = Guard {
        file: Arc::clone(file),
        bytes: [None, None],
    };
    for (held, byte) in guard.bytes.iter_mut().zip(part.bytes()) {
        if let Some(byte) = byte {
            change(file, libc::F_WRLCK, byte)?;
            *held = Some(byte);
        }
    }
    Ok(guard)
}

fn change(file: &File, kind: libc::c_int, byte: u32) -> Result<(), Errno> {
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: byte.into(),
        l_len: 1,
        // The system requires it for locks of an open file description.
        l_pid: 0,
    };
    fcntl(file, FcntlArg::F_OFD_SETLK(&range)).map(drop)
}

/// There is a call that waits for such a lock, but none with a timeout, so that a bounded wait has to look again.
#[expect(
    clippy::disallowed_methods,
    reason = "no event tells that the lock was released"
)]
fn pause() {
    std::thread::sleep(Duration::from_micros(50));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> [Arc<File>; 2] {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("lowmem-serve-lock-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let open = || {
            let mut options = std::fs::OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            Arc::new(options.open(&path).unwrap())
        };
        let both = [open(), open()];
        std::fs::remove_file(path).unwrap();
        both
    }

    fn try_take(file: &Arc<File>, part: Part) -> Option<Guard> {
        take(file, part, Wait::Never)
    }

    /// Two descriptions of one file, as two processes have them.
    #[test]
    fn buckets_of_other_stripes_are_free_meanwhile() {
        let [one, other] = opened();
        let held = try_take(&one, Part::Buckets([3, 700])).unwrap();
        assert!(try_take(&other, Part::Buckets([700, 9])).is_none());
        assert!(try_take(&other, Part::Buckets([9, 3 + STRIPES])).is_none());
        // The attempts above gave back what they had got.
        let between = try_take(&other, Part::Buckets([9, 10])).unwrap();
        let header = try_take(&one, Part::Header).unwrap();
        assert!(try_take(&other, Part::Header).is_none());
        drop((held, header));
        assert!(try_take(&other, Part::Header).is_some());
        assert!(try_take(&one, Part::Buckets([9, 3])).is_none());
        drop(between);
        assert!(try_take(&one, Part::Buckets([9, 9])).is_some());
    }

    #[test]
    fn a_wait_ends() {
        let [one, other] = opened();
        let _held = try_take(&one, Part::Header).unwrap();
        let began = Instant::now();
        assert!(take(&other, Part::Header, Wait::Patiently).is_none());
        assert!(began.elapsed() >= PATIENCE);
    }
}
