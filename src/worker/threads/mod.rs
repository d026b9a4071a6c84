//! A bounded pool of threads that grows while work waits and shrinks when it has none.
//!
//! This is the pool's mind: the queue, who waits, when to grow. Whoever owns it starts the threads
//! and says what a job is.
//!
//! The first job starts the first thread. Another one is started when a job has waited for
//! [`PATIENCE`] and no thread is free: jobs that compute share one interpreter lock and gain nothing
//! from more threads, while jobs that wait for a database do, and show it by keeping others waiting.
//! Free threads are a stack: the one that was busy last is used first, so that those which are not
//! needed stay free for [`IDLE`], and end.
//!
//! The owner's thread submits jobs and is woken for what has become of them ([`owner`]).

mod owner;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use owner::Owner;

/// How long a job may wait before the pool grows: CPython's switch interval, in which a thread that
/// computes would have been made to let go of the interpreter.
pub const PATIENCE: Duration = Duration::from_millis(5);

/// So many jobs are not kept waiting for a call. To call a thread is a system call, and on a busy
/// core a switch to it: whoever submits jobs in batches calls once, after the last.
const CALLED_FOR: usize = 8;

/// How long a free thread waits for work before it ends; Tokio's figure for its own.
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
    waiting: VecDeque<(Instant, J)>,
    /// Threads without a job, the last to become so at the end.
    free: Vec<Arc<Condvar>>,
    threads: usize,
    busy: usize,
    closed: bool,
    watcher: Option<Waker>,
    owner: Owner,
}

/// What the pool's owner has to do.
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

/// A thread of the pool, while it is one.
#[derive(Debug)]
pub struct Seat<'a, J> {
    pool: &'a Threads<J>,
    woken: Arc<Condvar>,
}

impl<J> Threads<J> {
    /// A pool of at most so many threads, none of which exists yet.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self::with_idle(most, IDLE)
    }

    fn with_idle(most: usize, idle: Duration) -> Self {
        Self {
            most: most.max(1),
            idle,
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                free: Vec::new(),
                threads: 0,
                busy: 0,
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
        state.waiting.push_back((Instant::now(), job));
        let enough = state.free.len() >= state.waiting.len();
        if state.waiting.len() >= CALLED_FOR {
            state.call();
        }
        if enough {
            return Next::Nothing;
        }
        if state.threads == 0 {
            state.threads = 1;
            return Next::Start;
        }
        if state.threads < self.most {
            Next::LookAfter(PATIENCE)
        } else {
            Next::Nothing
        }
    }

    /// Looks whether jobs wait for too long.
    pub fn grow(&self) -> Next {
        let mut state = self.lock();
        let may_grow = state.threads < self.most && state.free.is_empty() && !state.closed;
        let Some((since, _)) = state.waiting.front().filter(|_| may_grow) else {
            return Next::Nothing;
        };
        let waited = since.elapsed();
        if waited < PATIENCE {
            return Next::LookAfter(PATIENCE - waited);
        }
        state.threads += 1;
        Next::Start
    }

    /// A thread could not be started. Gives back the jobs, if there is none to do them.
    pub fn not_started(&self) -> Vec<J> {
        let mut state = self.lock();
        state.threads -= 1;
        if state.threads > 0 {
            return Vec::new();
        }
        state.waiting.drain(..).map(|(_, job)| job).collect()
    }

    /// Makes the calling thread one of the pool's, for as long as the seat lives.
    pub fn join(&self) -> Seat<'_, J> {
        Seat {
            pool: self,
            woken: Arc::new(Condvar::new()),
        }
    }

    /// Jobs that have not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        let state = self.lock();
        state.busy + state.waiting.len()
    }

    /// Ready when every job has ended.
    pub fn poll_finished(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.lock();
        if state.busy == 0 && state.waiting.is_empty() {
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
        while state.threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (state, _) = self
                .ended
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.threads
    }
}

impl<J> State<J> {
    fn call(&mut self) {
        let called = self.free.len().saturating_sub(self.waiting.len());
        self.free.drain(called..).for_each(|free| free.notify_one());
    }

    fn take(&mut self, roused: &Condvar) -> Option<J> {
        let (_, job) = self.waiting.pop_front()?;
        self.busy += 1;
        self.owner.left(self.waiting.len(), roused);
        Some(job)
    }
}

impl<J> Seat<'_, J> {
    /// A job that is there. Call [`Self::done`] after it.
    #[must_use]
    pub fn take(&self) -> Option<J> {
        self.pool.lock().take(&self.pool.roused)
    }

    /// Waits for a job; without one the thread is to end.
    #[must_use]
    pub fn wait(&self) -> Option<J> {
        let mut state = self.pool.lock();
        let deadline = Instant::now() + self.pool.idle;
        loop {
            if let Some(job) = state.take(&self.pool.roused) {
                return Some(job);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state.free.push(Arc::clone(&self.woken));
            (state, _) = self
                .woken
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
            // Still in the list if nobody woke it.
            state.free.retain(|free| !Arc::ptr_eq(free, &self.woken));
        }
    }

    /// The job that was taken has ended.
    pub fn done(&self) {
        let mut state = self.pool.lock();
        state.busy -= 1;
        let all = state.busy == 0 && state.waiting.is_empty();
        let watcher = if all { state.watcher.take() } else { None };
        drop(state);
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }
}

impl<J> Drop for Seat<'_, J> {
    fn drop(&mut self) {
        self.pool.lock().threads -= 1;
        self.pool.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    type Job = Box<dyn FnOnce() + Send>;

    /// A thread as the pool's owner starts it.
    fn start(pool: &Arc<Threads<Job>>) -> thread::JoinHandle<()> {
        let pool = Arc::clone(pool);
        thread::spawn(move || {
            let seat = pool.join();
            while let Some(job) = seat.take().or_else(|| seat.wait()) {
                job();
                seat.done();
            }
        })
    }

    fn pool(most: usize, idle: Duration) -> Arc<Threads<Job>> {
        Arc::new(Threads::with_idle(most, idle))
    }

    /// A job that says where it runs and waits until it is let go.
    fn blocking() -> (Job, mpsc::Receiver<thread::ThreadId>, mpsc::Sender<()>) {
        let (begun, seen) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let job: Job = Box::new(move || {
            begun.send(thread::current().id()).unwrap();
            let _ = wait.recv();
        });
        (job, seen, go)
    }

    fn submit(pool: &Threads<Job>, job: Job) -> Next {
        let next = pool.submit(job);
        pool.before_wait();
        next
    }

    fn until(condition: impl Fn() -> bool) {
        while !condition() {
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    #[test]
    fn there_is_no_thread_before_the_first_job() {
        let pool = pool(4, IDLE);
        let (job, seen, go) = blocking();
        assert_eq!(submit(&pool, job), Next::Start);
        start(&pool);
        seen.recv().unwrap();
        assert_eq!(pool.unfinished(), 1);
        drop(go);
        assert_eq!(pool.close(Instant::now() + IDLE), 0);
        assert_eq!(pool.unfinished(), 0);
    }

    #[test]
    fn it_grows_when_a_job_has_waited_and_not_beyond_its_limit() {
        let pool = pool(2, IDLE);
        let (first, first_seen, first_go) = blocking();
        let (second, second_seen, second_go) = blocking();
        let (third, third_seen, third_go) = blocking();
        assert_eq!(submit(&pool, first), Next::Start);
        start(&pool);
        first_seen.recv().unwrap();
        assert_eq!(submit(&pool, second), Next::LookAfter(PATIENCE));
        let wait = match pool.grow() {
            Next::LookAfter(wait) => wait,
            other => panic!("{other:?} before the job has waited"),
        };
        thread::park_timeout(wait);
        assert_eq!(pool.grow(), Next::Start);
        start(&pool);
        second_seen.recv().unwrap();
        assert_eq!(submit(&pool, third), Next::Nothing);
        assert_eq!(pool.grow(), Next::Nothing);
        drop(first_go);
        third_seen.recv().unwrap();
        drop((second_go, third_go));
        assert_eq!(pool.close(Instant::now() + IDLE), 0);
    }

    /// Has a pool grow to two free threads, and says which was busy last.
    fn two_free(pool: &Arc<Threads<Job>>) -> thread::ThreadId {
        let (first, first_seen, first_go) = blocking();
        let (second, second_seen, second_go) = blocking();
        let _ = submit(pool, first);
        start(pool);
        first_seen.recv().unwrap();
        let _ = submit(pool, second);
        thread::park_timeout(PATIENCE);
        assert_eq!(pool.grow(), Next::Start);
        start(pool);
        let last = second_seen.recv().unwrap();
        drop(first_go);
        until(|| pool.lock().free.len() == 1);
        drop(second_go);
        until(|| pool.unfinished() == 0);
        last
    }

    /// Has a job done, and says by which thread.
    fn done_by(pool: &Threads<Job>) -> thread::ThreadId {
        let (job, seen, go) = blocking();
        drop(go);
        let _ = submit(pool, job);
        let thread = seen.recv().unwrap();
        until(|| {
            let state = pool.lock();
            state.busy == 0 && state.free.len() == state.threads
        });
        thread
    }

    #[test]
    fn the_thread_that_was_busy_last_is_used_first() {
        let pool = pool(2, IDLE);
        let last = two_free(&pool);
        until(|| pool.lock().free.len() == 2);
        for _ in 0..20 {
            assert_eq!(done_by(&pool), last);
        }
        assert_eq!(pool.close(Instant::now() + IDLE), 0);
    }

    #[test]
    fn a_thread_that_is_not_needed_ends_beside_one_that_is() {
        // Longer than the test may be kept from running between two jobs.
        let pool = pool(2, Duration::from_secs(2));
        two_free(&pool);
        while pool.lock().threads == 2 {
            done_by(&pool);
        }
        done_by(&pool);
        assert_eq!(pool.lock().threads, 1);
        assert_eq!(pool.close(Instant::now() + IDLE), 0);
    }

    #[test]
    fn a_free_thread_waits_for_a_call_but_not_with_many_jobs() {
        let pool = pool(1, IDLE);
        let _ = submit(&pool, Box::new(|| {}));
        start(&pool);
        until(|| pool.lock().free.len() == 1);
        for _ in 1..CALLED_FOR {
            let _ = pool.submit(Box::new(|| {}));
        }
        assert_eq!(pool.unfinished(), CALLED_FOR - 1);
        pool.before_wait();
        until(|| pool.unfinished() == 0);
        until(|| pool.lock().free.len() == 1);
        for _ in 0..CALLED_FOR {
            let _ = pool.submit(Box::new(|| {}));
        }
        until(|| pool.unfinished() == 0);
        assert_eq!(pool.close(Instant::now() + IDLE), 0);
    }

    #[test]
    fn idle_threads_end_and_the_next_job_starts_one_again() {
        let pool = pool(1, Duration::from_millis(10));
        let _ = submit(&pool, Box::new(|| {}));
        start(&pool).join().unwrap();
        assert_eq!(submit(&pool, Box::new(|| {})), Next::Start);
        start(&pool).join().unwrap();
    }

    #[test]
    fn jobs_come_back_when_no_thread_can_be_started() {
        let pool = pool(2, IDLE);
        assert_eq!(submit(&pool, Box::new(|| {})), Next::Start);
        assert_eq!(pool.not_started().len(), 1);
        assert_eq!(pool.unfinished(), 0);
    }

    #[test]
    fn closing_tells_what_did_not_end() {
        let pool = pool(1, IDLE);
        let (job, seen, go) = blocking();
        let _ = submit(&pool, job);
        start(&pool);
        seen.recv().unwrap();
        assert_eq!(pool.close(Instant::now()), 1);
        drop(go);
    }
}
