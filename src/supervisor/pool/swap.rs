//! How one worker follows another that is due.
//!
//! One swap happens at a time, from its decision until the old worker is gone, so that there is never
//! more than one worker too many in memory:
//!
//! ```text
//! overlap     Deciding ─▶ Starting ─▶ Draining ─▶ done                   the successor first
//! sequential  Deciding ─▶ (Winding) ─▶ Emptying ─▶ Refilling ─▶ done     the old one's end first
//! ```
//!
//! In a sequential swap of the only worker that serves, every client waits from the moment in which it
//! stops accepting until its successor is ready. It therefore *winds down* first: it serves on until
//! long requests have ended, and only requests that are left then have little time.
//!
//! A successor that fails beside an old worker changes nothing, and is tried again later. One that
//! fails where the old worker has gone is a dead worker like any other.

use std::time::{Duration, Instant};

use super::worker::{State, Worker};
use super::{Action, Notice, Pool, Reason, Recycled, Weighing, WorkerId};
use crate::config::RecycleMode;
use crate::control::Account;
use crate::supervisor::restart::Backoff;
use crate::sys::process::Ending;

/// A successor that failed. The old worker still serves, and each attempt logs a traceback and
/// takes a core for as long as the import takes: less eager than replacing the dead.
const RETRY: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

/// How long past its time a worker is waited for that should have wound down: it also tells event
/// streams and WebSockets to end, and may be busy with a request.
const WIND_DOWN_MARGIN: Duration = Duration::from_secs(2);

/// The swap that is under way.
#[derive(Debug, Clone, Copy)]
struct Swap {
    old: WorkerId,
    stage: Stage,
    reason: Reason,
    began: Instant,
    /// The figures of the old worker.
    age: Duration,
    weight: Option<u64>,
    account: Option<Account>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The old one is being weighed, which may say how to go on.
    Deciding,
    /// The successor starts beside the old one, which serves.
    Starting { new: WorkerId },
    /// The old one drains; the successor serves, unless it has died or is not wanted any more.
    Draining { new: Option<WorkerId> },
    /// The old one serves on until long requests have ended; until then at the latest.
    Winding { until: Instant },
    /// The old one drains, and no worker is in its place.
    Emptying,
    /// The successor starts where the old one was.
    Refilling { new: WorkerId },
}

/// The part of an ended worker in the swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Role {
    /// The swap accounts for it.
    Settled,
    /// It should be handled as if there were no swap.
    Bystander,
}

/// Which swap there is, and when there may be another.
#[derive(Debug, Default)]
pub(super) struct Swapping {
    swap: Option<Swap>,
    /// Successors that failed in a row.
    failures: u32,
    pub(super) retry_at: Option<Instant>,
}

impl Swapping {
    /// Whether a swap is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.swap.is_some()
    }
}

impl Pool {
    /// Whether a worker is being replaced.
    pub fn is_swapping(&self) -> bool {
        self.swapping.swap.is_some()
    }

    /// A worker has become ready.
    pub(super) fn ready_in_swap(&mut self, id: WorkerId, now: Instant) {
        let mut is_weighed = self.begin_to_weigh(now);
        if let Some(swap) = &mut self.swapping.swap {
            let old = swap.old;
            match swap.stage {
                Stage::Starting { new } if new == id => {
                    swap.stage = Stage::Draining { new: Some(new) };
                    is_weighed = true;
                    let (reason, began) = (swap.reason, swap.began);
                    self.drain_to(old, Some(new), now);
                    if reason == Reason::Change {
                        self.reloaded(now - began);
                    }
                }
                Stage::Refilling { new } if new == id => is_weighed = true,
                _ => {}
            }
        }
        if is_weighed {
            self.actions.push(Action::Weigh(id));
        }
    }

    /// A worker was weighed.
    pub(super) fn weighed(&mut self, id: WorkerId, weighing: Weighing, now: Instant) {
        if let Some(weight) = weighing.own {
            self.judge_weight(id, weight);
        }
        let Some(swap) = self.swapping.swap else {
            return;
        };
        match swap.stage {
            Stage::Deciding if swap.old == id => self.begin(swap, weighing, now),
            Stage::Refilling { new } if new == id => self.finish(swap, Some(new), now),
            _ => {}
        }
    }

    /// Starts the next swap if one is due and none is under way.
    pub(super) fn swap_next(&mut self, now: Instant) {
        let waits = self.swapping.retry_at.is_some_and(|at| now < at);
        if self.swapping.swap.is_some() || waits {
            return;
        }
        let due = |worker: &Worker| match (worker.state, worker.due) {
            (State::Ready { since, .. }, Some(reason)) => Some((worker.id, since, reason)),
            _ => None,
        };
        let Some((old, since, reason)) = self.workers.iter().find_map(due) else {
            return;
        };
        self.swapping.retry_at = None;
        self.swapping.swap = Some(Swap {
            old,
            stage: Stage::Deciding,
            reason,
            began: now,
            age: now - since,
            weight: None,
            account: None,
        });
        self.actions.push(Action::Weigh(old));
    }

    fn begin(&mut self, mut swap: Swap, weighing: Weighing, now: Instant) {
        swap.weight = weighing.own;
        swap.stage = match self.mode(swap.old, weighing) {
            RecycleMode::Overlap | RecycleMode::Auto => Stage::Starting { new: self.add(now) },
            RecycleMode::Sequential if self.other_ready(swap.old).is_some() => {
                self.drain_to_others(swap.old, now);
                Stage::Emptying
            }
            RecycleMode::Sequential => {
                let within = self.settings.recycle.grace;
                self.actions.push(Action::WindDown(swap.old, within));
                let until = now + within + WIND_DOWN_MARGIN;
                Stage::Winding { until }
            }
        };
        self.swapping.swap = Some(swap);
    }

    /// The old worker has wound down, or has taken too long.
    pub(super) fn wound_down(&mut self, id: WorkerId, now: Instant) {
        if let Some(swap) = &mut self.swapping.swap
            && swap.old == id
            && matches!(swap.stage, Stage::Winding { .. })
        {
            swap.stage = Stage::Emptying;
            self.drain_alone(id, now);
        }
    }

    /// When the old worker is waited for no longer.
    pub(super) fn winds_down_until(&self) -> Option<(WorkerId, Instant)> {
        let swap = self.swapping.swap?;
        match swap.stage {
            Stage::Winding { until } => Some((swap.old, until)),
            _ => None,
        }
    }

    /// Overlapping is better where there is room for it. A successor is taken to need what the old
    /// worker has by now, which is seldom too little.
    fn mode(&mut self, old: WorkerId, weighing: Weighing) -> RecycleMode {
        match (self.settings.recycle.mode, weighing) {
            (
                RecycleMode::Auto,
                Weighing {
                    own: Some(own),
                    room: Some(room),
                },
            ) if room < own => {
                self.say(Notice::NoRoom(old, own, room));
                RecycleMode::Sequential
            }
            (RecycleMode::Auto, _) => RecycleMode::Overlap,
            (mode, _) => mode,
        }
    }

    fn finish(&mut self, swap: Swap, new: Option<WorkerId>, now: Instant) {
        let after = new.and_then(|new| self.worker(new)?.weight);
        self.swapping.swap = None;
        self.swapping.failures = 0;
        self.swapping.retry_at = None;
        self.say(Notice::Recycled(Recycled {
            old: swap.old,
            new,
            reason: swap.reason,
            age: swap.age,
            account: swap.account,
            before: swap.weight,
            after,
            took: now - swap.began,
        }));
    }

    /// A worker's process has ended; what that means for the swap.
    pub(super) fn ended_in_swap(&mut self, ended: &Worker, ending: Ending, now: Instant) -> Role {
        let Some(mut swap) = self.swapping.swap else {
            return Role::Bystander;
        };
        let is_old = swap.old == ended.id;
        if is_old {
            swap.account = ended.account;
        }
        match swap.stage {
            Stage::Starting { new } if new == ended.id && swap.reason == Reason::Change => {
                self.swapping.swap = None;
                self.keep_until_change(swap.old);
                self.say(Notice::AwaitsChange(new, ending));
                Role::Settled
            }
            Stage::Starting { new } if new == ended.id => {
                let pause = RETRY.pause(self.swapping.failures);
                self.swapping.failures = self.swapping.failures.saturating_add(1);
                self.swapping.retry_at = Some(now + pause);
                self.swapping.swap = None;
                self.say(Notice::SuccessorFailed(new, ending, pause));
                Role::Settled
            }
            // The successor is on its way already, and now as the only one in its place.
            Stage::Starting { new } if is_old => {
                self.swapping.swap = None;
                self.lose_predecessor(new);
                self.say(Notice::Died(ended.id, ending, Duration::ZERO));
                Role::Settled
            }
            Stage::Draining { new } if is_old => {
                self.finish(swap, new, now);
                Role::Settled
            }
            Stage::Draining { new } if new == Some(ended.id) => {
                swap.stage = Stage::Draining { new: None };
                self.swapping.swap = Some(swap);
                Role::Bystander
            }
            Stage::Emptying if is_old => {
                let new = self.add(now);
                swap.stage = Stage::Refilling { new };
                self.swapping.swap = Some(swap);
                Role::Settled
            }
            Stage::Deciding | Stage::Winding { .. } if is_old => {
                self.forget_swap();
                Role::Bystander
            }
            Stage::Refilling { new } if new == ended.id => {
                self.forget_swap();
                Role::Bystander
            }
            _ => Role::Bystander,
        }
    }

    /// The source has changed while it went on: what starts is outdated. The old worker, should it
    /// drain already, needs no more attention.
    pub(super) fn interrupt_swap(&mut self, now: Instant) {
        self.swapping.retry_at = None;
        let Some(swap) = self.swapping.swap else {
            return;
        };
        match swap.stage {
            Stage::Starting { new } | Stage::Refilling { new } => {
                self.forget_swap();
                self.give_up(new, now);
            }
            Stage::Deciding | Stage::Winding { .. } | Stage::Draining { .. } => self.forget_swap(),
            // The worker that takes the empty place imports the new source.
            Stage::Emptying => {}
        }
    }

    /// Everything stops, or what the swap was about is judged without it.
    pub(super) fn forget_swap(&mut self) {
        self.swapping.swap = None;
    }

    /// The worker that starts while the one that it replaces still serves.
    pub(super) fn successor(&self) -> Option<WorkerId> {
        match self.swapping.swap?.stage {
            Stage::Starting { new } => Some(new),
            _ => None,
        }
    }

    /// Whether a place is empty only until the old worker has drained.
    pub(super) fn keeps_a_place(&self) -> bool {
        let swap = &self.swapping.swap;
        swap.is_some_and(|swap| swap.stage == Stage::Emptying)
    }

    /// Lets the old worker drain without a successor, if it drains before there is one.
    pub(super) fn give_up_empty_place(&mut self) -> bool {
        match &mut self.swapping.swap {
            Some(swap) if swap.stage == Stage::Emptying => {
                swap.stage = Stage::Draining { new: None };
                true
            }
            _ => false,
        }
    }

    /// A worker's place is given up, and what the swap has to do with it.
    pub(super) fn leave_swap(&mut self, id: WorkerId, now: Instant) {
        let Some(swap) = self.swapping.swap else {
            return;
        };
        match swap.stage {
            // It has no successor.
            Stage::Starting { new } if swap.old == id => {
                self.forget_swap();
                self.abandon(new, now);
            }
            Stage::Deciding | Stage::Winding { .. } if swap.old == id => self.forget_swap(),
            Stage::Refilling { new } if new == id => self.forget_swap(),
            _ => {}
        }
    }
}

#[cfg(test)]
impl Swapping {
    /// Whether the swap is about these workers only.
    pub(super) fn holds_only(&self, workers: &[WorkerId]) -> bool {
        let Some(swap) = &self.swap else { return true };
        let named = match swap.stage {
            Stage::Deciding
            | Stage::Winding { .. }
            | Stage::Emptying
            | Stage::Draining { new: None } => vec![swap.old],
            Stage::Starting { new } | Stage::Draining { new: Some(new) } => vec![swap.old, new],
            Stage::Refilling { new } => vec![new],
        };
        named.iter().all(|named| workers.contains(named))
    }
}
