//! The end: the orders to every worker, depending on how urgent it is.

use std::time::Instant;

use super::worker::State;
use super::{Action, Notice, Phase, Pool, WorkerId};
use crate::exit::Exit;

/// How the workers are stopped; each is more urgent than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// The first signal: finish what is in flight.
    Graceful,
    /// The same, from a terminal, where a person waits.
    Interrupted,
    /// The server has failed: nothing to wait for, but a starting worker may end in order.
    Prompt,
    /// The second signal: lifespan shutdown is left out, and a worker that cannot be told is killed.
    AtOnce,
    /// The third.
    Kill,
}

impl Pool {
    /// Tells every worker to stop.
    pub(super) fn stop(&mut self, exit: Exit, urgency: Urgency, now: Instant) {
        // The first reason to stop is the one that counts.
        let exit = match self.phase {
            Phase::Stopping { exit, .. } => exit,
            _ => exit,
        };
        self.phase = Phase::Stopping { exit, urgency };
        self.forget_swap();
        self.stop_waking();
        self.workers
            .retain(|worker| !matches!(worker.state, State::Waiting { .. }));
        for id in self.ids() {
            self.stop_worker(id, urgency, now);
        }
    }

    fn stop_worker(&mut self, id: WorkerId, urgency: Urgency, now: Instant) {
        use Urgency::{AtOnce, Graceful, Interrupted, Kill, Prompt};
        let Some(worker) = self.worker(id) else {
            return;
        };
        match (worker.state, urgency) {
            // A worker with the order to sleep may be about to refuse.
            (State::Ready { .. } | State::Dozing { .. }, Graceful) => self.drain(id, false, now),
            (State::Ready { .. } | State::Dozing { .. }, Interrupted) => {
                self.drain(id, true, now);
            }
            (State::Ready { .. } | State::Dozing { .. } | State::Draining { .. }, Prompt) => {
                self.quit(id, Action::Quit(id), now);
            }
            (
                State::Ready { .. }
                | State::Dozing { .. }
                | State::Draining { .. }
                | State::Quitting { .. },
                AtOnce,
            ) => self.quit(id, Action::Leave(id), now),
            (State::Starting { .. }, Graceful | Interrupted | Prompt) => self.abandon(id, now),
            (State::Starting { .. } | State::Abandoned { .. }, AtOnce | Kill) => {
                self.say(Notice::Deaf(id));
                self.kill(id);
            }
            (
                State::Ready { .. }
                | State::Dozing { .. }
                | State::Draining { .. }
                | State::Quitting { .. },
                Kill,
            ) => self.kill(id),
            // One that is replaced has more time than one whose server stops.
            (State::Draining { deadline }, Graceful | Interrupted) => {
                self.drain_sooner(id, deadline, urgency == Interrupted, now);
            }
            // It has been told already.
            (State::Abandoned { .. }, Graceful | Interrupted | Prompt)
            | (State::Quitting { .. }, Graceful | Interrupted | Prompt)
            | (State::Waiting { .. } | State::Killed { .. }, _) => {}
        }
    }

    /// The urgency of a signal that means `least` when it is the first.
    pub(super) fn more_urgent(&self, least: Urgency) -> Urgency {
        match self.phase {
            Phase::Stopping { urgency, .. } if urgency >= Urgency::AtOnce => Urgency::Kill,
            Phase::Stopping { .. } => Urgency::AtOnce,
            _ => least,
        }
    }
}
