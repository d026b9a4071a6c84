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
