//! Bytes objects of the application that responses are written from, without a copy.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A piece of a body this long is written from the bytes object itself; copying a shorter one
/// costs less than the bookkeeping.
pub const SHARED_FROM: usize = 16 * 1024;

/// A bytes object that a write is made from. Bytes never change, so the slice stays good for as
/// long as the object is held.
pub struct SharedBytes {
    data: *const u8,
    len: usize,
    _owner: Py<PyBytes>,
}

// SAFETY: the memory is that of an immutable bytes object, kept alive by `_owner`, which may be
// dropped on any thread (pyo3 defers the decrement where the thread is not attached).
unsafe impl Send for SharedBytes {}
// SAFETY: as above; the memory is never written to.
unsafe impl Sync for SharedBytes {}

impl SharedBytes {
    pub fn new(bytes: &Bound<'_, PyBytes>) -> Self {
        let slice = bytes.as_bytes();
        Self {
            data: slice.as_ptr(),
            len: slice.len(),
            _owner: bytes.clone().unbind(),
        }
    }
}

impl Drop for SharedBytes {
    fn drop(&mut self) {
        DROPPED.store(true, Ordering::Relaxed);
    }
}

static DROPPED: AtomicBool = AtomicBool::new(false);

/// Whether a written piece was dropped since [`forget_dropped`].
pub fn is_any_dropped() -> bool {
    DROPPED.load(Ordering::Relaxed)
}

/// Records that the dropped pieces have been freed.
pub fn forget_dropped() {
    DROPPED.store(false, Ordering::Relaxed);
}

impl AsRef<[u8]> for SharedBytes {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `data` and `len` are those of `_owner`, which is immutable and alive.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }
}
