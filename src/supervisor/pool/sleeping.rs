//! Sleep: an application without use has no worker.
//!
//! ```text
//! Awake ─▶ FallingAsleep ─▶ Asleep ─▶ Waking ─▶ Awake
//!               │  ╰──────────────────▶ │  ▲
//!               ╰─▶ Awake               ▼  │
//!                                    Refusing
//! ```
//!
//! Workers report when they are idle and when they are no longer. Once all of them are idle, and none
//! should be replaced, they receive the order to sleep: they drain, and the supervisor keeps their connections.
//! A worker that has been given a request in the meantime answers that it is busy, and goes on. The
//! first byte on a connection is a *knock*. It wakes the application, also while its old workers still
//! drain, unless workers are replaced one after the other.
//!
//! A start that fails while clients wait is tried again once. After that they are answered with 503,
//! and only the next knock, after a pause, makes another attempt. A start that takes longer than
//! clients should wait goes on without them.

use std::time::{Duration, Instant};

use super::worker::{State, Worker};
use super::{Action, Asleep, Cause, DRAIN_MARGIN, Notice, Phase, Pool, WorkerId};
use crate::config::RecycleMode;
use crate::control::Drain;
use crate::supervisor::restart::Backoff;
use crate::sys::process::Ending;

/// The pauses after attempts to wake that have failed: an attempt costs what a start costs, and logs a
/// traceback.
const RETRY: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

/// When clients should come back whose worker is still starting: it may be ready at any moment.
const LATE: Duration = Duration::from_secs(5);

/// How the application stands to sleep.
#[derive(Debug, Default)]
pub(super) struct Sleeping {
    rest: Rest,
    /// Attempts to wake that have failed in a row.
    failures: u32,
    /// These are hours in which it should be awake.
    keeps_awake: bool,
    /// The supervisor may hold connections.
    holds: bool,
    /// It has begun asleep, and this has not been logged.
    is_new: bool,
    /// When the template has outlived its last worker for long enough.
    template_until: Option<Instant>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Rest {
    #[default]
    Awake,
    /// All workers have been told to sleep; what is known of those that have ended.
    FallingAsleep {
        ended: Asleep,
        wakes: Option<Cause>,
    },
    Asleep,
    Waking(Wake),
    /// The last attempts to wake failed.
    Refusing {
        retry_at: Instant,
    },
}

#[derive(Debug, Clone, Copy)]
struct Wake {
    cause: Cause,
    began: Instant,
    /// Until when clients wait.
    patience: Instant,
    is_late: bool,
    /// One start has failed already.
    has_failed: bool,
}

impl Sleeping {
    /// Awake, or asleep before there was a worker.
    pub(super) fn from_the_start(is_asleep: bool) -> Self {
        Self {
            rest: match is_asleep {
                true => Rest::Asleep,
                false => Rest::Awake,
            },
            holds: is_asleep,
            is_new: is_asleep,
            ..Self::default()
        }
    }
}

impl Pool {
    /// How many workers there should be now.
    pub(super) fn needed(&self) -> usize {
        match self.sleeping.rest {
            Rest::Awake | Rest::Waking(_) => self.settings.workers,
            Rest::FallingAsleep { .. } | Rest::Asleep | Rest::Refusing { .. } => 0,
        }
    }

    pub(super) fn is_waking(&self) -> bool {
        matches!(self.sleeping.rest, Rest::Waking(_))
    }

    /// A worker has had nothing to do for the time.
    pub(super) fn idle(&mut self, id: WorkerId, now: Instant) {
        if let Some(worker) = self.worker(id).filter(|worker| worker.is_ready()) {
            worker.idle = true;
        }
        self.sleep_if_idle(now);
    }

    /// A worker has something to do again. One with the order to sleep goes on serving.
    pub(super) fn busy(&mut self, id: WorkerId) {
        let Some(worker) = self.worker(id) else {
            return;
        };
        worker.idle = false;
        let State::Dozing { since, expires, .. } = worker.state else {
            return;
        };
        worker.state = State::Ready { since, expires };
        if !matches!(self.sleeping.rest, Rest::Awake) {
            self.sleeping.rest = Rest::Awake;
            self.actions.push(Action::Deliver(id));
            // Those that drain already are followed by others; should they refuse, too, there is one
            // too many, and it is given up.
        }
    }

    /// These are hours in which it should be awake, or no longer.
    pub(super) fn hours(&mut self, keeps_awake: bool, now: Instant) {
        self.sleeping.keeps_awake = keeps_awake;
        if keeps_awake {
            self.wake(Cause::Hours, now);
        } else {
            self.sleep_if_idle(now);
        }
    }

    /// Sleeps if all workers are idle, and nothing else should be done with them.
    pub(super) fn sleep_if_idle(&mut self, now: Instant) {
        let is_idle = |worker: &Worker| worker.idle && worker.due.is_none();
        if !self.sleeping.keeps_awake && self.all_serve(is_idle) {
            self.lie_down(now);
        }
    }

    /// Sleeps by order; workers with open requests will refuse.
    pub(super) fn sleep_now(&mut self, now: Instant) {
        if self.may_sleep() {
            self.lie_down(now);
        }
    }

    /// Whether it has no worker before the first request.
    #[must_use]
    pub fn begins_asleep(&self) -> bool {
        self.sleeping.is_new
    }

    /// Whether these are hours in which it should be awake.
    #[must_use]
    pub fn keeps_awake(&self) -> bool {
        self.sleeping.keeps_awake
    }

    /// Whether every worker serves, and none is being replaced.
    #[must_use]
    pub fn may_sleep(&self) -> bool {
        self.all_serve(|_| true)
    }

    /// Whether every worker serves and is such a one, and none is being replaced.
    fn all_serve(&self, is_such: impl Fn(&Worker) -> bool) -> bool {
        let is_quiet = self.phase == Phase::Serving
            && matches!(self.sleeping.rest, Rest::Awake)
            && !self.swapping.is_busy();
        let mut places = 0;
        is_quiet
            && self.places().all(|at| {
                places += 1;
                let worker = &self.workers[at];
                worker.is_ready() && is_such(worker)
            })
            && places == self.settings.workers
    }

    fn lie_down(&mut self, now: Instant) {
        let grace = self.settings.recycle.grace;
        let deadline = now + grace + DRAIN_MARGIN;
        let mut ended = Asleep::default();
        for id in self.ids() {
            let Some(State::Ready { since, expires }) = self.worker(id).map(|worker| worker.state)
            else {
                continue;
            };
            ended.age = ended.age.max(now - since);
            self.actions.push(Action::Weigh(id));
            let state = State::Dozing {
                since,
                expires,
                deadline,
            };
            self.set(id, state, Action::Sleep(id, Drain::recycling(grace)));
        }
        self.sleeping.holds = true;
        self.sleeping.rest = Rest::FallingAsleep { ended, wakes: None };
    }

    /// A worker with the order to sleep has ended.
    pub(super) fn dozed_off(&mut self, worker: &Worker, now: Instant) {
        let is_last = !self.workers.iter().any(Worker::is_dozing);
        let Rest::FallingAsleep { ended, wakes } = &mut self.sleeping.rest else {
            return;
        };
        ended.kept += worker.account.map_or(0, |account| account.handed_over);
        ended.given_back += worker.weight.unwrap_or(0);
        if !is_last || self.phase != Phase::Serving {
            return;
        }
        let (ended, wakes) = (*ended, *wakes);
        self.sleeping.rest = Rest::Asleep;
        let keeps = self.settings.keep_template;
        self.sleeping.template_until = keeps.and_then(|time| now.checked_add(time));
        self.say(Notice::Asleep(ended));
        if let Some(cause) = wakes {
            self.wake(cause, now);
        }
    }

    /// A client has sent something, or the hours or an operator want it awake.
    pub(super) fn wake(&mut self, cause: Cause, now: Instant) {
        match self.sleeping.rest {
            Rest::Awake => self.deliver_to_any(),
            Rest::FallingAsleep { ended, wakes } => {
                let in_order = self.settings.recycle.mode == RecycleMode::Sequential;
                if in_order && self.workers.iter().any(Worker::is_dozing) {
                    let wakes = wakes.or(Some(cause));
                    self.sleeping.rest = Rest::FallingAsleep { ended, wakes };
                } else {
                    self.begin_to_wake(cause, now);
                }
            }
            Rest::Asleep => self.begin_to_wake(cause, now),
            Rest::Waking(wake) if wake.is_late => self.actions.push(Action::Refuse(LATE)),
            Rest::Waking(_) => {}
            Rest::Refusing { retry_at } if now < retry_at && cause.is_client() => {
                self.actions.push(Action::Refuse(retry_at - now));
            }
            Rest::Refusing { .. } => self.begin_to_wake(cause, now),
        }
    }

    /// Something is still held while the application is awake.
    fn deliver_to_any(&mut self) {
        let ready = self.workers.iter().find(|worker| worker.is_ready());
        match ready.map(|worker| worker.id) {
            Some(id) => self.actions.push(Action::Deliver(id)),
            None => self.sleeping.holds = true,
        }
    }

    fn begin_to_wake(&mut self, cause: Cause, now: Instant) {
        self.sleeping.template_until = None;
        self.sleeping.rest = Rest::Waking(Wake {
            cause,
            began: now,
            patience: now + self.settings.wake_timeout,
            is_late: false,
            has_failed: false,
        });
    }

    /// A worker is ready: it gets what is held.
    pub(super) fn ready_after_sleep(&mut self, id: WorkerId, now: Instant) {
        if let Rest::Waking(wake) = self.sleeping.rest {
            self.sleeping.rest = Rest::Awake;
            self.sleeping.failures = 0;
            self.say(Notice::Awake(id, now - wake.began, wake.cause));
        }
        if std::mem::take(&mut self.sleeping.holds) {
            self.actions.push(Action::Deliver(id));
        }
    }

    /// A worker has ended before it was ready, and clients wait for it.
    pub(super) fn failed_to_wake(&mut self, id: WorkerId, ending: Ending, now: Instant) {
        let Rest::Waking(wake) = &mut self.sleeping.rest else {
            return;
        };
        if !std::mem::replace(&mut wake.has_failed, true) && !wake.is_late {
            self.say(Notice::Died(id, ending, Duration::ZERO));
            self.add(now);
            return;
        }
        let pause = RETRY.pause(self.sleeping.failures);
        self.sleeping.failures = self.sleeping.failures.saturating_add(1);
        self.sleeping.rest = Rest::Refusing {
            retry_at: now + pause,
        };
        self.say(Notice::WakeFailed(id, ending, pause));
        self.actions.push(Action::Refuse(pause));
        for id in self.ids() {
            self.give_up(id, now);
        }
    }

    /// The fault in the application may have been fixed.
    pub(super) fn hope_again(&mut self, now: Instant) {
        self.sleeping.failures = 0;
        if let Rest::Refusing { retry_at } = &mut self.sleeping.rest {
            *retry_at = (*retry_at).min(now);
        }
    }

    /// Everything stops: clients that wait for a worker do not get one.
    pub(super) fn stop_waking(&mut self) {
        if std::mem::take(&mut self.sleeping.holds) {
            self.actions.push(Action::Refuse(LATE));
        }
    }

    /// Does what is due.
    pub(super) fn watch_sleep(&mut self, now: Instant) {
        if std::mem::take(&mut self.sleeping.is_new) {
            self.actions.push(Action::Keep);
            self.say(Notice::BeginsAsleep);
        }
        if self
            .sleeping
            .template_until
            .is_some_and(|until| until <= now)
        {
            self.sleeping.template_until = None;
            self.actions.push(Action::DropTemplate);
        }
        match &mut self.sleeping.rest {
            Rest::Waking(wake) if !wake.is_late && wake.patience <= now => {
                wake.is_late = true;
                let waited = now - wake.began;
                self.say(Notice::WakesLate(waited));
                self.actions.push(Action::Refuse(LATE));
            }
            Rest::Refusing { retry_at } if self.sleeping.keeps_awake && *retry_at <= now => {
                self.begin_to_wake(Cause::Hours, now);
            }
            _ => {}
        }
    }

    /// When something is due.
    pub(super) fn next_of_sleep(&self) -> Option<Instant> {
        let of_rest = match self.sleeping.rest {
            Rest::Waking(wake) if !wake.is_late => Some(wake.patience),
            Rest::Refusing { retry_at } if self.sleeping.keeps_awake => Some(retry_at),
            _ => None,
        };
        of_rest
            .into_iter()
            .chain(self.sleeping.template_until)
            .min()
    }
}

impl Cause {
    /// Whether a client waits for an answer.
    fn is_client(self) -> bool {
        matches!(self, Self::Request | Self::KeptConnection)
    }
}

#[cfg(test)]
impl Sleeping {
    /// Whether there should be no worker.
    pub(super) fn is_down(&self) -> bool {
        matches!(
            self.rest,
            Rest::FallingAsleep { .. } | Rest::Asleep | Rest::Refusing { .. }
        )
    }

    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.rest, Rest::Asleep)
    }
}
