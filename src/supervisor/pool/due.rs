//! When a healthy worker is due: its time is over, it has served its share or grown too heavy, or
//! somebody asks. It stays due until it is replaced, which is [`super::swap`].

use std::time::{Duration, Instant};

use super::worker::{State, Watch};
use super::{Action, Notice, Pool, Reason, WorkerId};
use crate::control::Account;

/// How often workers are weighed: soon enough for a leak of tens of megabytes a second; reading a
/// process's memory map takes a millisecond or less.
const WEIGH_EVERY: Duration = Duration::from_secs(1);

/// So many samples in a row make a worker too heavy. One may be the peak of a single request, and
/// after each but the last the worker gives back what was freed; a longer peak costs a swap, which
/// goes unnoticed.
const SAMPLES_OVER: u8 = 3;

/// The fraction of the golden ratio, times 2⁶⁴.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The facts besides the workers themselves.
#[derive(Debug, Default)]
pub(super) struct Due {
    weigh_at: Option<Instant>,
    /// Workers that were given a time to live.
    lives: u64,
    has_warned: bool,
}

impl Pool {
    /// Every worker that has begun to import is due: what it imported may be outdated.
    pub(super) fn recycle_all(&mut self, reason: Reason, now: Instant) {
        // The operator may have repaired the fault of the successor.
        self.swapping.retry_at = None;
        self.awaits_change = false;
        self.hope_again(now);
        for worker in &mut self.workers {
            // A worker with the order to sleep may still go on serving.
            if matches!(
                worker.state,
                State::Starting { .. } | State::Ready { .. } | State::Dozing { .. }
            ) {
                worker.make_due(reason);
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
        let step = self.due.lives.wrapping_mul(GOLDEN);
        self.due.lives += 1;
        let part = self.settings.seed.wrapping_add(step) as f64 / 2f64.powi(64);
        let shortened = f64::from(recycle.ttl_jitter) / 100.0 * part;
        now.checked_add(ttl.mul_f64(1.0 - shortened))
    }

    /// A worker is ready, and with `--max-rss` weighed from now on; whether it is.
    pub(super) fn begin_to_weigh(&mut self, now: Instant) -> bool {
        let is_watched = self.settings.recycle.max_rss.is_some();
        if is_watched {
            self.due.weigh_at.get_or_insert(now + WEIGH_EVERY);
        }
        is_watched
    }

    /// Makes workers due whose time has come, and has them weighed.
    pub(super) fn watch(&mut self, now: Instant) {
        let weighs = self.due.weigh_at.is_some_and(|at| at <= now);
        if weighs {
            self.due.weigh_at = Some(now + WEIGH_EVERY);
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

    /// Makes a worker due that is too heavy, in bytes, and was not from the start.
    pub(super) fn judge_weight(&mut self, id: WorkerId, weight: u64) {
        let limit = self.settings.recycle.max_rss.unwrap_or(u64::MAX);
        let has_warned = self.due.has_warned;
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
            Watch::Over(1..) if worker.is_ready() => self.actions.push(Action::GiveBack(id)),
            Watch::Exempt if !has_warned => {
                self.due.has_warned = true;
                self.say(Notice::HeavyFromTheStart(id, weight));
            }
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
            Some(_) => self.swapping.retry_at,
        });
        let winding = self.winds_down_until().map(|(_, until)| until);
        times.chain(self.due.weigh_at).chain(winding).min()
    }
}
