//! A thread's side of the pool.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sync::{Condvar, MutexGuard, now, wait};
use super::turn::Claim;
use super::{Next, State, Threads};

/// A thread of the pool, while it is one.
///
/// It calls [`Self::wait`] first, without the interpreter, then with it [`Self::take`] and
/// [`Self::done`] for as long as there are jobs, and waits again.
#[derive(Debug)]
pub struct Seat<'a, J> {
    pool: &'a Threads<J>,
    number: usize,
    woken: Arc<Condvar>,
    /// It is the one that comes for the turn.
    comes: bool,
    /// When it asked for the interpreter, if it came for the turn then.
    asked: Option<Instant>,
    /// When it last had something to do.
    active: Instant,
    /// It takes no more jobs.
    ends: bool,
}

impl<J> Threads<J> {
    /// Makes the calling thread one of the pool's, for as long as the seat lives.
    pub fn join(&self) -> Seat<'_, J> {
        let mut state = self.lock();
        state.seats += 1;
        let now = now();
        Seat {
            pool: self,
            number: state.seats,
            woken: Arc::new(Condvar::new()),
            comes: true,
            asked: None,
            active: now,
            ends: false,
        }
    }
}

impl<J> Seat<'_, J> {
    /// A job to begin, and whether a thread has to be started for the next. Call [`Self::done`]
    /// after it.
    pub fn take(&mut self) -> Option<(J, Next)> {
        let pool = self.pool;
        let mut state = pool.lock();
        let asked = self.asked.take();
        self.arrive(&mut state);
        let now = now();
        if state.waiting.is_empty() {
            state.turn.leave(self.number, now);
            return None;
        }
        let claim = state.turn.claim(self.number, asked, now);
        if claim == Claim::Refused {
            return None;
        }
        let job = state.begin(&pool.roused)?;
        let next = if state.waiting.is_empty() || state.turn.is_expecting() {
            Next::Nothing
        } else if claim == Claim::Inherited {
            state.add(pool.most)
        } else {
            state.call(now);
            Next::Nothing
        };
        Some((job, next))
    }

    /// Waits until there may be a job to take; otherwise the thread should end.
    #[must_use]
    pub fn wait(&mut self) -> bool {
        let pool = self.pool;
        let mut state = pool.lock();
        let deadline = self.active + pool.idle;
        let mut had = !self.comes;
        loop {
            let now = now();
            let left = deadline.saturating_duration_since(now);
            let jobs = !state.waiting.is_empty();
            let wanted = jobs && (self.comes || state.turn.is_open(now));
            if state.closed || (left.is_zero() && (!wanted || state.turn.is_held())) {
                self.end(&mut state);
                return false;
            }
            if !wanted {
                self.arrive(&mut state);
                state.free.push(Arc::clone(&self.woken));
                (state, self.comes) = self.sleep(state, left);
                had = false;
                continue;
            }
            self.comes = true;
            state.turn.expect();
            let delay = state.turn.delay(had, now);
            if delay.is_zero() {
                self.asked = Some(now);
                return true;
            }
            (state, _) = self.sleep(state, delay);
            had = false;
        }
    }

    /// No longer comes for the turn.
    fn arrive(&mut self, state: &mut State<J>) {
        if mem::take(&mut self.comes) {
            state.turn.arrived();
        }
    }

    fn end(&mut self, state: &mut State<J>) {
        self.arrive(state);
        self.ends = true;
        state.threads -= 1;
        state.ending += 1;
    }

    /// Sleeps at most so long; whether it was called, and is no longer among the free threads.
    fn sleep<'s>(
        &self,
        state: MutexGuard<'s, State<J>>,
        time: Duration,
    ) -> (MutexGuard<'s, State<J>>, bool) {
        let mut state = wait(&self.woken, state, time);
        let before = state.free.len();
        state.free.retain(|free| !Arc::ptr_eq(free, &self.woken));
        let called = state.free.len() == before;
        (state, called)
    }

    /// The job that was taken has ended.
    pub fn done(&mut self) {
        self.active = now();
        let mut state = self.pool.lock();
        state.busy -= 1;
        state.done = state.done.wrapping_add(1);
        let watcher = state.watcher.take();
        drop(state);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }
}

impl<J> Drop for Seat<'_, J> {
    fn drop(&mut self) {
        let pool = self.pool;
        let mut state = pool.lock();
        if self.ends {
            state.ending -= 1;
        } else {
            state.threads -= 1;
        }
        state.turn.leave(self.number, now());
        self.arrive(&mut state);
        drop(state);
        pool.ended.notify_all();
    }
}
