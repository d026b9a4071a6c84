//! Whether a worker tells of its memory.

use super::Growth;
use crate::cli::Diagnosis;

/// To trace allocations without being asked for them would be of no use.
pub(super) fn meant(typed: &Diagnosis) -> Option<Growth> {
    let trace_frames = typed.trace_memory;
    (typed.growth || trace_frames.is_some()).then_some(Growth { trace_frames })
}
