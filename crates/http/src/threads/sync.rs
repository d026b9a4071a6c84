//! The primitives that the pool waits with: the standard library's, or loom's where it is modelled (`models/`).

use std::sync::PoisonError;
use std::time::{Duration, Instant};

#[cfg(loom)]
pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

/// Waits until it is notified, at most so long, or for no reason. In a model no time passes: a
/// notification that is lost stops its threads, which loom reports.
pub(super) fn wait<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
) -> MutexGuard<'a, T> {
    let waited = condvar.wait_timeout(guard, time);
    waited.unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(not(loom))]
pub(super) fn now() -> Instant {
    Instant::now()
}

#[cfg(loom)]
pub(super) fn now() -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *START
}
