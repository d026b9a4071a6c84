//! Following changes of the source: the new one is served as soon as it can be, and the last one that
//! could be until then.
//!
//! It goes through the same swap as other replacements, with two differences. The swap is over when
//! the successor is ready, so that the next change does not wait for a drain. And nothing is tried
//! again by itself: what could not start will not before its source changes.

use std::time::{Duration, Instant};

use super::worker::State;
use super::{Notice, Pool, Reason, WorkerId};
use crate::sys::process::Ending;

impl Pool {
    /// A worker that serves is due, one that starts is outdated, and an empty place is filled again.
    pub(super) fn changed(&mut self, now: Instant) {
        self.awaits_change = false;
        self.interrupt_swap(now);
        self.hope_again(now);
        for id in self.ids() {
            self.give_up(id, now);
            if let Some(worker) = self
                .worker(id)
                .filter(|worker| worker.is_ready() || worker.is_dozing())
            {
                // Whatever else it was due for can wait, and need not.
                worker.due = Some(Reason::Change);
            }
        }
    }

    /// Ends a worker that has not been ready, if it still counts.
    pub(super) fn give_up(&mut self, id: WorkerId, now: Instant) {
        match self.worker(id).map(|worker| worker.state) {
            Some(State::Starting { .. }) => self.abandon(id, now),
            Some(State::Waiting { .. }) => self.workers.retain(|worker| worker.id != id),
            Some(State::Killed { was_starting: true }) => {
                let was_starting = false;
                if let Some(worker) = self.worker(id) {
                    worker.state = State::Killed { was_starting };
                }
            }
            _ => {}
        }
    }

    /// The successor serves the changed source.
    pub(super) fn reloaded(&mut self, took: Duration) {
        self.forget_swap();
        self.say(Notice::Reloaded(took));
    }

    /// The successor failed: the old worker stays, and is due again with the next change.
    pub(super) fn keep_until_change(&mut self, old: WorkerId) {
        if let Some(worker) = self.worker(old) {
            worker.due = None;
        }
    }

    /// Whether another worker would fail like the one that ended without ever having been ready.
    pub(super) fn must_change(&self, served: Option<Duration>) -> bool {
        self.settings.follows_changes && served.is_none()
    }

    pub(super) fn await_change(&mut self, id: WorkerId, ending: Ending) {
        self.awaits_change = true;
        self.say(Notice::AwaitsChange(id, ending));
    }
}
