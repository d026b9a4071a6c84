//! The lock of the index: `flock`, which the kernel gives back when its holder ends.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How long a change of the index waits for its turn. A change takes some microseconds; a holder that is stopped or
/// has no processor for longer makes the write a miss.
const PATIENCE: Duration = Duration::from_millis(100);

/// Attempts before the first sleep: the holder is seldom away for longer.
const SPINS: u32 = 50;

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Guard(Arc<File>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = flock(&*self.0, FlockOperation::Unlock);
    }
}

/// Whether a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Never,
    Patiently,
}

/// Takes the lock; `None` if it is not free in time.
pub(crate) fn take(file: &Arc<File>, wait: Wait) -> Option<Guard> {
    let mut began = None;
    let mut attempts = 0u32;
    loop {
        match flock(&**file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(Guard(Arc::clone(file))),
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) if wait == Wait::Patiently => {}
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

/// `flock` has no timeout, so that a bounded wait has to look again.
#[expect(
    clippy::disallowed_methods,
    reason = "no event tells that an flock was released"
)]
fn pause() {
    std::thread::sleep(Duration::from_micros(50));
}
