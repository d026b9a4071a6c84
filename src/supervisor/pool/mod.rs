//! The policy of supervision: what happens to workers, as a pure function of (state, event, now).
//!
//! Nothing here starts a process, reads a clock or writes a log: an event changes the pool and
//! returns the actions to take. A worker's life:
//!
//! ```text
//! Waiting ─▶ Starting ─▶ Ready ─▶ Draining ─▶ Quitting ─▶ Killed ─▶ (gone)
//!               │        │  ▲─▶ Dozing ──────────────────┤
//!               └─▶ Abandoned ───────────────────────────┘
//! ```
//!
//! [`due`] decides when a healthy worker is replaced, [`swap`] how, [`reloading`] follows changes of the
//! source, and [`sleeping`] runs no worker while none is needed. Until one worker has been ready for the
//! first time, the first that fails ends the server: then the application is at fault, and trying again
//! would hide it.

mod draining;
mod due;
mod ending;
mod reloading;
mod sleeping;
mod stopping;
mod swap;
mod types;
mod view;
mod worker;

use std::time::{Duration, Instant};

use self::due::Due;
use self::sleeping::Sleeping;
use self::stopping::Urgency;
use self::swap::Swapping;
pub use self::types::{
    Action, Asleep, Cause, Event, Notice, Reason, Recycled, Settings, Weighing, WorkerId,
};
pub use self::view::View;
use self::worker::{State, Worker};
use crate::exit::Exit;
use crate::sys::process::Ending;

/// Past the grace period a worker may still end its processes and threads. With the default of 8 s
/// all is over before `docker stop` kills.
const DRAIN_MARGIN: Duration = Duration::from_millis(1_500);

/// How long a worker with the order to stop at once may take: time to cut its connections and to end
/// its processes, and little enough that a second signal need not be followed by a third. A worker that
/// is still importing does not read the order at all.
const QUIT_PATIENCE: Duration = Duration::from_secs(2);

/// How long a successor may take while the old worker serves, where `--timeout-worker-startup` does
/// not say. One that hangs would keep every later swap from happening, and to give it up costs
/// nothing but another attempt. It gets many times what a start has taken: the machine may be busier
/// now, with the old worker's load on it. A worker that starts while no other serves has no such limit:
/// killing a slow start would only make it longer.
const SUCCESSOR_PATIENCE: Duration = Duration::from_secs(60);
const SUCCESSOR_SLOWNESS: u32 = 5;

/// All workers.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    phase: Phase,
    workers: Vec<Worker>,
    due: Due,
    swapping: Swapping,
    sleeping: Sleeping,
    /// An empty place stays so until the source changes.
    awaits_change: bool,
    /// The longest that a worker has taken to become ready.
    slowest_start: Duration,
    next_id: u64,
    actions: Vec<Action>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No worker has been ready yet.
    Opening,
    Serving,
    /// Ends with this code when the last worker is gone.
    Stopping {
        exit: Exit,
        urgency: Urgency,
    },
    Ended,
}

impl Pool {
    /// An empty pool; the first `Tick` fills it.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            // No start can fail before one is needed.
            phase: match settings.begins_asleep {
                true => Phase::Serving,
                false => Phase::Opening,
            },
            workers: Vec::new(),
            due: Due::default(),
            swapping: Swapping::default(),
            sleeping: Sleeping::from_the_start(settings.begins_asleep),
            awaits_change: false,
            slowest_start: Duration::ZERO,
            next_id: u64::from(settings.serial) << 32,
            actions: Vec::new(),
        }
    }

    /// Takes in what happened and says what to do, in order.
    #[must_use]
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Tick => self.expire(now),
            Event::Ready(id) => self.ready(id, now),
            Event::LimitReached(id) => self.make_due(id, Reason::MaxRequests),
            Event::WoundDown(id) => self.wound_down(id, now),
            Event::Served(id, account) => self.served(id, account),
            Event::Weighed(id, weighing) => self.weighed(id, weighing, now),
            Event::Ended(id, ending) => self.ended(id, ending, now),
            // As a shell would have it: command not found, or not to be run.
            Event::NotStarted(id) => self.ended(id, Ending::Code(127), now),
            Event::Stop if matches!(self.phase, Phase::Stopping { .. }) => {}
            Event::Stop => self.stop(Exit::Stopped, Urgency::Graceful, now),
            Event::Interrupt => {
                self.stop(Exit::Stopped, self.more_urgent(Urgency::Interrupted), now);
            }
            Event::StopNow => self.stop(Exit::Stopped, self.more_urgent(Urgency::AtOnce), now),
            Event::Stalled(id) => self.make_due(id, Reason::Stall),
            Event::Recycle => self.recycle_all(Reason::Signal, now),
            Event::Renew(reason) => self.recycle_all(reason, now),
            Event::Changed => self.changed(now),
            Event::Grow => self.settings.workers += 1,
            Event::Shrink => self.settings.workers = (self.settings.workers - 1).max(1),
            Event::Idle(id) => self.idle(id, now),
            Event::Busy(id) => self.busy(id),
            Event::Wake(cause) => self.wake(cause, now),
            Event::Sleep => self.sleep_now(now),
            Event::Hours(keeps_awake) => self.hours(keeps_awake, now),
        }
        self.balance(now);
        std::mem::take(&mut self.actions)
    }

    /// Other settings hold from now on, for workers that come; how many there are changes at once.
    pub fn take(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Whether there is no worker.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// When the next `Tick` is due, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        let deadlines = self.workers.iter().map(|worker| worker.state.deadline());
        let recycling = match self.phase {
            Phase::Serving => self.next_swap(),
            _ => None,
        };
        let sleeping = match self.phase {
            Phase::Serving => self.next_of_sleep(),
            _ => None,
        };
        deadlines.chain([recycling, sleeping]).flatten().min()
    }

    /// When [`Self::slow_starts`] may have something to say.
    pub fn next_slow_start(&self) -> Option<Instant> {
        self.workers.iter().filter_map(Worker::tells).min()
    }

    /// Notices about starts that take long.
    #[must_use]
    pub fn slow_starts(&mut self, now: Instant) -> Vec<Notice> {
        let mut notices = Vec::new();
        for worker in &mut self.workers {
            if let State::Starting { since, .. } = worker.state
                && worker.tells().is_some_and(|due| due <= now)
            {
                worker.has_told(now);
                notices.push(Notice::StillStarting(worker.id, now - since));
            }
        }
        notices
    }

    fn ready(&mut self, id: WorkerId, now: Instant) {
        let Some(State::Starting { since: began, .. }) = self.worker(id).map(|worker| worker.state)
        else {
            return;
        };
        self.slowest_start = self.slowest_start.max(now - began);
        let expires = self.expiry(now);
        if let Some(worker) = self.worker(id) {
            let since = now;
            worker.state = State::Ready { since, expires };
        }
        if self.phase == Phase::Opening {
            self.phase = Phase::Serving;
            self.say(Notice::Running);
        }
        self.ready_after_sleep(id, now);
        self.ready_in_swap(id, now);
    }

    /// Brings the number of workers to what is wanted and goes on with replacing.
    fn balance(&mut self, now: Instant) {
        match self.phase {
            Phase::Stopping { exit, .. } if self.workers.is_empty() => {
                self.phase = Phase::Ended;
                self.actions.push(Action::Exit(exit));
            }
            Phase::Stopping { .. } | Phase::Ended => {}
            Phase::Opening | Phase::Serving => {
                let places = self.places().count() + usize::from(self.keeps_a_place());
                let wanted = self.needed();
                for _ in places..wanted {
                    if !self.awaits_change {
                        self.add(now);
                    }
                }
                for _ in wanted..places {
                    self.drop_youngest(now);
                }
                if self.phase == Phase::Serving {
                    self.swap_next(now);
                }
                self.spawn_due(now);
            }
        }
    }

    /// Where the workers are that were asked for: one that starts beside the one that it succeeds
    /// has no place yet.
    fn places(&self) -> impl Iterator<Item = usize> {
        let successor = self.successor();
        let workers = self.workers.iter().enumerate();
        let placed =
            workers.filter(move |(_, worker)| worker.is_wanted() && Some(worker.id) != successor);
        placed.map(|(at, _)| at)
    }

    /// Gives up a place: one that is empty for the moment, else that of the worker added last, but
    /// that of one that serves only if all do.
    fn drop_youngest(&mut self, now: Instant) {
        if self.give_up_empty_place() {
            return;
        }
        let is_idle = |at: &usize| !self.workers[*at].is_ready();
        let idle = self.places().filter(is_idle).last();
        let Some(at) = idle.or_else(|| self.places().last()) else {
            return;
        };
        let Worker { id, state, .. } = self.workers[at];
        self.leave_swap(id, now);
        match state {
            State::Waiting { .. } => self.workers.retain(|worker| worker.id != id),
            State::Ready { .. } => self.drain_to_others(id, now),
            State::Killed { .. } => {
                self.workers[at].state = State::Killed {
                    was_starting: false,
                }
            }
            _ => self.abandon(id, now),
        }
    }

    fn spawn_due(&mut self, now: Instant) {
        let (successor, is_waking) = (self.successor(), self.is_waking());
        let patience =
            SUCCESSOR_PATIENCE.max(self.slowest_start.saturating_mul(SUCCESSOR_SLOWNESS));
        for worker in &mut self.workers {
            if matches!(worker.state, State::Waiting { due } if due <= now) {
                let is_bounded = is_waking || Some(worker.id) == successor;
                let patience = is_bounded.then_some(patience);
                let limit = self.settings.startup.or(patience);
                worker.state = State::Starting {
                    since: now,
                    deadline: limit.and_then(|limit| now.checked_add(limit)),
                };
                self.actions.push(Action::Spawn(worker.id));
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        for id in self.ids() {
            match self.worker(id).map(|worker| worker.state) {
                Some(State::Starting {
                    since,
                    deadline: Some(deadline),
                }) if deadline <= now => {
                    self.say(Notice::TooSlow(id, deadline - since));
                    self.kill(id);
                }
                Some(
                    State::Abandoned { deadline }
                    | State::Draining { deadline }
                    | State::Dozing { deadline, .. }
                    | State::Quitting { deadline },
                ) if deadline <= now => {
                    self.say(Notice::Stuck(id));
                    self.kill(id);
                }
                _ => {}
            }
        }
        if let Some((id, until)) = self.winds_down_until()
            && until <= now
        {
            self.wound_down(id, now);
        }
        if self.phase == Phase::Serving {
            self.watch(now);
            self.watch_sleep(now);
        }
    }

    fn add(&mut self, due: Instant) -> WorkerId {
        let id = WorkerId(self.next_id);
        self.next_id += 1;
        self.workers.push(Worker::new(id, due));
        id
    }

    /// Changes a worker's state together with the action that makes it true.
    fn set(&mut self, id: WorkerId, state: State, action: Action) {
        if let Some(worker) = self.worker(id) {
            worker.state = state;
            self.actions.push(action);
        }
    }

    fn say(&mut self, notice: Notice) {
        self.actions.push(Action::Say(notice));
    }

    fn ids(&self) -> Vec<WorkerId> {
        self.workers.iter().map(|worker| worker.id).collect()
    }

    fn worker(&mut self, id: WorkerId) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|worker| worker.id == id)
    }
}

#[cfg(test)]
mod tests;
