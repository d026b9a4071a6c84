//! The watch for stalled workers of an application.

use std::time::Instant;

use super::pool::WorkerId;
use super::stall::{self, Verdict, Watch};
use crate::config::Stall;
use crate::counters::Gauges;

/// The workers that are ready, as they were seen last.
#[derive(Debug)]
pub(super) struct Watching {
    stall: Stall,
    watches: Vec<(WorkerId, Watch)>,
    due: Instant,
}

impl Watching {
    pub(super) fn new(stall: Stall) -> Self {
        Self {
            stall,
            watches: Vec::new(),
            due: Instant::now(),
        }
    }

    /// Whether such workers are replaced.
    pub(super) fn recycles(&self) -> bool {
        self.stall.recycles
    }

    /// When the next look is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether a worker was stalled at the last look.
    pub(super) fn is_stalled(&self, id: WorkerId) -> bool {
        let mut watches = self.watches.iter();
        watches.any(|(watched, watch)| *watched == id && watch.is_stalled())
    }

    /// Whether any did not.
    pub(super) fn is_any_stalled(&self) -> bool {
        self.watches.iter().any(|(_, watch)| watch.is_stalled())
    }

    /// Looks at every worker, if it is time to. A worker that is not ready, or drains, has deadlines of
    /// its own.
    pub(super) fn look(
        &mut self,
        ready: &[(WorkerId, Option<Gauges>)],
        now: Instant,
    ) -> Vec<(WorkerId, Verdict)> {
        if now < self.due {
            return Vec::new();
        }
        self.due = now + stall::interval(self.stall.after);
        let is_ready = |id: WorkerId| ready.iter().any(|(ready, _)| *ready == id);
        self.watches.retain(|(id, _)| is_ready(*id));
        let mut verdicts = Vec::new();
        for (id, gauges) in ready {
            if !self.watches.iter().any(|(watched, _)| watched == id) {
                self.watches.push((*id, Watch::new(now)));
            }
            let mut watches = self.watches.iter_mut();
            let watch = watches.find(|(watched, _)| watched == id);
            if let (Some((_, watch)), Some(gauges)) = (watch, gauges) {
                verdicts.push((*id, watch.look(*gauges, self.stall.after, now)));
            }
        }
        verdicts
    }
}
