//! The settings of `--growth` and `--trace-memory`.

use serde::{Deserialize, Serialize};

/// `--growth`, `--trace-memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// Trace allocations, with so many callers of each.
    pub trace_frames: Option<u16>,
}
