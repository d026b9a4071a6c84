//! Looking after an application's workers: which of them do not come round.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::application::Application;
use super::pool::{Event, View, WorkerId};
use super::stall::{self, Verdict, Watch};
use crate::config::Stall;
use crate::counters::Gauges;
use crate::operator::Stage;

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

    /// When the next look is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether a worker did not come round when it was last looked at.
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
    fn look(
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

impl Application<'_> {
    /// Looks after the workers, with `--timeout-worker-stall`.
    pub(super) fn watch(&mut self) {
        let now = Instant::now();
        let ready: Vec<_> = match &self.parts.watching {
            Some(watching) if watching.due() <= now => {
                let ready = |view: &View| view.stage == Stage::Ready;
                let views = self.pool.views().filter(ready);
                views.map(|view| (view.id, self.gauges(view.id))).collect()
            }
            _ => return,
        };
        let Some(watching) = &mut self.parts.watching else {
            return;
        };
        for (id, verdict) in watching.look(&ready, now) {
            match verdict {
                Verdict::Unchanged => {}
                Verdict::Stalled(still) => self.stalled(id, still),
                Verdict::Recovered => {
                    info!("Worker (pid {}) comes round again.", self.pid(id));
                }
            }
        }
    }

    fn stalled(&mut self, id: WorkerId, still: Duration) {
        let recycles = self
            .parts
            .watching
            .as_ref()
            .is_some_and(|own| own.stall.recycles);
        let remedy = if recycles {
            "It is replaced."
        } else {
            "It is left alone (--stall-action)."
        };
        let pid = self.pid(id);
        let seconds = still.as_secs_f32();
        let text = format!("Worker (pid {pid}) has not come round for {seconds:.1} s");
        warn!("{text}; the stacks of its threads follow. {remedy}");
        self.ask_for_stacks(id, text);
        if recycles {
            self.on(Event::Stalled(id));
        }
    }
}
