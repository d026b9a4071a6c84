//! The output that waits to be written, and the framing of bodies.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};

use super::file::FilePiece;
use crate::asgi::http::Framing;
use crate::server::buffers::{self, Buffers};

/// The output that waits to be written to a connection, in order.
#[derive(Debug, Default)]
pub(in crate::server) struct Outgoing {
    /// Pieces large enough not to be copied, with what stood before each.
    queue: VecDeque<Queued>,
    /// The end of it.
    tail: Vec<u8>,
    /// Bytes of `tail` already written (only while `queue` is empty).
    written: usize,
}

/// Least capacity in bytes of the blocks that small pieces are copied into. A block is freed when it has been
/// written: one buffer that grows would be held as a whole by a client that takes it slowly, twice
/// its content while it doubles.
const BLOCK: usize = buffers::SIZE / 2;

/// Capacity in bytes for a head, or what frames a large piece, where no buffer is at hand.
const HEAD: usize = 512;

/// A piece that waits.
#[derive(Debug)]
enum Queued {
    Bytes(Bytes),
    File(FilePiece),
}

impl Queued {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::File(file) => usize::try_from(file.left()).unwrap_or(usize::MAX),
        }
    }
}

/// At most this many pieces go into one `writev`; more would be waiting for the socket anyway.
const MAX_SLICES: usize = 16;

impl Outgoing {
    pub(in crate::server) fn with_buffer(tail: Vec<u8>) -> Self {
        Self {
            tail,
            ..Self::default()
        }
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.written == self.tail.len()
    }

    pub(in crate::server) fn len(&self) -> usize {
        let queued = self.queue.iter().map(Queued::len);
        queued.fold(0, usize::saturating_add) + self.tail.len() - self.written
    }

    /// The same without what is still in files.
    pub(in crate::server) fn in_memory(&self) -> usize {
        let queued = self.queue.iter().map(|piece| match piece {
            Queued::Bytes(bytes) => bytes.len(),
            Queued::File(_) => 0,
        });
        queued.sum::<usize>() + self.tail.len() - self.written
    }

    /// Takes the buffer to write a head into it; give it back by [`Self::put_head`].
    pub(in crate::server) fn take_buffer(&mut self) -> Vec<u8> {
        if self.is_empty() && self.tail.capacity() > 0 {
            self.written = 0;
            self.tail.clear();
            std::mem::take(&mut self.tail)
        } else {
            Vec::with_capacity(HEAD)
        }
    }

    /// Takes the buffer if it is empty: a waiting connection holds none.
    pub(in crate::server) fn take_idle_buffer(&mut self) -> Vec<u8> {
        if self.is_empty() {
            std::mem::take(self).tail
        } else {
            Vec::new()
        }
    }

    /// Holds no more of its buffer than what is in it, where that is little.
    pub(in crate::server) fn settle(&mut self, buffers: &Buffers) {
        buffers.settle(&mut self.tail);
    }

    /// The same however much there is: the client may take its time.
    pub(in crate::server) fn settle_for_long(&mut self, buffers: &Buffers) {
        self.settle(buffers);
        self.tail.shrink_to_fit();
    }

    pub(in crate::server) fn put_head(&mut self, head: Vec<u8>) {
        if self.tail.is_empty() {
            self.tail = head;
        } else {
            self.tail.extend_from_slice(&head);
        }
    }

    /// Adds a piece of a body in its framing.
    pub(in crate::server) fn put_body(
        &mut self,
        framing: Framing,
        content: Content<'_>,
        last: bool,
    ) {
        match framing {
            Framing::Bodiless(_) => {}
            Framing::Length(_) | Framing::UntilClose => self.put_content(content),
            Framing::Chunked => {
                if content.len() > 0 {
                    let mut size = [0; 18];
                    self.put(Piece::Small(chunk_size(content.len(), &mut size)));
                    self.put_content(content);
                    self.put(Piece::Small(b"\r\n"));
                }
                if last {
                    self.put(Piece::Small(b"0\r\n\r\n"));
                }
            }
        }
    }

    pub(in crate::server) fn put(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Small(bytes) => {
                if self.tail.capacity() - self.tail.len() < bytes.len() {
                    return self.put_in_blocks(bytes);
                }
                self.tail.extend_from_slice(bytes);
            }
            Piece::Shared(bytes) => self.queue(Queued::Bytes(bytes)),
        }
    }

    /// Adds bytes that the tail has no room for: a small tail is made a block, a block is filled first.
    fn put_in_blocks(&mut self, bytes: &[u8]) {
        let length = self.tail.len();
        let wanted = length + bytes.len();
        if length < BLOCK {
            let capacity = match wanted {
                ..=HEAD => HEAD,
                _ => wanted.clamp(BLOCK, buffers::SIZE),
            };
            self.tail.reserve_exact(capacity - length);
        }
        let room = self.tail.capacity() - length;
        let (fits, rest) = bytes.split_at(room.min(bytes.len()));
        self.tail.extend_from_slice(fits);
        if rest.len() >= buffers::SIZE {
            self.queue(Queued::Bytes(Bytes::copy_from_slice(rest)));
        } else if !rest.is_empty() {
            self.seal();
            self.tail.reserve_exact(rest.len().max(BLOCK));
            self.tail.extend_from_slice(rest);
        }
    }

    fn put_content(&mut self, content: Content<'_>) {
        match content {
            Content::Piece(piece) => self.put(piece),
            Content::File(file) if file.left() == 0 => {}
            Content::File(file) => self.queue(Queued::File(file)),
        }
    }

    fn queue(&mut self, piece: Queued) {
        self.seal();
        self.queue.push_back(piece);
    }

    /// Moves the tail to the queue. Little in a large buffer is copied: the buffer stays for what follows.
    fn seal(&mut self) {
        let unwritten = &self.tail[self.written..];
        let before = if self.tail.capacity() >= BLOCK && unwritten.len() <= buffers::SPARSE {
            let copy = Bytes::copy_from_slice(unwritten);
            self.tail.clear();
            copy
        } else {
            let mut whole = Bytes::from(std::mem::take(&mut self.tail));
            whole.advance(self.written);
            whole
        };
        self.written = 0;
        if !before.is_empty() {
            self.queue.push_back(Queued::Bytes(before));
        }
    }

    /// Moves everything of `other` behind what is here.
    pub(in crate::server) fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            let mut spare = std::mem::take(&mut self.tail);
            *self = std::mem::take(other);
            spare.clear();
            other.tail = spare;
            return;
        }
        for piece in other.queue.drain(..) {
            self.queue(piece);
        }
        self.put(Piece::Small(&other.tail[other.written..]));
        other.tail.clear();
        other.written = 0;
    }

    /// The pieces to be written next, up to the next file.
    pub(in crate::server) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut count = 0;
        for (slot, piece) in slices.iter_mut().zip(&self.queue) {
            let Queued::Bytes(bytes) = piece else {
                return count;
            };
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        let tail = &self.tail[self.written..];
        if count < MAX_SLICES && !tail.is_empty() {
            slices[count] = IoSlice::new(tail);
            count += 1;
        }
        count
    }

    /// The file to send next, if a file comes next.
    pub(in crate::server) fn file(&mut self) -> Option<&mut FilePiece> {
        match self.queue.front_mut() {
            Some(Queued::File(file)) => Some(file),
            _ => None,
        }
    }

    /// Takes the beginning of a file whose turn it is into memory, for streams that can't send from
    /// files. Call it before [`Self::slices`].
    pub(in crate::server) fn poll_load(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(file) = self.file() {
            ready!(file.poll_ready(cx))?;
            let bytes = file.load()?;
            self.drop_sent_file();
            self.queue.push_front(Queued::Bytes(bytes));
        }
        Poll::Ready(Ok(()))
    }

    /// Forgets the first piece, if it is a file that has been sent.
    pub(in crate::server) fn drop_sent_file(&mut self) {
        if self.file().is_some_and(|file| file.left() == 0) {
            self.queue.pop_front();
        }
    }

    /// `n` bytes have been written.
    pub(in crate::server) fn advance(&mut self, mut n: usize) {
        while let Some(Queued::Bytes(first)) = self.queue.front_mut() {
            if n < first.len() {
                first.advance(n);
                return;
            }
            n -= first.len();
            self.queue.pop_front();
        }
        self.written += n;
    }

    /// Takes up to `max` bytes, as they are: less where a piece ends before, and nothing where it is
    /// a file's turn, which [`Self::poll_load`] takes into memory first.
    pub(in crate::server) fn take(&mut self, max: usize) -> Bytes {
        if self.queue.is_empty() {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            tail.advance(std::mem::take(&mut self.written));
            self.queue.push_back(Queued::Bytes(tail));
        }
        let Some(Queued::Bytes(first)) = self.queue.front_mut() else {
            return Bytes::new();
        };
        let taken = first.split_to(max.min(first.len()));
        if first.is_empty() {
            self.queue.pop_front();
        }
        taken
    }

    /// The first piece, as far as it is in memory.
    pub(in crate::server) fn peek(&self) -> &[u8] {
        match self.queue.front() {
            Some(Queued::Bytes(bytes)) => bytes,
            Some(Queued::File(_)) => &[],
            None => &self.tail[self.written..],
        }
    }

    /// Gives the buffer back for the next use.
    pub(in crate::server) fn into_buffer(mut self) -> Vec<u8> {
        self.tail.clear();
        self.tail
    }
}

/// A piece of a body.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Copied: cheaper than to keep its owner alive.
    Small(&'a [u8]),
    /// Kept until it has been written.
    Shared(Bytes),
}

impl Piece<'_> {
    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "not needed")]
    pub fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// The part of a body that a message adds.
#[derive(Debug)]
pub(in crate::server) enum Content<'a> {
    Piece(Piece<'a>),
    /// Sent from where it is.
    File(FilePiece),
}

impl Content<'_> {
    pub(in crate::server) fn len(&self) -> u64 {
        match self {
            Self::Piece(piece) => piece.len() as u64,
            Self::File(file) => file.left(),
        }
    }

    pub(in crate::server) fn in_memory(&self) -> usize {
        match self {
            Self::Piece(piece) => piece.len(),
            Self::File(_) => 0,
        }
    }
}

/// The size line of a chunk.
fn chunk_size(len: u64, line: &mut [u8; 18]) -> &[u8] {
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut left = len;
    while left > 0 {
        at -= 1;
        line[at] = b"0123456789abcdef"[(left % 16) as usize];
        left /= 16;
    }
    &line[at..]
}

#[cfg(test)]
mod tests;
