//! Replacing healthy workers: when one is due, and how one follows the other.
//!
//! A worker becomes due for a [`Reason`] and stays due until it is replaced. One swap happens at a
//! time, from its decision until the old worker is gone, so that there is never more than one worker
//! too many in memory:
//!
//! ```text
//! overlap     Deciding ─▶ Starting ─▶ Draining ─▶ done     the successor first
//! sequential  Deciding ─▶ Emptying ─▶ Refilling ─▶ done    the old one's end first
//! ```
//!
//! A successor that fails beside an old worker changes nothing, and is tried again later. One that
//! fails where the old worker has gone is a dead worker like any other.

use std::time::{Duration, Instant};

use super::worker::{State, Watch, Worker};
use super::{Action, Notice, Pool, Reason, Recycled, Weighing, WorkerId};
use crate::config::RecycleMode;
use crate::control::Account;
use crate::supervisor::restart::Backoff;
use crate::sys::process::Ending;

/// How often workers are weighed: soon enough for a leak of tens of megabytes a second; reading a
/// process's memory map takes a millisecond or less.
const WEIGH_EVERY: Duration = Duration::from_secs(1);

/// So many samples in a row make a worker too heavy. One may be the peak of a single request; a
/// longer peak costs a swap, which nobody notices.
const SAMPLES_OVER: u8 = 2;

/// A successor that failed. The old worker still serves, and each attempt logs a traceback and
/// takes a core for as long as the import takes: less eager than replacing the dead.
const RETRY: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

/// The fraction of the golden ratio, times 2⁶⁴.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The swap that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Swap {
    old: WorkerId,
    stage: Stage,
    reason: Reason,
    began: Instant,
    /// What is known of the old worker.
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
    /// The old one drains, and nobody is in its place.
    Emptying,
    /// The successor starts where the old one was.
    Refilling { new: WorkerId },
}

/// What a worker's end was to the swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Role {
    /// The swap accounts for it.
    Settled,
    /// It is to be judged as if there were no swap.
    Bystander,
}

/// Which swap comes next.
#[derive(Debug, Default)]
pub(super) struct Recycling {
    swap: Option<Swap>,
    /// Successors that failed in a row.
    failures: u32,
    retry_at: Option<Instant>,
    weigh_at: Option<Instant>,
    /// Workers that were given a time to live.
    lives: u64,
    has_warned: bool,
}

impl Pool {
    /// Every worker that has begun to import is due: what it imported may be outdated.
    pub(super) fn recycle_all(&mut self) {
        // Whoever asks may have mended what kept the successor from starting.
        self.recycling.retry_at = None;
        self.awaits_change = false;
        for worker in &mut self.workers {
            if matches!(worker.state, State::Starting { .. } | State::Ready { .. }) {
                worker.make_due(Reason::Signal);
            }
        }
    }

    pub(super) fn make_due(&mut self, id: WorkerId, reason: Reason) {
        if let Some(worker) = self.worker(id).filter(|worker| worker.is_ready()) {
            worker.make_due(reason);
        }
    }

    pub(super) fn served(&mut self, id: WorkerId, account: Account) {
        if let Some(worker) = self.worker(id) {
            worker.account = Some(account);
        }
    }

    /// When a worker that is ready now has lived long enough.
    ///
    /// Lives are shortened and never prolonged: a TTL is a promise. By how much is not left to
    /// chance: multiples of the golden ratio stay apart from each other, so that the workers of one
    /// server do not line up, and the seed keeps several servers apart.
    pub(super) fn expiry(&mut self, now: Instant) -> Option<Instant> {
        let recycle = &self.settings.recycle;
        let ttl = recycle.ttl?;
        let step = self.recycling.lives.wrapping_mul(GOLDEN);
        self.recycling.lives += 1;
        let part = self.settings.seed.wrapping_add(step) as f64 / 2f64.powi(64);
        let shortened = f64::from(recycle.ttl_jitter) / 100.0 * part;
        now.checked_add(ttl.mul_f64(1.0 - shortened))
    }

    /// A worker has become ready.
    pub(super) fn ready_in_swap(&mut self, id: WorkerId, now: Instant) {
        let is_watched = self.settings.recycle.max_rss.is_some();
        let mut is_weighed = is_watched;
        if let Some(swap) = &mut self.recycling.swap {
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
        if is_watched && self.recycling.weigh_at.is_none() {
            self.recycling.weigh_at = Some(now + WEIGH_EVERY);
        }
    }

    /// Makes workers due whose time has come, and has them weighed.
    pub(super) fn watch(&mut self, now: Instant) {
        let weighs = self.recycling.weigh_at.is_some_and(|at| at <= now);
        if weighs {
            self.recycling.weigh_at = Some(now + WEIGH_EVERY);
        }
        for worker in &mut self.workers {
            let State::Ready { expires, .. } = worker.state else {
                continue;
            };
            if expires.is_some_and(|expires| expires <= now) {
                worker.make_due(Reason::Ttl);
            }
            if weighs {
                self.actions.push(Action::Weigh(worker.id));
            }
        }
    }

    /// A worker was weighed.
    pub(super) fn weighed(&mut self, id: WorkerId, weighing: Weighing, now: Instant) {
        if let Some(weight) = weighing.own {
            self.judge_weight(id, weight);
        }
        let Some(swap) = self.recycling.swap else {
            return;
        };
        match swap.stage {
            Stage::Deciding if swap.old == id => self.begin(swap, weighing, now),
            Stage::Refilling { new } if new == id => self.finish(swap, Some(new), now),
            _ => {}
        }
    }

    fn judge_weight(&mut self, id: WorkerId, weight: u64) {
        let limit = self.settings.recycle.max_rss.unwrap_or(u64::MAX);
        let has_warned = self.recycling.has_warned;
        let Some(worker) = self.worker(id) else {
            return;
        };
        worker.weight = Some(weight);
        let is_over = weight > limit;
        worker.watch = match worker.watch {
            Watch::Fresh if is_over => Watch::Exempt,
            Watch::Over(times) if is_over => Watch::Over(times.saturating_add(1)),
            Watch::Exempt => Watch::Exempt,
            Watch::Fresh | Watch::Over(_) => Watch::Over(0),
        };
        match worker.watch {
            Watch::Over(times) if times >= SAMPLES_OVER => worker.make_due(Reason::MaxRss),
            Watch::Exempt if !has_warned => {
                self.recycling.has_warned = true;
                self.say(Notice::HeavyFromTheStart(id, weight));
            }
            _ => {}
        }
    }

    /// Starts the next swap if one is due and none is under way.
    pub(super) fn swap_next(&mut self, now: Instant) {
        let waits = self.recycling.retry_at.is_some_and(|at| now < at);
        if self.recycling.swap.is_some() || waits {
            return;
        }
        let due = |worker: &Worker| match (worker.state, worker.due) {
            (State::Ready { since, .. }, Some(reason)) => Some((worker.id, since, reason)),
            _ => None,
        };
        let Some((old, since, reason)) = self.workers.iter().find_map(due) else {
            return;
        };
        self.recycling.retry_at = None;
        self.recycling.swap = Some(Swap {
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
            RecycleMode::Sequential => {
                self.drain_to_others(swap.old, now);
                Stage::Emptying
            }
        };
        self.recycling.swap = Some(swap);
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
        self.recycling.swap = None;
        self.recycling.failures = 0;
        self.recycling.retry_at = None;
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
        let Some(mut swap) = self.recycling.swap else {
            return Role::Bystander;
        };
        let is_old = swap.old == ended.id;
        if is_old {
            swap.account = ended.account;
        }
        match swap.stage {
            Stage::Starting { new } if new == ended.id && swap.reason == Reason::Change => {
                self.recycling.swap = None;
                self.keep_until_change(swap.old);
                self.say(Notice::AwaitsChange(new, ending));
                Role::Settled
            }
            Stage::Starting { new } if new == ended.id => {
                let pause = RETRY.pause(self.recycling.failures);
                self.recycling.failures = self.recycling.failures.saturating_add(1);
                self.recycling.retry_at = Some(now + pause);
                self.recycling.swap = None;
                self.say(Notice::SuccessorFailed(new, ending, pause));
                Role::Settled
            }
            // The successor is on its way already, and now as the only one in its place.
            Stage::Starting { new } if is_old => {
                self.recycling.swap = None;
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
                self.recycling.swap = Some(swap);
                Role::Bystander
            }
            Stage::Emptying if is_old => {
                let new = self.add(now);
                swap.stage = Stage::Refilling { new };
                self.recycling.swap = Some(swap);
                Role::Settled
            }
            Stage::Deciding if is_old => {
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
        self.recycling.retry_at = None;
        let Some(swap) = self.recycling.swap else {
            return;
        };
        match swap.stage {
            Stage::Starting { new } | Stage::Refilling { new } => {
                self.forget_swap();
                self.give_up(new, now);
            }
            Stage::Deciding | Stage::Draining { .. } => self.forget_swap(),
            // Whoever comes into the empty place has the new source.
            Stage::Emptying => {}
        }
    }

    /// Everything stops, or what the swap was about is judged without it.
    pub(super) fn forget_swap(&mut self) {
        self.recycling.swap = None;
    }

    /// The worker that starts while the one whose place it is to take still serves.
    pub(super) fn successor(&self) -> Option<WorkerId> {
        match self.recycling.swap?.stage {
            Stage::Starting { new } => Some(new),
            _ => None,
        }
    }

    /// Whether a place is empty only until the old worker has drained.
    pub(super) fn keeps_a_place(&self) -> bool {
        let swap = &self.recycling.swap;
        swap.is_some_and(|swap| swap.stage == Stage::Emptying)
    }

    /// Lets the old worker drain without a successor, if it drains before there is one.
    pub(super) fn give_up_empty_place(&mut self) -> bool {
        match &mut self.recycling.swap {
            Some(swap) if swap.stage == Stage::Emptying => {
                swap.stage = Stage::Draining { new: None };
                true
            }
            _ => false,
        }
    }

    /// A worker's place is given up, and what the swap has to do with it.
    pub(super) fn leave_swap(&mut self, id: WorkerId, now: Instant) {
        let Some(swap) = self.recycling.swap else {
            return;
        };
        match swap.stage {
            // Nobody succeeds it.
            Stage::Starting { new } if swap.old == id => {
                self.forget_swap();
                self.abandon(new, now);
            }
            Stage::Deciding if swap.old == id => self.forget_swap(),
            Stage::Refilling { new } if new == id => self.forget_swap(),
            _ => {}
        }
    }

    /// When something is due.
    pub(super) fn next_swap(&self) -> Option<Instant> {
        let ready = self.workers.iter().filter_map(|worker| match worker.state {
            State::Ready { expires, .. } => Some((worker.due, expires)),
            _ => None,
        });
        let times = ready.filter_map(|(due, expires)| match due {
            None => expires,
            // Without a pause it waits for its turn, which another event brings.
            Some(_) => self.recycling.retry_at,
        });
        times.chain(self.recycling.weigh_at).min()
    }
}

#[cfg(test)]
impl Recycling {
    /// Whether the swap is about these workers only.
    pub(super) fn holds_only(&self, workers: &[WorkerId]) -> bool {
        let Some(swap) = &self.swap else { return true };
        let named = match swap.stage {
            Stage::Deciding | Stage::Emptying | Stage::Draining { new: None } => vec![swap.old],
            Stage::Starting { new } | Stage::Draining { new: Some(new) } => vec![swap.old, new],
            Stage::Refilling { new } => vec![new],
        };
        named.iter().all(|named| workers.contains(named))
    }
}
