//! A bounded pool of threads that run jobs in one interpreter: it grows while jobs wait and those
//! that were begun do not compute, and shrinks when there are fewer.
//!
//! This is the pool's policy: the queue, the waiting threads, when to grow. Its owner starts the threads
//! and defines the jobs. Jobs are begun in order, by the thread that has the interpreter and the
//! turn ([`turn`]). The first job starts the first thread. Where jobs compute there is no other.
//! Where they wait for a database, the interpreter is free meanwhile: the next thread comes for the
//! turn, takes it, and has one more come, at once if it is there and otherwise it is started.
//!
//! Free threads are a stack: the one that was busy last is used first, so that those which are not
//! needed have nothing to do for [`IDLE`], and end.
//!
//! The owner's thread submits jobs and is woken for what has become of them ([`owner`]).

mod owner;
mod seat;
mod sync;
mod turn;

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use owner::Owner;
pub use seat::Seat;
use sync::{Condvar, Mutex, MutexGuard, now, wait};
use turn::{PATIENCE, Turn};

/// So many jobs are not kept waiting for a call. To call a thread is a system call, and on a busy
/// core a switch to it: an owner that submits jobs in batches calls once, after the last.
const CALLED_FOR: usize = 8;

/// How long a thread without a job waits for one before it ends; Tokio's figure for its own.
pub const IDLE: Duration = Duration::from_secs(10);

/// The pool.
#[derive(Debug)]
pub struct Threads<J> {
    most: usize,
    idle: Duration,
    state: Mutex<State<J>>,
    ended: Condvar,
    /// Ends the doze of the owner's thread.
    roused: Condvar,
}

#[derive(Debug)]
struct State<J> {
    waiting: VecDeque<J>,
    turn: Turn,
    /// Threads that wait to be called, the last that was busy at the end.
    free: Vec<Arc<Condvar>>,
    /// Threads that take jobs, or will when they have started.
    threads: usize,
    /// Threads that take no more.
    ending: usize,
    /// How many have ever been.
    seats: usize,
    busy: usize,
    /// Jobs that have been done.
    done: usize,
    closed: bool,
    watcher: Option<Waker>,
    owner: Owner,
}

/// The pool as it is seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// The most threads.
    pub most: usize,
    /// Those that there are.
    pub threads: usize,
    /// Those that have a job.
    pub busy: usize,
    /// Jobs that wait for a thread.
    pub waiting: usize,
    /// Jobs that have ended.
    pub ended: usize,
}

/// The action that the pool's owner must take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Start a thread, which calls [`Threads::join`]; where that fails, call [`Threads::not_started`].
    Start,
    /// Call [`Threads::grow`] after this time.
    LookAfter(Duration),
    /// Nothing.
    Nothing,
}

impl<J> Threads<J> {
    /// A pool of at most so many threads, none of which exists yet. A thread that computes is made
    /// to let go of the interpreter after the `interval` (CPython's `sys.getswitchinterval()`).
    #[must_use]
    pub fn new(most: usize, interval: Duration) -> Self {
        Self::with_idle(most, interval, IDLE)
    }

    fn with_idle(most: usize, interval: Duration, idle: Duration) -> Self {
        Self {
            most: most.max(1),
            idle,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                turn: Turn::new(interval),
                free: Vec::new(),
                threads: 0,
                ending: 0,
                seats: 0,
                busy: 0,
                done: 0,
                closed: false,
                watcher: None,
                owner: Owner::default(),
            }),
            ended: Condvar::new(),
            roused: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        // Nothing below panics with the lock held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job. A free thread does it after [`Self::before_wait`], a busy one as soon as it is
    /// free.
    pub fn submit(&self, job: J) -> Next {
        let mut state = self.lock();
        state.waiting.push_back(job);
        if state.threads == 0 {
            return state.add(self.most);
        }
        let now = now();
        if state.waiting.len() >= CALLED_FOR {
            state.call(now);
        }
        if state.is_sure_to_be_taken() {
            Next::Nothing
        } else {
            state.look(self.most, now)
        }
    }

    /// Looks whether jobs wait for too long.
    pub fn grow(&self) -> Next {
        self.lock().look(self.most, now())
    }

    /// A thread could not be started. Gives back the jobs, if there is none to do them.
    pub fn not_started(&self) -> Vec<J> {
        let mut state = self.lock();
        state.threads -= 1;
        state.turn.arrived();
        if state.threads > 0 {
            return Vec::new();
        }
        state.waiting.drain(..).collect()
    }

    /// How many threads and jobs there are.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let state = self.lock();
        Figures {
            most: self.most,
            threads: state.threads,
            busy: state.busy,
            waiting: state.waiting.len(),
            ended: state.done,
        }
    }

    /// Jobs that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        let state = self.lock();
        state.busy + state.waiting.len()
    }

    /// Ready when every job has ended but for so many that are not waited for.
    pub fn poll_finished(&self, waker: &Waker, left_out: usize) -> Poll<()> {
        let mut state = self.lock();
        if state.busy + state.waiting.len() <= left_out {
            return Poll::Ready(());
        }
        state.watcher = Some(waker.clone());
        Poll::Pending
    }

    /// Ends the free threads now and the others after their job, and waits for that at most until
    /// the deadline. Says how many are still busy then.
    #[must_use]
    pub fn close(&self, deadline: Instant) -> usize {
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.free.drain(..).for_each(|free| free.notify_one());
        while state.threads + state.ending > 0 {
            let left = deadline.saturating_duration_since(now());
            if left.is_zero() {
                break;
            }
            state = wait(&self.ended, state, left);
        }
        state.threads + state.ending
    }
}

impl<J> State<J> {
    /// Calls a free thread for jobs that wait.
    fn call(&mut self, now: Instant) {
        if !self.waiting.is_empty() && self.turn.is_open(now) {
            self.call_free();
        }
    }

    fn call_free(&mut self) -> bool {
        let called = self.free.pop();
        if let Some(free) = &called {
            self.turn.expect();
            free.notify_one();
        }
        called.is_some()
    }

    /// Calls or starts one more thread to come for the turn.
    fn add(&mut self, most: usize) -> Next {
        if self.call_free() {
            return Next::LookAfter(PATIENCE);
        }
        if self.threads == most {
            return Next::Nothing;
        }
        self.threads += 1;
        self.turn.expect();
        Next::Start
    }

    /// The only job that waits, and no other thread can take the interpreter.
    fn is_sure_to_be_taken(&self) -> bool {
        let has_taker = self.turn.is_expecting() || !self.free.is_empty();
        self.waiting.len() == 1 && !self.turn.is_held() && has_taker
    }

    fn look(&mut self, most: usize, now: Instant) -> Next {
        if self.closed || self.waiting.is_empty() || most == 1 {
            return Next::Nothing;
        }
        if let Some(patience) = self.turn.patience(now) {
            return Next::LookAfter(patience);
        }
        match self.add(most) {
            // A thread that is busy now may be free when it is needed.
            Next::Nothing => Next::LookAfter(PATIENCE),
            next => next,
        }
    }

    fn begin(&mut self, roused: &Condvar) -> Option<J> {
        let job = self.waiting.pop_front()?;
        self.busy += 1;
        self.owner.left(self.waiting.len(), roused);
        Some(job)
    }
}

#[cfg(test)]
#[cfg(loom)]
mod models;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
