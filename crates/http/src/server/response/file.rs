//! A part of a file on its way to a client.
//!
//! A read that has to wait for a disk would stop every connection of the worker. So a piece is only
//! taken from the page cache: RWF_NOWAIT tells whether it is there, and where it is not, or the
//! file system cannot tell (overlayfs), a thread of tokio's pool, which ends when there is nothing
//! more to do, reads it through once. What is sent never comes into the worker's memory, unless it
//! has to be encrypted or framed.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, ReadWriteFlags, preadv2, retry_on_intr};
use tokio::task::JoinHandle;

/// The bytes that are looked for in the page cache, and read into it, at once.
const PIECE: u64 = 256 * 1024;

/// The bytes that are read into memory at once, where that is necessary.
const LOADED: usize = 64 * 1024;

/// Part of a file.
#[derive(Debug)]
pub struct FilePiece {
    file: Arc<File>,
    offset: u64,
    left: u64,
    /// Bytes from `offset` on that are in the page cache.
    ready: u64,
    /// Reads the next ones into it.
    reading: Option<JoinHandle<io::Result<u64>>>,
}

impl FilePiece {
    /// All of a regular file, for `http.response.pathsend`. The application has just looked at it,
    /// so the lookup does not wait for a disk.
    ///
    /// # Errors
    /// It cannot be opened, or is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::from(open(path, flags, Mode::empty())?);
        let about = file.metadata()?;
        if !about.is_file() {
            let why = format!("{} is not a regular file", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(Self::new(Arc::new(file), 0, about.len()))
    }

    pub(in crate::server) fn new(file: Arc<File>, offset: u64, length: u64) -> Self {
        Self {
            file,
            offset,
            left: length,
            ready: 0,
            reading: None,
        }
    }

    /// Bytes that are still to be sent.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Waits until something can be taken without waiting for a disk; says how many bytes.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter.
    pub(in crate::server) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        while self.ready == 0 {
            let piece = self.left.min(PIECE);
            if let Some(reading) = &mut self.reading {
                let read = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                self.ready = read.map_err(io::Error::other)??;
                if self.ready == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            } else if is_cached(&self.file, self.offset, piece) {
                self.ready = piece;
            } else {
                let (file, offset) = (Arc::clone(&self.file), self.offset);
                let through = move || read_through(&file, offset, piece);
                self.reading = Some(tokio::task::spawn_blocking(through));
            }
        }
        Poll::Ready(Ok(self.ready))
    }

    /// Where the next byte is.
    pub(in crate::server) fn place(&self) -> (BorrowedFd<'_>, u64) {
        (self.file.as_fd(), self.offset)
    }

    /// `count` bytes, which were ready, have been sent.
    pub(in crate::server) fn advance(&mut self, count: u64) {
        self.offset += count;
        self.left = self.left.saturating_sub(count);
        self.ready = self.ready.saturating_sub(count);
    }

    /// Takes some of what is ready into memory.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter.
    pub(in crate::server) fn load(&mut self) -> io::Result<Bytes> {
        let count = usize::try_from(self.ready).map_or(LOADED, |ready| ready.min(LOADED));
        let mut buffer = vec![0; count];
        let count = self.file.read_at(&mut buffer, self.offset)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.truncate(count);
        self.advance(count as u64);
        Ok(buffer.into())
    }
}

/// Reads a range without waiting for a disk.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where it would have to wait, or the kernel cannot tell.
pub(in crate::server) fn read_cached(
    file: &File,
    offset: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let flags = ReadWriteFlags::NOWAIT;
    let mut filled = 0;
    while filled < buffer.len() {
        let mut target = [IoSliceMut::new(&mut buffer[filled..])];
        let at = offset + filled as u64;
        match retry_on_intr(|| preadv2(file, &mut target, at, flags)) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// Whether a range is in the page cache, by its first and its last byte: the kernel reads ahead
/// between them.
fn is_cached(file: &File, offset: u64, length: u64) -> bool {
    let has = |at| read_cached(file, at, &mut [0]).is_ok();
    has(offset) && has(offset + length.saturating_sub(1))
}

/// Reads a range into the page cache; says how far it goes.
fn read_through(file: &File, offset: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; LOADED];
    let mut read = 0;
    while read < length {
        match file.read_at(&mut buffer, offset + read) {
            Ok(0) => break,
            Ok(count) => read += count as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read.min(length))
}
