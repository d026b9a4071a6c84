//! The turn to begin jobs.
//!
//! Jobs that compute share one interpreter: begun side by side they gain nothing, take turns every
//! few milliseconds, and end late and out of order. So one thread has the *turn*, and begins one job
//! after the other. It loses the turn to a thread that comes for it, has asked for the interpreter,
//! and got it at once: a thread lets go of it only to wait for something else. A thread that got it
//! only after CPython's switch interval has taken it from one that computes, and leaves again, unless
//! that one is at a long job. So it does when another thread of the pool has let go meanwhile.
//!
//! A job goes on without the turn when it has waited: it competes for the interpreter with the one
//! that has it. The turn decides only which thread begins the next job, and right after a job was found
//! waiting not even that: a thread that ends a job begins another.
//!
//! There is no I/O in here, no thread and no clock.

use std::time::{Duration, Instant};

/// How long no job may have been begun before a thread comes to see whether the interpreter is free:
/// CPython's switch interval, in which a thread that computes would have been made to let go of it.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);

/// The time that a job computes before others are begun beside it: most responses are made in it.
pub(super) const LONG: Duration = Duration::from_millis(20);

/// For how long jobs that have waited are expected to do so again.
const HABIT: Duration = Duration::from_secs(10);

/// How old a job is before a thread comes to see whether it waits. Jobs that only let go of the
/// interpreter for a moment, to write a line of a log, have ended by then, or computed most.
const YOUNG: Duration = Duration::from_micros(500);

/// How long after a job was found waiting a thread that ends another one need not find out whether
/// the interpreter is free. Where jobs keep all threads busy by waiting, none is left to find out.
const TRUST: Duration = Duration::from_millis(50);

/// The pause of a thread that had the interpreter before it asks for it again: the time in which a thread
/// that wants it back wakes up. Otherwise it would get it before that, and believe that it was free.
const PAUSE: Duration = Duration::from_micros(50);

/// The turn, and what is known of the jobs.
#[derive(Debug)]
pub(super) struct Turn {
    /// CPython's switch interval.
    interval: Duration,
    /// The thread that has the turn.
    holder: Option<usize>,
    /// A thread comes for it.
    comes: bool,
    /// When a thread that does not have it last let go of the interpreter.
    let_go: Option<Instant>,
    /// When the last job was begun.
    begun: Option<Instant>,
    /// When a job was last found waiting for something.
    waited: Option<Instant>,
}

/// The answer to a thread that has the interpreter and wants to begin a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// Another thread computes.
    Refused,
    /// It has the turn.
    Granted,
    /// It has the turn of another, whose job waits for something.
    Inherited,
}

impl Turn {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            holder: None,
            comes: false,
            let_go: None,
            begun: None,
            waited: None,
        }
    }

    /// A thread with the interpreter wants to begin a job: one that came for the turn and asked for
    /// the interpreter then, or one that has ended a job.
    pub(super) fn claim(&mut self, thread: usize, asked: Option<Instant>, now: Instant) -> Claim {
        let claim = match self.holder {
            Some(holder) if holder != thread => self.claim_of_another(asked, now),
            _ => Claim::Granted,
        };
        if claim == Claim::Inherited {
            self.waited = Some(now);
        }
        if claim == Claim::Refused {
            self.let_go = Some(now);
        } else {
            self.holder = Some(thread);
            self.begun = Some(now);
        }
        claim
    }

    fn claim_of_another(&self, asked: Option<Instant>, now: Instant) -> Claim {
        let waits = |asked| {
            now.saturating_duration_since(asked) < self.interval
                && self.let_go.is_none_or(|let_go| let_go < asked)
        };
        match asked {
            Some(asked) if waits(asked) => Claim::Inherited,
            None if self.has_waited_within(TRUST, now) => Claim::Granted,
            _ if self.since_begun(now) >= LONG => Claim::Granted,
            _ => Claim::Refused,
        }
    }

    /// The thread has nothing to begin, and lets go of the interpreter.
    pub(super) fn leave(&mut self, thread: usize, now: Instant) {
        if self.holder == Some(thread) {
            self.holder = None;
        } else {
            self.let_go = Some(now);
        }
    }

    /// A thread comes for the turn.
    pub(super) fn expect(&mut self) {
        self.comes = true;
    }

    /// The thread that was expected is there, or will not be.
    pub(super) fn arrived(&mut self) {
        self.comes = false;
    }

    pub(super) fn is_expecting(&self) -> bool {
        self.comes
    }

    pub(super) fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    /// Whether an existing thread should come for the turn, as jobs are waiting for it: no thread has it, or
    /// it is likely to be lost.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        !self.comes && (self.holder.is_none() || self.has_waited_within(HABIT, now))
    }

    /// How long the thread that comes leaves the interpreter alone; it `had` it, or did not.
    pub(super) fn delay(&self, had: bool, now: Instant) -> Duration {
        if self.holder.is_none() {
            return Duration::ZERO;
        }
        let young = YOUNG.saturating_sub(self.since_begun(now));
        if had { young.max(PAUSE) } else { young }
    }

    /// How long to wait before one more thread comes in any case; `None` when it should come now.
    pub(super) fn patience(&self, now: Instant) -> Option<Duration> {
        if self.comes {
            return Some(PATIENCE);
        }
        let left = PATIENCE.saturating_sub(self.since_begun(now));
        (!left.is_zero()).then_some(left)
    }

    fn has_waited_within(&self, time: Duration, now: Instant) -> bool {
        let since = |waited| now.saturating_duration_since(waited);
        self.waited.is_some_and(|waited| since(waited) < time)
    }

    fn since_begun(&self, now: Instant) -> Duration {
        self.begun
            .map_or(Duration::MAX, |begun| now.saturating_duration_since(begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(5);
    const SOON: Duration = Duration::from_micros(50);
    const HOLDER: usize = 0;
    const OTHER: usize = 1;

    /// The turn of a thread that has just begun a job.
    fn held(now: Instant) -> Turn {
        let mut turn = Turn::new(INTERVAL);
        assert_eq!(turn.claim(HOLDER, Some(now), now), Claim::Granted);
        turn
    }

    #[test]
    fn who_has_it_begins_one_job_after_the_other() {
        let now = Instant::now();
        let mut turn = held(now);
        for number in 1..100 {
            let then = now + number * SOON;
            assert_eq!(turn.claim(HOLDER, None, then), Claim::Granted);
        }
    }

    #[test]
    fn it_goes_to_the_thread_that_gets_the_interpreter_at_once() {
        let now = Instant::now();
        let mut turn = held(now);
        let asked = now + SOON;
        let claim = turn.claim(OTHER, Some(asked), asked + SOON);
        assert_eq!(claim, Claim::Inherited);
        let _ = turn.claim(OTHER, None, asked + TRUST);
        let refused = turn.claim(HOLDER, None, asked + SOON + TRUST);
        assert_eq!(refused, Claim::Refused, "its job has ended");
    }

    #[test]
    fn where_jobs_wait_a_thread_that_ends_one_begins_another() {
        let now = Instant::now();
        let mut turn = held(now);
        let _ = turn.claim(OTHER, Some(now), now + SOON);
        let at_once = turn.claim(HOLDER, None, now + 2 * SOON);
        assert_eq!(at_once, Claim::Granted);
        let _ = turn.claim(HOLDER, None, now + TRUST);
        let later = turn.claim(OTHER, None, now + SOON + TRUST);
        assert_eq!(later, Claim::Refused, "it should find out");
    }

    #[test]
    fn who_comes_lets_jobs_grow_old_and_others_have_the_interpreter_back() {
        let now = Instant::now();
        let mut turn = Turn::new(INTERVAL);
        assert_eq!(turn.delay(true, now), Duration::ZERO);
        let _ = turn.claim(HOLDER, None, now);
        assert_eq!(turn.delay(false, now + SOON), YOUNG - SOON);
        assert_eq!(turn.delay(false, now + YOUNG), Duration::ZERO);
        assert_eq!(turn.delay(true, now + YOUNG), PAUSE);
    }

    #[test]
    fn it_is_not_taken_from_a_thread_that_computes() {
        let now = Instant::now();
        let mut turn = held(now);
        let claim = turn.claim(OTHER, Some(now), now + INTERVAL);
        assert_eq!(claim, Claim::Refused);
        let again = turn.claim(HOLDER, None, now + 2 * INTERVAL);
        assert_eq!(again, Claim::Granted);
    }

    #[test]
    fn it_is_not_lost_when_a_third_one_lets_go() {
        let now = Instant::now();
        let mut turn = held(now);
        assert_eq!(turn.claim(2, None, now + SOON), Claim::Refused);
        let claim = turn.claim(OTHER, Some(now), now + 2 * SOON);
        assert_eq!(claim, Claim::Refused);
        turn.leave(2, now + 3 * SOON);
        let claim = turn.claim(OTHER, Some(now + 2 * SOON), now + 4 * SOON);
        assert_eq!(claim, Claim::Refused);
        let asked = now + 5 * SOON;
        let claim = turn.claim(OTHER, Some(asked), asked + SOON);
        assert_eq!(claim, Claim::Inherited);
    }

    #[test]
    fn a_long_job_gets_company() {
        let now = Instant::now();
        let mut turn = held(now);
        let asked = now + LONG - INTERVAL;
        assert_eq!(turn.claim(OTHER, Some(asked), now + LONG), Claim::Granted);
        let third = turn.claim(2, Some(now + LONG), now + LONG + INTERVAL);
        assert_eq!(third, Claim::Refused, "a job has been begun beside it");
    }

    #[test]
    fn it_is_for_anybody_when_it_was_left() {
        let now = Instant::now();
        let mut turn = held(now);
        turn.leave(OTHER, now);
        assert!(turn.is_held());
        turn.leave(HOLDER, now);
        assert!(turn.is_open(now));
        let claim = turn.claim(OTHER, None, now + SOON);
        assert_eq!(claim, Claim::Granted);
    }

    #[test]
    fn threads_come_early_only_where_jobs_have_waited() {
        let now = Instant::now();
        let mut turn = held(now);
        assert!(!turn.is_open(now + SOON));
        let _ = turn.claim(OTHER, Some(now), now + SOON);
        assert!(turn.is_open(now + SOON));
        turn.expect();
        assert!(!turn.is_open(now + SOON), "one at a time");
        turn.arrived();
        assert!(!turn.is_open(now + SOON + HABIT));
    }

    #[test]
    fn one_comes_in_any_case_when_no_job_was_begun_for_long() {
        let now = Instant::now();
        let mut turn = held(now);
        assert_eq!(turn.patience(now + SOON), Some(PATIENCE - SOON));
        assert_eq!(turn.patience(now + PATIENCE), None);
        turn.expect();
        assert_eq!(turn.patience(now + PATIENCE), Some(PATIENCE));
        let _ = turn.claim(HOLDER, None, now + PATIENCE);
        turn.arrived();
        assert_eq!(turn.patience(now + PATIENCE), Some(PATIENCE));
    }
}
