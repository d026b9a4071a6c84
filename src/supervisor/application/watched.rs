//! Stalled workers: reported, and replaced if `--stall-action` says so.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Application;
use crate::operator::Stage;
use crate::supervisor::pool::{Event, View, WorkerId};
use crate::supervisor::stall::Verdict;
use crate::supervisor::watching::Watching;

impl Application<'_> {
    /// Looks after the workers, with `--timeout-worker-stall`.
    pub(in crate::supervisor) fn watch(&mut self) {
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
                    info!("Worker (pid {}) is no longer stalled.", self.pid(id));
                }
            }
        }
    }

    fn stalled(&mut self, id: WorkerId, still: Duration) {
        let watching = self.parts.watching.as_ref();
        let recycles = watching.is_some_and(Watching::recycles);
        let remedy = if recycles {
            "It is replaced."
        } else {
            "It is left alone (--stall-action)."
        };
        let pid = self.pid(id);
        let seconds = still.as_secs_f32();
        let text = format!("Worker (pid {pid}) has been stalled for {seconds:.1} s");
        warn!("{text}; the stacks of its threads follow. {remedy}");
        self.ask_for_stacks(id, text);
        if recycles {
            self.on(Event::Stalled(id));
        }
    }
}
