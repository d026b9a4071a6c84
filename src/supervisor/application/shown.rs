//! How one application is, as operators and the status server see it, and where it is counted.

use std::sync::Arc;

use super::Application;
use crate::counters::Gauges;
use crate::monitor::{Tally, served};
use crate::operator::{ApplicationStatus, Serving, WorkerStatus};
use crate::supervisor::pool::{Notice, View, WorkerId};
use crate::supervisor::record;
use crate::supervisor::watching::Watching;

impl Application<'_> {
    /// Its name.
    pub(in crate::supervisor) fn shown_name(&self) -> &str {
        self.name().unwrap_or(self.workforce.application())
    }

    /// How it is.
    pub(in crate::supervisor) fn serving(&self) -> Serving {
        if self.parts.name.is_some()
            && let Some(other) = self.standing.shown()
        {
            return other;
        }
        self.pool.serving()
    }

    /// Whether it may be told to sleep.
    pub(in crate::supervisor) fn may_sleep(&self) -> bool {
        self.pool.may_sleep()
    }

    /// How many workers it should have.
    pub(in crate::supervisor) fn wanted(&self) -> usize {
        self.pool.wanted()
    }

    /// From now on it is counted: before its first worker is started, or that is not.
    pub(in crate::supervisor) fn count(&mut self) {
        self.tally();
    }

    /// The status that an operator is shown; weighing its workers takes the kernel a while, and adding up
    /// what they have counted takes some time, too.
    pub(in crate::supervisor) fn status(&self, weighs: bool) -> ApplicationStatus {
        let views = self.pool.views();
        let workers = views.map(|view| self.worker_status(view, weighs));
        let mut status = ApplicationStatus {
            name: self.shown_name().to_owned(),
            state: self.serving(),
            pss: weighs.then(|| self.workforce.pss()).flatten(),
            deaths: self.deaths,
            memory_limit: self.parts.settings.recycle.max_rss,
            last_use: self.last_use().map(|at| at.elapsed().as_secs_f64()),
            places: self.parts.banner.places.clone(),
            workers_wanted: self.wanted(),
            workers: workers.collect(),
            served: None,
            caches: Vec::new(),
        };
        if let Some(tally) = self.tally.as_deref().filter(|_| weighs) {
            self.tell_tally();
            served::add(&mut status, tally);
        }
        status
    }

    pub(super) fn worker_status(&self, view: View, weighs: bool) -> WorkerStatus {
        let weight = || self.workforce.weight(view.id);
        WorkerStatus {
            pid: self.workforce.own_pid(view.id),
            slot: self.workforce.slot(view.id),
            stage: view.stage,
            age: view.since.map(|since| since.elapsed().as_secs_f64()),
            memory: weighs.then(weight).flatten(),
            requests: None,
            connections: None,
            is_stalled: self.stalls(view.id),
        }
    }

    /// Where it is counted from now on.
    pub(in crate::supervisor) fn tally(&mut self) -> Arc<Tally> {
        if let Some(tally) = &self.tally {
            return Arc::clone(tally);
        }
        let tally = Arc::new(Tally::new(self.shown_name()));
        self.workforce.count_in(Arc::clone(&tally));
        self.tally = Some(Arc::clone(&tally));
        tally
    }

    /// A worker's figures of this moment, if it counts.
    pub(in crate::supervisor) fn gauges(&self, id: WorkerId) -> Option<Gauges> {
        self.workforce.page(id).map(|page| Gauges::of(page))
    }

    /// A worker's process.
    pub(in crate::supervisor) fn pid(&self, id: WorkerId) -> i32 {
        self.workforce.pid(id)
    }

    /// A worker is stalled: it logs the stacks of its threads.
    pub(in crate::supervisor) fn ask_for_stacks(&self, id: WorkerId, text: String) {
        if let Some(tally) = &self.tally {
            tally.stalled(self.pid(id), text);
        }
        self.workforce.ask_for_stacks(id);
    }

    /// Whether a worker was stalled at the last look.
    pub(in crate::supervisor) fn is_stalled(&self) -> bool {
        self.parts
            .watching
            .as_ref()
            .is_some_and(Watching::is_any_stalled)
    }

    /// Whether workers are being replaced.
    pub(in crate::supervisor) fn is_replacing(&self) -> bool {
        self.pool.is_replacing()
    }

    pub(super) fn stalls(&self, id: WorkerId) -> bool {
        let watching = self.parts.watching.as_ref();
        watching.is_some_and(|watching| watching.is_stalled(id))
    }

    pub(super) fn note(&self, notice: Notice) {
        if let Some(tally) = &self.tally {
            record::note(tally, notice, |id| self.workforce.pid(id));
        }
    }

    /// Has the board know which process counts where.
    pub(in crate::supervisor) fn tell_tally(&self) {
        let Some(tally) = &self.tally else {
            return;
        };
        for view in self.pool.views() {
            let page = self.workforce.page(view.id);
            if let (Some(page), Some(pid)) = (page, self.workforce.own_pid(view.id)) {
                tally.is_now(page, pid, self.stalls(view.id));
            }
        }
    }
}
