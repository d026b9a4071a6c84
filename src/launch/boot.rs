//! The Python lines that begin every worker.

/// The program that a worker's Python runs first.
pub(super) const BOOT: &str = include_str!("boot.py");

/// Python's flag for a start without `site`.
pub(super) const WITHOUT_SITE: &str = "-S";
