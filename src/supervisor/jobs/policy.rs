//! When a job runs: a pure function of what happens and when.
//!
//! A job is idle, runs, or waits to be tried again. Its times come from its [`Schedule`] and are those
//! of the wall clock, which can be set; retries are waited for by a clock that only goes on.
//!
//! [`Schedule`]: crate::jobs::Schedule

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::jobs::state::Kept;
use crate::jobs::{Job, Missed, Outcome, Overlap, Why};

/// The pause before the first retry; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// A time that is found to have passed by more was missed: the machine slept, or its clock was set.
const MISSED_BY: SignedDuration = SignedDuration::from_secs(60);

/// A clock that is set back by less has times again that have been; they do not count a second time.
/// One that is set back by more was wrong before, and the plan is made anew.
const MOST_SET_BACK: SignedDuration = SignedDuration::from_hours(3);

/// The time, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub wall: Timestamp,
    pub steady: Instant,
}

/// An event of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Time has passed, or was set.
    Tick,
    /// An operator asks for a run.
    Requested,
    /// An operator asks for the end of the run, and of its retries.
    Stopped,
    /// The run has ended.
    Ended(Outcome),
    /// The server ends: nothing starts any more.
    Shutdown,
}

/// An action that the caller should take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Start a run.
    Start(Cause),
    /// End the run.
    End(Why),
    /// Tell the operator that this time is skipped, because the job still runs.
    TellSkipped(Timestamp),
    /// Tell the operator that a run that failed is tried again after this time.
    TellRetry(Duration),
}

/// Why a run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cause {
    /// The time of its schedule.
    pub due: Option<Timestamp>,
    /// Which attempt it is, from 1.
    pub attempt: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Idle,
    Running {
        cause: Cause,
        follows: Option<Cause>,
    },
    /// The next attempt is made then.
    Pausing {
        next: Cause,
        at: Instant,
    },
}

/// A job's plan.
#[derive(Debug)]
pub(super) struct Policy {
    job: Job,
    anchor: Timestamp,
    /// The next time of the schedule.
    next: Option<Timestamp>,
    /// The latest time that the wall clock has shown.
    seen: Timestamp,
    state: State,
    is_over: bool,
}

impl Policy {
    /// The plan of a job, from what was kept of it.
    pub(super) fn new(job: &Job, kept: Option<&Kept>, now: Now) -> Self {
        let mut policy = Self {
            job: job.clone(),
            anchor: now.wall,
            next: None,
            seen: now.wall,
            state: State::Idle,
            is_over: false,
        };
        let kept = kept.filter(|kept| kept.schedule == job.schedule.to_string());
        if let Some(kept) = kept {
            policy.anchor = kept.anchor.min(now.wall);
            if is_near(kept.seen, now) {
                policy.seen = kept.seen.max(now.wall);
            }
        }
        let planned = kept.and_then(|kept| kept.next);
        policy.next = match planned {
            Some(next) if next <= now.wall && job.missed == Missed::Once => Some(next),
            Some(next) if next > now.wall && kept.is_some_and(|kept| is_near(kept.seen, now)) => {
                Some(next)
            }
            _ => job.schedule.next(now.wall, policy.anchor),
        };
        policy.resume(kept, now);
        policy
    }

    /// A run that the last server took with it is made up for.
    fn resume(&mut self, kept: Option<&Kept>, now: Now) {
        let Some(begun) = kept.and_then(|kept| kept.running) else {
            return;
        };
        let attempt = begun.attempt + 1;
        // The run itself may have been what ended the server: it does not go round for ever.
        if self.job.missed == Missed::Once && attempt <= self.job.retries.max(1) + 1 {
            let next = Cause {
                due: begun.due,
                attempt,
            };
            self.state = State::Pausing {
                next,
                at: now.steady,
            };
        }
    }

    /// From now on other settings hold. A run goes on as it was started.
    pub(super) fn take(&mut self, job: &Job, now: Now) {
        let is_another = job.schedule != self.job.schedule;
        self.job = job.clone();
        if is_another {
            self.anchor = now.wall;
            self.next = job.schedule.next(now.wall, now.wall);
        }
        if let State::Pausing { next, .. } = self.state
            && next.attempt > job.retries + 1
        {
            self.state = State::Idle;
        }
    }

    pub(super) fn on(&mut self, event: Event, now: Now) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Tick => self.tick(now, &mut actions),
            Event::Requested => {
                let cause = Cause {
                    due: None,
                    attempt: 1,
                };
                self.wanted(cause, now, &mut actions);
            }
            Event::Stopped => self.stopped(&mut actions),
            Event::Ended(outcome) => self.ended(outcome, now, &mut actions),
            Event::Shutdown => self.is_over = true,
        }
        actions
    }

    fn tick(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.is_over {
            return;
        }
        if let State::Pausing { next, at } = self.state
            && at <= now.steady
        {
            self.start(next, actions);
        }
        if is_near(self.seen, now) {
            self.seen = self.seen.max(now.wall);
        } else {
            self.seen = now.wall;
            self.anchor = self.anchor.min(now.wall);
            self.next = self.job.schedule.next(now.wall, self.anchor);
        }
        match self.next {
            Some(due) if due <= now.wall => {
                self.next = self.job.schedule.next(now.wall, self.anchor);
                let is_missed = now.wall.duration_since(due) > MISSED_BY;
                if !is_missed || self.job.missed == Missed::Once {
                    let cause = Cause {
                        due: Some(due),
                        attempt: 1,
                    };
                    self.wanted(cause, now, actions);
                }
            }
            _ => {}
        }
    }

    /// A run is wanted, by the schedule or an operator.
    fn wanted(&mut self, cause: Cause, now: Now, actions: &mut Vec<Action>) {
        if self.is_over {
            return;
        }
        match (&mut self.state, self.job.overlap) {
            // A new run is as good as the retry of an old one.
            (State::Idle | State::Pausing { .. }, _) => self.start(cause, actions),
            (State::Running { .. }, Overlap::Skip) => {
                actions.extend(Some(Action::TellSkipped(cause.due.unwrap_or(now.wall))));
            }
            (State::Running { follows, .. }, Overlap::Queue) => *follows = Some(cause),
            (State::Running { follows, .. }, Overlap::Replace) => {
                *follows = Some(cause);
                actions.push(Action::End(Why::Replaced));
            }
        }
    }

    fn start(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        self.state = State::Running {
            cause,
            follows: None,
        };
        actions.push(Action::Start(cause));
    }

    fn stopped(&mut self, actions: &mut Vec<Action>) {
        match &mut self.state {
            State::Idle => {}
            State::Pausing { .. } => self.state = State::Idle,
            State::Running { follows, .. } => {
                *follows = None;
                actions.push(Action::End(Why::Stopped));
            }
        }
    }

    fn ended(&mut self, outcome: Outcome, now: Now, actions: &mut Vec<Action>) {
        let State::Running { cause, follows } = self.state else {
            return;
        };
        self.state = State::Idle;
        if self.is_over {
            return;
        }
        if let Some(follows) = follows {
            return self.start(follows, actions);
        }
        let is_failed = !outcome.is_done() && outcome != Outcome::Ended(Why::Stopped);
        if is_failed && cause.attempt <= self.job.retries {
            let next = Cause {
                attempt: cause.attempt + 1,
                ..cause
            };
            let pause = pause(cause.attempt);
            self.state = State::Pausing {
                next,
                at: now.steady + pause,
            };
            actions.push(Action::TellRetry(pause));
        }
    }

    /// The next time of the wall clock at which something happens.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.next.filter(|_| !self.is_over)
    }

    /// When the next attempt is made.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Pausing { at, .. } if !self.is_over => Some(at),
            _ => None,
        }
    }

    /// The next time of the schedule, also while the server ends.
    pub(super) fn planned(&self) -> Option<Timestamp> {
        self.next
    }

    pub(super) fn anchor(&self) -> Timestamp {
        self.anchor
    }

    pub(super) fn seen(&self) -> Timestamp {
        self.seen
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }
}

/// Whether the clock goes on from the latest time that it has shown, or was set back by little: then
/// the plan stands, and no time comes twice.
fn is_near(seen: Timestamp, now: Now) -> bool {
    seen.duration_since(now.wall) <= MOST_SET_BACK
}

/// The pause after so many attempts that failed.
pub(super) fn pause(attempts: u32) -> Duration {
    let doubled = 1u32
        .checked_shl(attempts.saturating_sub(1))
        .unwrap_or(u32::MAX);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests;
