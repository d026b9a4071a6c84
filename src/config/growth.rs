//! Whether a worker tells of its memory.

use serde::{Deserialize, Serialize};

use crate::cli::Diagnosis;

/// `--growth`, `--trace-memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// Trace allocations, with so many callers of each.
    pub trace_frames: Option<u16>,
}

/// To trace allocations without being asked for them would be of no use.
pub(super) fn meant(typed: &Diagnosis) -> Option<Growth> {
    let trace_frames = typed.trace_memory;
    (typed.growth || trace_frames.is_some()).then_some(Growth { trace_frames })
}
