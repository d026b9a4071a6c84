//! The memory that all processes together may take.

use std::fmt;

use crate::figures::Megabytes;
use crate::sys::weight;

/// `--memory-budget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryBudget {
    /// So much.
    Bytes(u64),
    /// A part of the machine's memory, or of the container's.
    Percent(u8),
}

impl MemoryBudget {
    /// How much it is here, in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => weight::most() / 100 * u64::from(percent),
        }
    }
}

/// `400.0 MB`, or `1,433.6 MB (70% of 2,048.0 MB)`
impl fmt::Display for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MB", Megabytes(self.bytes()))?;
        match self {
            Self::Bytes(_) => Ok(()),
            Self::Percent(percent) => {
                write!(f, " ({percent}% of {} MB)", Megabytes(weight::most()))
            }
        }
    }
}
