//! Read and write buffers that connections share: an idle connection holds none.

use std::cell::RefCell;

/// A buffer's capacity in bytes: most heads and small bodies in one read.
pub(super) const SIZE: usize = 16 * 1024;

/// So many bytes are copied out of a buffer rather than hold it while others are at work; what is
/// longer is rare.
pub(super) const SPARSE: usize = SIZE / 4;

/// Buffers kept for the next use. Only connections in the middle of a request hold one, so few
/// are ever needed at once; what a burst needed beyond that goes back to the allocator.
const KEPT: usize = 8;

/// The unused buffers.
#[derive(Debug, Default)]
pub(super) struct Buffers(RefCell<Vec<Vec<u8>>>);

impl Buffers {
    /// An empty buffer with room for [`SIZE`] bytes.
    pub(super) fn take(&self) -> Vec<u8> {
        self.0
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| Vec::with_capacity(SIZE))
    }

    /// Shrinks `buffer` to its content, where that is little.
    pub(super) fn settle(&self, buffer: &mut Vec<u8>) {
        let is_sparse = buffer.capacity() >= SIZE && buffer.len() <= SPARSE;
        if is_sparse || buffer.is_empty() {
            let exact = buffer.to_vec();
            self.give(std::mem::replace(buffer, exact));
        }
    }

    /// Whether the next one would have to be allocated.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Takes a buffer back; one that has grown is freed.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut kept = self.0.borrow_mut();
        if buffer.capacity() == SIZE && kept.len() < KEPT {
            buffer.clear();
            kept.push(buffer);
        }
    }
}
