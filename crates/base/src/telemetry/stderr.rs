//! Where log lines go.
//!
//! A worker waits for the reader of its log, as every server does: no line is lost, and requests slow down. The
//! supervisor may not: while it waits it hears no signal and watches no worker. A line for which there is no room
//! within [`PATIENCE`] is lost there, so are those that follow until there is room, and their number is told then.
//!
//! Room for a page is looked for before each write. Another process may take it in between: then the wait is as long
//! as the reader's pause after all.

use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long the supervisor waits for the reader of its log.
const PATIENCE: Duration = Duration::from_secs(1);

/// A pipe that has room has room for so much.
const PAGE: usize = 4096;

static HURRIES: AtomicBool = AtomicBool::new(false);

/// The lines that were lost since the last that was written.
static LOST: AtomicU64 = AtomicU64::new(0);

/// From now on this process does not wait for the reader of its log.
pub fn hurry() {
    HURRIES.store(true, Ordering::Relaxed);
}

/// Writes a line; before it what `about` says of a number of lost ones.
pub(super) fn write(line: &[u8], about: impl FnOnce(u64) -> Vec<u8>) {
    let mut stderr = io::stderr().lock();
    if !HURRIES.load(Ordering::Relaxed) {
        // There is nowhere to report that stderr is closed.
        let _ = stderr.write_all(line);
        return;
    }
    let lost = LOST.load(Ordering::Relaxed);
    let patience = if lost == 0 { PATIENCE } else { Duration::ZERO };
    let is_told = lost == 0 || pass(stderr.as_fd(), &about(lost), patience);
    if is_told && pass(stderr.as_fd(), line, patience) {
        LOST.store(0, Ordering::Relaxed);
    } else {
        LOST.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes if the reader makes room in time for each page; whether it has. What cannot be written at all is no wait.
fn pass(to: BorrowedFd<'_>, line: &[u8], patience: Duration) -> bool {
    // A time too long for the kernel is as good as none.
    let patience = Timespec::try_from(patience).ok();
    let mut left = line;
    while !left.is_empty() {
        let mut waiting = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
        if poll(&mut waiting, patience.as_ref()) == Ok(0) {
            return false;
        }
        match rustix::io::write(to, &left[..left.len().min(PAGE)]) {
            Ok(written) => left = &left[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_reader_that_pauses_is_not_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        let pass = |line: &[u8]| pass(writer.as_fd(), line, Duration::from_millis(10));
        let mut written = 0;
        while pass(&[b'x'; PAGE]) {
            written += PAGE;
        }
        assert!(written >= PAGE && !pass(b"line\n"));
        reader.read_exact(&mut vec![0; written]).unwrap();
        // Several pages, of which the last is not full.
        assert!(pass(&[b'y'; 3 * PAGE + 1]));
        let mut text = vec![0; 3 * PAGE + 1];
        reader.read_exact(&mut text).unwrap();
        assert!(text.iter().all(|byte| *byte == b'y'));
    }

    #[test]
    fn a_reader_that_has_gone_is_no_wait() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        assert!(pass(writer.as_fd(), b"line\n", Duration::from_secs(60)));
    }
}
