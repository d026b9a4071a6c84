//! Buffers for records, which all connections of a thread share.

use std::cell::RefCell;

use super::MAX_RECORD;

/// Buffers of [`MAX_RECORD`] kept for the next use.
const KEPT: usize = 4;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Gives `buffer` room for a record, from the spare ones if it has none of its own.
pub(super) fn take(buffer: &mut Vec<u8>) {
    if buffer.capacity() == 0 {
        *buffer = SPARE
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| Vec::with_capacity(MAX_RECORD));
    } else if buffer.capacity() < MAX_RECORD {
        buffer.reserve_exact(MAX_RECORD - buffer.len());
    }
}

/// Takes the room back: all of it from an empty buffer, what is not used from another.
pub(super) fn give(buffer: &mut Vec<u8>) {
    if !buffer.is_empty() {
        buffer.shrink_to_fit();
        return;
    }
    let spare = std::mem::take(buffer);
    SPARE.with_borrow_mut(|kept| {
        if spare.capacity() == MAX_RECORD && kept.len() < KEPT {
            kept.push(spare);
        }
    });
}
