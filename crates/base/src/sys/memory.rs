//! The C library's heaps.

/// Returns freed memory at the top and inside of the C library's heaps to the kernel.
pub fn trim() {
    // SAFETY: no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has all threads allocate from one heap.
///
/// The C library gives each thread one of its own, so that none waits for another; under CPython's
/// lock they take turns anyway, and each heap keeps what its busiest moment left free.
pub fn one_heap() {
    // SAFETY: no preconditions; a refusal changes nothing.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// A part of a request body is 64 KiB, and so is a response that is sent in pieces.
const MAPPED: usize = 256 * 1024;

/// Has the C library keep up to 512 KiB of free memory at the top of its heap, where it would give
/// back everything beyond 128 KiB at once, to fault it in again for the next body: a fifth of the
/// time that an upload takes.
///
/// The limit is twice the largest block that had a mapping of its own when it was freed (mallopt(3),
/// `M_MMAP_THRESHOLD`), so one is made and freed. `M_TRIM_THRESHOLD` would say it, too, and fix both
/// limits for everything that an application allocates.
pub fn keep_top() {
    // SAFETY: what was allocated is freed, and nothing is done with it in between; free takes null.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::free(std::hint::black_box(libc::malloc(MAPPED)));
    }
}
