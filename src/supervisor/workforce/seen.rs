//! The state of the workers: their pids, places, counts and weights.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;

use super::Workforce;
use crate::supervisor::pool::{Weighing, WorkerId};
use crate::supervisor::template::Template;
use crate::sys::shared_page::SharedPage;
use crate::sys::weight;

impl Workforce {
    /// The pid, for log lines; 0 for a worker that never had a process.
    pub(in crate::supervisor) fn pid(&self, id: WorkerId) -> i32 {
        let reaped = self.reaped.filter(|(reaped, _)| *reaped == id);
        let template = || self.template.as_ref().and_then(Template::pid);
        let live = self
            .process(id)
            .and_then(|process| process.pid.or_else(template));
        live.or(reaped.map(|(_, pid)| pid))
            .map_or(0, |pid| pid.as_raw_nonzero().get())
    }

    /// How much memory it has, and how much there is for another.
    pub(in crate::supervisor) fn weigh(&self, id: WorkerId) -> Weighing {
        Weighing {
            own: self
                .process(id)
                .and_then(|process| weight::own(process.pid?)),
            room: weight::room(),
        }
    }

    /// A worker's place.
    pub(in crate::supervisor) fn slot(&self, id: WorkerId) -> Option<usize> {
        self.process(id)?.slot
    }

    /// When a request was last answered, by [`crate::sys::clock::monotonic`], if they count.
    pub(in crate::supervisor) fn last_use(&self) -> Option<Duration> {
        let pages = self.processes.iter().filter_map(|own| own.page.as_ref());
        let live = pages.filter_map(|page| page.last_use());
        live.chain(self.last_use).max()
    }

    /// Where a worker counts.
    pub(in crate::supervisor) fn page(&self, id: WorkerId) -> Option<&Arc<SharedPage>> {
        self.process(id)?.page.as_ref()
    }

    /// The process, if it has one.
    pub(in crate::supervisor) fn own_pid(&self, id: WorkerId) -> Option<i32> {
        let pid = self.process(id)?.pid?;
        Some(pid.as_raw_nonzero().get())
    }

    /// The memory that a worker has written to.
    pub(in crate::supervisor) fn weight(&self, id: WorkerId) -> Option<u64> {
        weight::own(self.process(id)?.pid?)
    }

    /// The weight of all of its processes, each page that is shared in parts.
    pub(in crate::supervisor) fn pss(&self) -> Option<u64> {
        let pids = self.processes.iter().filter_map(|process| process.pid);
        let weights = pids.map(|pid| weight::weigh(pid).map(|weight| weight.pss));
        weights.sum()
    }

    /// The weight of the one worker, if there is only one.
    pub(in crate::supervisor) fn weight_of_only_one(&self) -> Option<u64> {
        match self.processes.as_slice() {
            [only] => weight::own(only.pid?),
            _ => None,
        }
    }

    /// Whose process this is, if it is a worker's.
    pub(in crate::supervisor) fn id(&self, pid: Pid) -> Option<WorkerId> {
        self.processes
            .iter()
            .find(|process| process.pid == Some(pid))
            .map(|process| process.id)
    }
}
