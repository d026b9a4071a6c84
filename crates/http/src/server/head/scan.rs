//! Where a head ends.

use super::{HeadLimits, Refused};

/// The bytes that a request line may have besides its target: a method, a version, two spaces.
const AROUND_TARGET: usize = 64;

/// Finds the end of a head that arrives in pieces, looking at each byte once.
#[derive(Debug, Default, Clone, Copy)]
pub struct HeadScan {
    /// Start of the line that is being read.
    line: usize,
    /// Bytes already looked at.
    seen: usize,
    /// Start of the request line, after the empty lines that may precede it.
    start: usize,
}

impl HeadScan {
    /// Looks at what is new in `buffer` (the whole head so far). `Some(start..end)` when the head
    /// is complete, with its empty line.
    ///
    /// # Errors
    /// A bare LF (RFC 9112 section 2.2 lets us refuse it), or more bytes than allowed.
    pub fn advance(
        &mut self,
        buffer: &[u8],
        limits: HeadLimits,
    ) -> Result<Option<std::ops::Range<usize>>, Refused> {
        while let Some(found) = memchr::memchr(b'\n', &buffer[self.seen..]) {
            let lf = self.seen + found;
            if lf == self.line || buffer[lf - 1] != b'\r' {
                return Err(Refused::Malformed("a line ends with a bare LF"));
            }
            let empty = lf - 1 == self.line;
            let leading = self.line == self.start;
            self.line = lf + 1;
            self.seen = lf + 1;
            match (empty, leading) {
                (true, true) => self.start = lf + 1,
                (true, false) if lf + 1 > limits.size => return Err(Refused::TooLarge),
                (true, false) => return Ok(Some(self.start..lf + 1)),
                (false, _) => {}
            }
        }
        self.seen = buffer.len();
        let is_request_line = self.line == self.start;
        let unfinished = buffer.len() - self.line;
        if is_request_line && unfinished > limits.target + AROUND_TARGET {
            Err(Refused::TargetTooLong)
        } else if buffer.len() > limits.size {
            Err(Refused::TooLarge)
        } else {
            Ok(None)
        }
    }
}
