//! Workers that have ended, and what follows.

use std::time::{Duration, Instant};

use super::stopping::Urgency;
use super::swap::Role;
use super::worker::{State, Worker};
use super::{Notice, Phase, Pool, WorkerId};
use crate::exit::Exit;
use crate::supervisor::restart::Verdict;
use crate::sys::process::Ending;

impl Pool {
    pub(super) fn ended(&mut self, id: WorkerId, ending: Ending, now: Instant) {
        let Some(at) = self.workers.iter().position(|worker| worker.id == id) else {
            return;
        };
        let ended = self.workers.remove(at);
        let failed = ending != Ending::Code(0);
        if failed
            && matches!(
                ended.state,
                State::Draining { .. } | State::Dozing { .. } | State::Quitting { .. }
            )
        {
            self.say(Notice::DiedStopping(id, ending));
        }
        if self.ended_in_swap(&ended, ending, now) == Role::Settled {
            return;
        }
        if ended.is_dozing() {
            return self.dozed_off(&ended, now);
        }
        let served = match ended.state {
            State::Abandoned { .. }
            | State::Draining { .. }
            | State::Dozing { .. }
            | State::Quitting { .. }
            | State::Killed {
                was_starting: false,
            } => return,
            State::Ready { since, .. } => Some(now - since),
            State::Waiting { .. } | State::Starting { .. } | State::Killed { .. } => None,
        };
        match self.phase {
            Phase::Stopping { .. } | Phase::Ended => {}
            _ if self.is_waking() && served.is_none() => self.failed_to_wake(id, ending, now),
            _ if self.must_change(served) => self.await_change(id, ending),
            Phase::Opening => {
                self.say(Notice::NeverReady(id, ending));
                self.stop(verdict_of(ending), Urgency::Prompt, now);
            }
            Phase::Serving => self.respawn(&ended, ending, served, now),
        }
    }

    pub(super) fn respawn(
        &mut self,
        dead: &Worker,
        ending: Ending,
        served: Option<Duration>,
        now: Instant,
    ) {
        let is_served = self.workers.iter().any(Worker::is_ready);
        let mut restart = dead.restart;
        let delay = match restart.died(served) {
            Verdict::After(delay) => delay,
            // The others still serve: better some workers than none.
            Verdict::CannotStart(_) if is_served => restart.delay(),
            Verdict::CannotStart(starts) => {
                self.say(Notice::CannotStart(dead.id, ending, starts));
                return self.stop(Exit::CouldNotStart, Urgency::Prompt, now);
            }
        };
        self.say(Notice::Died(dead.id, ending, delay));
        let new = self.add(now + delay);
        if let Some(new) = self.worker(new) {
            new.restart = restart;
        }
    }

    /// A successor is the only one in its place now.
    pub(super) fn lose_predecessor(&mut self, id: WorkerId) {
        let asked = self.settings.startup;
        if let Some(Worker {
            state: State::Starting { deadline, .. },
            ..
        }) = self.worker(id)
            && asked.is_none()
        {
            *deadline = None;
        }
    }
}

/// The server's exit code when a worker ends before the first one was ready.
fn verdict_of(ending: Ending) -> Exit {
    match ending {
        Ending::Code(1) => Exit::ImportRaised,
        _ => Exit::CouldNotStart,
    }
}
