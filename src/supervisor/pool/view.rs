//! The pool as an operator sees it.

use std::time::Instant;

use super::worker::{State, Worker};
use super::{Phase, Pool, WorkerId};
use crate::operator::{Serving, Stage};

/// A worker as an operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Which one.
    pub id: WorkerId,
    /// How far it has come.
    pub stage: Stage,
    /// Since when it is ready, or starts.
    pub since: Option<Instant>,
}

impl Pool {
    /// How many workers there should be.
    #[must_use]
    pub fn wanted(&self) -> usize {
        self.settings.workers
    }

    /// How the application is.
    #[must_use]
    pub fn serving(&self) -> Serving {
        match self.phase {
            Phase::Opening => Serving::Starting,
            Phase::Serving if self.is_waking() => Serving::Waking,
            Phase::Serving if self.needed() == 0 => Serving::Asleep,
            Phase::Serving => Serving::Serving,
            Phase::Stopping { .. } | Phase::Ended => Serving::Stopping,
        }
    }

    /// Whether workers wait to be replaced, or are.
    #[must_use]
    pub fn is_replacing(&self) -> bool {
        let is_due = |worker: &Worker| worker.is_ready() && worker.due.is_some();
        self.is_swapping() || self.workers.iter().any(is_due)
    }

    /// Its workers, the oldest first.
    pub fn views(&self) -> impl Iterator<Item = View> {
        self.workers.iter().map(Worker::view)
    }
}

impl Worker {
    fn view(&self) -> View {
        let (stage, since) = match self.state {
            State::Waiting { .. } => (Stage::Waiting, None),
            State::Starting { since, .. } => (Stage::Starting, Some(since)),
            State::Ready { since, .. } => (Stage::Ready, Some(since)),
            State::Draining { .. } | State::Dozing { .. } => (Stage::Draining, None),
            State::Abandoned { .. } | State::Quitting { .. } | State::Killed { .. } => {
                (Stage::Ending, None)
            }
        };
        View {
            id: self.id,
            stage,
            since,
        }
    }
}
