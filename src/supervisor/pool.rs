//! The policy of supervision: what happens to workers, as a pure function of (state, event, now).
//!
//! Nothing here starts a process, reads a clock or writes a log: an event changes the pool and
//! says what is to be done. A worker's life:
//!
//! ```text
//! Waiting ─▶ Starting ─▶ Ready ─▶ Draining ─▶ Quitting ─▶ Killed ─▶ (gone)
//!               └─▶ Abandoned ───────────────────────────┘
//! ```
//!
//! Replacing a healthy worker starts a successor beside it; the old one drains only when the
//! successor is ready, and stays if the successor fails. Until one worker has been ready for the
//! first time, the first that fails ends the server: then it is the application that is wrong, and
//! trying again would hide it.

mod stopping;
mod types;
mod worker;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::stopping::Urgency;
pub use self::types::{Action, Event, Notice, Settings, WorkerId};
use self::worker::{State, Worker};
use super::restart::{Restart, Verdict};
use crate::exit::Exit;
use crate::sys::process::Ending;

/// Past the grace period, a worker still closes its connections and runs lifespan shutdown.
const DRAIN_MARGIN: Duration = Duration::from_secs(5);

/// How long a worker that was told to stop at once may take: time to cut its connections and to run
/// lifespan shutdown, and little enough that whoever asks twice need not ask a third time. One that
/// is still importing does not hear it at all.
const QUIT_PATIENCE: Duration = Duration::from_secs(2);

/// All workers.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    phase: Phase,
    workers: Vec<Worker>,
    /// Ready workers whose turn to be replaced comes; one is replaced at a time.
    to_replace: VecDeque<WorkerId>,
    restart: Restart,
    next_id: u32,
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
            phase: Phase::Opening,
            workers: Vec::new(),
            to_replace: VecDeque::new(),
            restart: Restart::default(),
            next_id: 0,
            actions: Vec::new(),
        }
    }

    /// Takes in what happened and says what to do, in order.
    #[must_use]
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match event {
            Event::Tick => self.expire(now),
            Event::Ready(id) => self.ready(id, now),
            Event::Ended(id, ending) => self.ended(id, ending, now),
            // As a shell would have it: command not found, or not to be run.
            Event::NotStarted(id) => self.ended(id, Ending::Code(127), now),
            Event::Stop => self.stop(Exit::Stopped, self.more_urgent(Urgency::Graceful), now),
            Event::StopNow => self.stop(Exit::Stopped, self.more_urgent(Urgency::AtOnce), now),
            Event::Recycle => self.recycle(),
            Event::Grow => self.settings.workers += 1,
            Event::Shrink => self.settings.workers = (self.settings.workers - 1).max(1),
        }
        self.balance(now);
        std::mem::take(&mut self.actions)
    }

    /// When the next `Tick` is due, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.workers
            .iter()
            .filter_map(|worker| worker.state.deadline())
            .min()
    }

    fn ready(&mut self, id: WorkerId, now: Instant) {
        let Some(worker) = self.worker(id) else {
            return;
        };
        if !matches!(worker.state, State::Starting { .. }) {
            return;
        }
        worker.state = State::Ready { since: now };
        let replaces = worker.replaces.take();
        if self.phase == Phase::Opening {
            self.phase = Phase::Serving;
            self.say(Notice::Running);
        }
        if let Some(old) = replaces {
            self.say(Notice::Replaced(old));
            self.drain(old, now);
        }
    }

    fn ended(&mut self, id: WorkerId, ending: Ending, now: Instant) {
        let Some(at) = self.workers.iter().position(|worker| worker.id == id) else {
            return;
        };
        let ended = self.workers.remove(at);
        // Its successor, if one is starting, is now the only one in its place.
        let heir = self
            .workers
            .iter_mut()
            .find(|worker| worker.replaces == Some(id));
        let has_heir = heir.map(|heir| heir.replaces = None).is_some();
        let served = match ended.state {
            State::Abandoned { .. }
            | State::Draining { .. }
            | State::Quitting { .. }
            | State::Killed {
                was_starting: false,
            } => return,
            State::Ready { since } => Some(now - since),
            State::Waiting { .. } | State::Starting { .. } | State::Killed { .. } => None,
        };
        match self.phase {
            Phase::Stopping { .. } | Phase::Ended => {}
            Phase::Opening => {
                self.say(Notice::NeverReady(id, ending));
                self.stop(verdict_of(ending), Urgency::Prompt, now);
            }
            Phase::Serving if ended.replaces.is_some() => {
                self.say(Notice::SuccessorFailed(id, ending));
                self.to_replace.clear();
            }
            Phase::Serving if has_heir => self.say(Notice::Died(id, ending, Duration::ZERO)),
            Phase::Serving => self.respawn(id, ending, served, now),
        }
    }

    fn respawn(&mut self, id: WorkerId, ending: Ending, served: Option<Duration>, now: Instant) {
        let is_served = self.workers.iter().any(Worker::is_ready);
        let delay = match self.restart.died(served) {
            Verdict::After(delay) => delay,
            // The others still serve: better some workers than none.
            Verdict::CrashLoop(_) if is_served => self.restart.delay(),
            Verdict::CrashLoop(deaths) => {
                self.say(Notice::CrashLoop(id, ending, deaths));
                return self.stop(Exit::CouldNotStart, Urgency::Prompt, now);
            }
        };
        self.say(Notice::Died(id, ending, delay));
        self.add(now + delay, None);
    }

    fn recycle(&mut self) {
        let ready = self
            .workers
            .iter()
            .filter(|worker| worker.is_ready())
            .map(|worker| worker.id);
        self.to_replace = ready.collect();
    }

    /// Brings the number of workers to what is wanted and goes on with replacing.
    fn balance(&mut self, now: Instant) {
        if let Phase::Stopping { exit, .. } = self.phase {
            if self.workers.is_empty() {
                self.phase = Phase::Ended;
                self.actions.push(Action::Exit(exit));
            }
            return;
        }
        if self.phase == Phase::Ended {
            return;
        }
        let places = self
            .workers
            .iter()
            .filter(|worker| worker.holds_a_place())
            .count();
        for _ in places..self.settings.workers {
            self.add(now, None);
        }
        for _ in self.settings.workers..places {
            self.drop_youngest(now);
        }
        self.replace_next(now);
        self.spawn_due(now);
    }

    fn replace_next(&mut self, now: Instant) {
        if self.workers.iter().any(|worker| worker.replaces.is_some()) {
            return;
        }
        while let Some(old) = self.to_replace.pop_front() {
            if self.worker(old).is_some_and(|worker| worker.is_ready()) {
                return self.add(now, Some(old));
            }
        }
    }

    /// Gives up the place of the worker that was added last.
    fn drop_youngest(&mut self, now: Instant) {
        let Some(at) = self.workers.iter().rposition(Worker::holds_a_place) else {
            return;
        };
        let Worker { id, state, .. } = self.workers[at];
        // Nobody succeeds it.
        if let Some(heir) = self
            .workers
            .iter()
            .find(|worker| worker.replaces == Some(id))
            .map(|w| w.id)
        {
            self.abandon(heir, now);
        }
        match state {
            State::Waiting { .. } => drop(self.workers.remove(at)),
            State::Ready { .. } => self.drain(id, now),
            State::Killed { .. } => {
                self.workers[at].state = State::Killed {
                    was_starting: false,
                }
            }
            _ => self.abandon(id, now),
        }
    }

    fn spawn_due(&mut self, now: Instant) {
        let deadline = self.settings.startup.map(|startup| now + startup);
        for worker in &mut self.workers {
            if matches!(worker.state, State::Waiting { due } if due <= now) {
                worker.state = State::Starting { deadline };
                self.actions.push(Action::Spawn(worker.id));
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        for id in self.ids() {
            match self.worker(id).map(|worker| worker.state) {
                Some(State::Starting {
                    deadline: Some(deadline),
                }) if deadline <= now => {
                    self.say(Notice::TooSlow(id));
                    self.kill(id);
                }
                Some(
                    State::Abandoned { deadline }
                    | State::Draining { deadline }
                    | State::Quitting { deadline },
                ) if deadline <= now => {
                    self.say(Notice::Stuck(id));
                    self.kill(id);
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, due: Instant, replaces: Option<WorkerId>) {
        let id = WorkerId(self.next_id);
        self.next_id += 1;
        let state = State::Waiting { due };
        self.workers.push(Worker {
            id,
            state,
            replaces,
        });
    }

    fn drain(&mut self, id: WorkerId, now: Instant) {
        let deadline = now + self.settings.grace + DRAIN_MARGIN;
        self.set(id, State::Draining { deadline }, Action::Drain(id));
    }

    fn quit(&mut self, id: WorkerId, now: Instant) {
        let deadline = now + QUIT_PATIENCE;
        self.set(id, State::Quitting { deadline }, Action::Quit(id));
    }

    /// Gives up a worker that is not ready yet and has nothing to drain.
    fn abandon(&mut self, id: WorkerId, now: Instant) {
        let deadline = now + QUIT_PATIENCE;
        self.set(id, State::Abandoned { deadline }, Action::Quit(id));
    }

    fn kill(&mut self, id: WorkerId) {
        let is_starting = |worker: &mut Worker| matches!(worker.state, State::Starting { .. });
        let was_starting = self.worker(id).is_some_and(is_starting);
        self.set(id, State::Killed { was_starting }, Action::Kill(id));
    }

    /// Changes a worker's state together with the action that makes it true. A worker that stops
    /// replaces nobody any more, unless it is a successor that was too slow.
    fn set(&mut self, id: WorkerId, state: State, action: Action) {
        if let Some(worker) = self.worker(id) {
            worker.state = state;
            if !matches!(state, State::Killed { .. }) {
                worker.replaces = None;
            }
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

/// What a worker's end before the first one was ready means for the server.
fn verdict_of(ending: Ending) -> Exit {
    match ending {
        Ending::Code(1) => Exit::ImportRaised,
        _ => Exit::CouldNotStart,
    }
}

#[cfg(test)]
mod tests;
