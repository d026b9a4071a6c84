//! The stacks of threads that run views.

/// The stack of a thread, as that of a main thread. CPython's limits of recursion are made for it:
/// with 1 MiB, deeply nested JSON from a client ends a 3.13 with a segmentation fault (tried), and a
/// recursive comparison function needs more than 2 MiB on every version. Address space costs nothing;
/// memory is what a request has touched, and goes with the thread.
pub(super) const STACK: usize = 8 * 1024 * 1024;
