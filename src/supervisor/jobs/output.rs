//! A run's output on stdout and stderr, as log lines of the server.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::telemetry;

/// A longer line is written in several.
const LONGEST_LINE: usize = 8 * 1024;

/// The bytes that are read in one turn of the loop: a run that writes without end must wait for its pipe, and
/// must not keep the workers waiting.
const MOST_IN_A_TURN: usize = 64 * 1024;

/// The reading end.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Option<File>,
    /// The beginning of a line.
    rest: Vec<u8>,
    job: String,
    run: String,
}

impl Output {
    /// A pipe; the other end is the run's.
    pub(super) fn new(job: &str, run: &str) -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only this end: the program on the other does not expect that a write could fail.
        rustix::io::ioctl_fionbio(&reader, true)?;
        let output = Self {
            pipe: Some(File::from(reader)),
            rest: Vec::new(),
            job: job.to_owned(),
            run: run.to_owned(),
        };
        Ok((output, writer))
    }

    /// Writes the lines that have come in to the log.
    pub(super) fn pass_on(&mut self) {
        let mut left = MOST_IN_A_TURN;
        let mut buffer = [0; 4096];
        while left > 0 {
            let Some(pipe) = &mut self.pipe else {
                return;
            };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(read) => {
                    left = left.saturating_sub(read);
                    self.take(&buffer[..read]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    /// The last words of a run that has ended, as far as they are in the pipe.
    pub(super) fn finish(mut self) {
        self.pass_on();
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.write(&rest);
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let mut line = std::mem::take(&mut self.rest);
            line.extend_from_slice(&bytes[..end]);
            self.write(&line);
            bytes = &bytes[end + 1..];
        }
        self.rest.extend_from_slice(bytes);
        if self.rest.len() >= LONGEST_LINE {
            let line = std::mem::take(&mut self.rest);
            self.write(&line);
        }
    }

    fn write(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let fields = [("job", self.job.as_str()), ("run", self.run.as_str())];
        telemetry::write_output(line.trim_end_matches('\r'), &fields);
    }

    pub(super) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }
}
