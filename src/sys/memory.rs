//! Giving memory back.

/// Returns freed memory at the top and inside of the C library's heaps to the kernel.
pub fn trim() {
    // SAFETY: no preconditions.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}
