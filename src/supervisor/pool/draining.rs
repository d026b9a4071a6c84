//! The order to a worker to end.

use std::time::{Duration, Instant};

use super::worker::{State, Worker};
use super::{Action, DRAIN_MARGIN, Pool, QUIT_PATIENCE, WorkerId};
use crate::control::Drain;

impl Pool {
    /// The end: idle connections are closed.
    pub(super) fn drain(&mut self, id: WorkerId, interrupted: bool, now: Instant) {
        let grace = self.settings.grace;
        let delay = match interrupted {
            true => Duration::ZERO,
            false => self.settings.drain_delay,
        };
        let deadline = now + delay + grace + DRAIN_MARGIN;
        let action = Action::Drain(id, Drain::stopping(grace, delay, interrupted));
        self.set(id, State::Draining { deadline }, action);
    }

    /// The end of a worker that drains already, until then.
    pub(super) fn drain_sooner(
        &mut self,
        id: WorkerId,
        until: Instant,
        interrupted: bool,
        now: Instant,
    ) {
        let grace = self.settings.grace;
        let deadline = until.min(now + grace + DRAIN_MARGIN);
        let state = State::Draining { deadline };
        if deadline < until && grace < self.settings.recycle.grace {
            let drain = Drain::stopping(grace, Duration::ZERO, interrupted);
            self.set(id, state, Action::Drain(id, drain));
        } else if let Some(worker) = self.worker(id) {
            worker.state = state;
        }
    }

    /// Its place or the server goes on: connections move to another worker.
    pub(super) fn drain_to(&mut self, id: WorkerId, other: Option<WorkerId>, now: Instant) {
        let grace = self.settings.recycle.grace;
        let deadline = now + grace + DRAIN_MARGIN;
        let action = Action::HandOver(id, other, Drain::recycling(grace));
        self.set(id, State::Draining { deadline }, action);
    }

    /// Its place is empty until it has gone, and no other worker serves.
    pub(super) fn drain_alone(&mut self, id: WorkerId, now: Instant) {
        let drain = Drain::blocking();
        let deadline = now + drain.requests + self.settings.grace + DRAIN_MARGIN;
        let action = Action::HandOver(id, None, drain);
        self.set(id, State::Draining { deadline }, action);
    }

    pub(super) fn drain_to_others(&mut self, id: WorkerId, now: Instant) {
        let other = self.other_ready(id);
        self.drain_to(id, other, now);
    }

    /// A worker that serves besides this one.
    pub(super) fn other_ready(&self, id: WorkerId) -> Option<WorkerId> {
        let mut workers = self.workers.iter();
        let other = workers.find(|worker| worker.is_ready() && worker.id != id);
        other.map(|other| other.id)
    }

    /// A ready worker ends at once, in the way that the action says.
    pub(super) fn quit(&mut self, id: WorkerId, way: Action, now: Instant) {
        let deadline = now + QUIT_PATIENCE;
        self.set(id, State::Quitting { deadline }, way);
    }

    /// Gives up a worker that is not ready yet and has nothing to drain.
    pub(super) fn abandon(&mut self, id: WorkerId, now: Instant) {
        let deadline = now + QUIT_PATIENCE;
        self.set(id, State::Abandoned { deadline }, Action::Quit(id));
    }

    pub(super) fn kill(&mut self, id: WorkerId) {
        let is_starting = |worker: &mut Worker| matches!(worker.state, State::Starting { .. });
        let was_starting = self.worker(id).is_some_and(is_starting);
        self.set(id, State::Killed { was_starting }, Action::Kill(id));
    }
}
