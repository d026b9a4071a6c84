//! Holes among Python's small objects.
//!
//! CPython keeps objects of up to 512 bytes in *pools*, each for one size. A new object goes into a pool
//! that has room; after imports there are many, each with a few places, on pages that workers share. Blocks
//! that are never freed take these places, so that a worker's objects begin new pools.

use core::ffi::c_void;

use pyo3::ffi;
use pyo3::prelude::*;

/// A pool begins at a multiple of this, with a header.
const POOL: usize = 16 * 1024;
const HEADER: usize = 48;

const SMALLEST: usize = 16;
const LARGEST: usize = 512;

/// So many blocks one after the other, from a pool's beginning, are taken for a new pool.
const IN_A_ROW: usize = 8;

/// A size whose holes take more, or that is not kept in pools as they are known here, is left as it was.
const MOST: usize = 512 * 1024;

/// Fills the holes.
pub fn fill(py: Python<'_>) {
    for size in (SMALLEST..=LARGEST).step_by(SMALLEST) {
        fill_size(py, size);
    }
}

fn fill_size(_: Python<'_>, size: usize) {
    let mut blocks: Vec<*mut c_void> = Vec::with_capacity(MOST / size);
    let mut row = 0;
    while row < IN_A_ROW && blocks.len() < MOST / size {
        // SAFETY: attached.
        let block = unsafe { ffi::PyObject_Malloc(size) };
        if block.is_null() {
            break;
        }
        let address = block.addr();
        row = match blocks.last().map(|last| last.addr() + size) {
            _ if address % POOL == HEADER => 1,
            Some(next) if row > 0 && address == next => row + 1,
            _ => 0,
        };
        blocks.push(block);
    }
    // The new pool is given back, or everything.
    let given_back = if row == IN_A_ROW { row } else { blocks.len() };
    for block in blocks.into_iter().rev().take(given_back) {
        // SAFETY: it was allocated above, and nothing has it.
        unsafe { ffi::PyObject_Free(block) };
    }
}
