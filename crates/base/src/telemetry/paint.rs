//! Colour inside log messages, as Uvicorn has it: process ids cyan, addresses bold.
//!
//! `info!("Started server process [{}]", paint::cyan(pid))` is plain text unless stderr is coloured.

use std::fmt::{self, Display};
use std::sync::atomic::{AtomicBool, Ordering};

static ENABLED: AtomicBool = AtomicBool::new(false);

/// A value that is shown in a style on a coloured stderr.
#[derive(Debug, Clone, Copy)]
pub struct Painted<T>(&'static str, T);

/// For process ids.
pub fn cyan<T: Display>(value: T) -> Painted<T> {
    Painted("\x1b[36m", value)
}

/// For addresses and names of options.
pub fn bold<T: Display>(value: T) -> Painted<T> {
    Painted("\x1b[1m", value)
}

/// Ends every style.
pub(super) const RESET: &str = "\x1b[0m";

pub(super) fn enable(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if ENABLED.load(Ordering::Relaxed) {
            write!(f, "{}{}{RESET}", self.0, self.1)
        } else {
            self.1.fmt(f)
        }
    }
}
