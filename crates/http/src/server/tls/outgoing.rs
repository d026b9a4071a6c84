//! Encrypted bytes that are not written yet.

use std::io;

use rustls::unbuffered::{EncodeError, EncryptError, InsufficientSizeError};

use super::{FRAGMENT, spare};

/// Encrypted, and not written yet.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) buffer: Vec<u8>,
    pub(super) written: usize,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.written == self.buffer.len()
    }

    pub(super) fn unwritten(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// Has `encode` write behind what is here, in as much room as it needs.
    pub(super) fn put<E: NeedsRoom>(
        &mut self,
        plain: usize,
        mut encode: impl FnMut(&mut [u8]) -> Result<usize, E>,
    ) -> io::Result<()> {
        let end = self.buffer.len();
        // Each record adds its header, a nonce, the content's type and the tag.
        let mut room = plain + 64 * (plain / FRAGMENT + 1);
        loop {
            spare::take(&mut self.buffer);
            self.buffer.resize(end + room, 0);
            match encode(&mut self.buffer[end..]) {
                Ok(written) => {
                    self.buffer.truncate(end + written);
                    return Ok(());
                }
                Err(error) => {
                    self.buffer.truncate(end);
                    room = error
                        .room()
                        .filter(|needed| *needed > room)
                        .ok_or_else(|| io::Error::other("the session's keys are used up"))?;
                }
            }
        }
    }
}

/// An encoder's error that may ask for a larger buffer.
pub(super) trait NeedsRoom {
    fn room(&self) -> Option<usize>;
}

impl NeedsRoom for EncodeError {
    fn room(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl NeedsRoom for EncryptError {
    fn room(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::EncryptExhausted => None,
        }
    }
}
