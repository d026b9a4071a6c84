//! Another writer of what is said here: Python's logging, in a worker that has `--log-config` or whose
//! application has asked for Uvicorn's loggers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::paint;
use super::response::AccessLine;
use crate::config::LogLevel;

/// Takes log lines and access lines in this module's place.
pub trait Records: Send + Sync {
    /// A log line, without its prefix. May be called on any thread.
    fn event(&self, level: LogLevel, message: &str);

    /// One response. Returns whether the line was written; otherwise this module must write it.
    fn access(&self, line: &AccessLine<'_>) -> bool;
}

/// Whether there are any: looked at for each response.
static REDIRECTED: AtomicBool = AtomicBool::new(false);

static RECORDS: RwLock<Option<Arc<dyn Records>>> = RwLock::new(None);

/// From now on everything goes to `records`, or with none to stderr and stdout again.
pub fn redirect(records: Option<Arc<dyn Records>>) {
    // Python's formatters have colours of their own.
    paint::enable(false);
    REDIRECTED.store(records.is_some(), Ordering::Relaxed);
    let mut slot = RECORDS.write().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut *slot, records);
    drop(slot);
    drop(before);
}

/// Whether another writer takes the lines.
pub fn is_redirected() -> bool {
    REDIRECTED.load(Ordering::Relaxed)
}

/// A copy, so that nothing is locked while it writes.
pub(super) fn current() -> Option<Arc<dyn Records>> {
    if !REDIRECTED.load(Ordering::Relaxed) {
        return None;
    }
    RECORDS
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
