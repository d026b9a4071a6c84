//! Waking the owner's thread, and the short doze before it waits.
//!
//! A thread that has done something for the owner's thread has a waker for it. To wake a task of
//! another thread is a write to a descriptor, so only one is woken that way, the *messenger*: it
//! wakes the others, on their own thread. Until it runs, further wakers need no write.
//!
//! While jobs are done one after the other, even that is two switches for each of them: the owner's
//! thread does a job's rest, which is little, and waits again. So where jobs wait for their turn, and
//! no thread could begin a job that it reads meanwhile, it does not wait for its descriptors at once: it
//! dozes until half of the jobs are left, [`DOZE`] is over, or a thread waits for it
//! ([`Threads::await_owner`]). What is done by then is answered together, and the other half keeps
//! the threads busy for as long as it takes to answer and to read.
//!
//! No waker is left behind: a thread that gives one decides under the pool's lock whether the messenger
//! must be woken. It need not be if it has been woken and did not run yet, or in a doze, whose end takes
//! all wakers under the same lock.

use std::mem;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::sync::{self, Condvar, wait};
use super::{State, Threads};

/// The longest doze: what a response may be late by, where requests wait for each other.
const DOZE: Duration = Duration::from_millis(1);

/// So many jobs that wait are worth a doze.
const MANY: usize = 4;

/// Jobs that take no longer than this are about as short as what the owner's thread does for each:
/// beside threads that do them it is busy all the time, and a doze would keep it from its work.
pub(super) const SHORT: Duration = Duration::from_micros(50);

/// The pool's record of its owner's thread.
#[derive(Debug, Default)]
pub(super) struct Owner {
    /// While it dozes: how few jobs end that.
    dozes_until: Option<usize>,
    /// Wakers of its tasks, to be woken by itself.
    told: Vec<Waker>,
    /// Wakes them; there while it waits for some.
    messenger: Option<Waker>,
    /// It was notified since it last was about to wait: jobs get done.
    pub(super) is_news: bool,
    /// Threads that wait for what it reads or writes.
    awaited_by: usize,
    /// When it last was about to wait.
    pub(super) since: Option<Instant>,
    /// Jobs begun since.
    pub(super) begun: u32,
}

impl Owner {
    /// A job was begun, and so many wait now.
    pub(super) fn left(&mut self, jobs: usize, roused: &Condvar) {
        self.begun = self.begun.saturating_add(1);
        if self.dozes_until.is_some_and(|few| jobs <= few) {
            self.rouse(roused);
        }
    }

    /// Whether jobs are short, or none was begun, since it last was about to wait.
    fn is_busy(&mut self, now: Instant) -> bool {
        let begun = mem::take(&mut self.begun);
        let since = self.since.replace(now);
        since.is_none_or(|since| now - since <= SHORT * begun || begun == 0)
    }

    fn rouse(&mut self, roused: &Condvar) {
        if self.dozes_until.take().is_some() {
            roused.notify_one();
        }
    }
}

impl<J> State<J> {
    fn may_doze(&self) -> bool {
        self.owner.is_news && self.owner.awaited_by == 0 && self.waiting.len() >= MANY
    }
}

impl<J> Threads<J> {
    /// Lets the owner's thread wake `waker`, at the latest at the end of its doze. Called by a thread
    /// of the pool.
    pub fn tell(&self, waker: Waker) {
        let mut state = self.lock();
        let owner = &mut state.owner;
        owner.is_news = true;
        owner.told.push(waker);
        let messenger = match owner.dozes_until {
            Some(_) => None,
            None => owner.messenger.take(),
        };
        drop(state);
        if let Some(messenger) = messenger {
            messenger.wake();
        }
    }

    /// Wakes the wakers that were given, and keeps `messenger` for the next: the task that calls this, on the
    /// owner's thread, each time it is polled. There must be one before the first job.
    pub fn deliver(&self, messenger: &Waker) {
        let mut state = self.lock();
        state.owner.messenger = Some(messenger.clone());
        let told = mem::take(&mut state.owner.told);
        drop(state);
        told.into_iter().for_each(Waker::wake);
    }

    /// Runs `wait`, in which a thread of the pool waits for the owner's thread. The owner does not doze
    /// meanwhile.
    pub fn await_owner(&self, wait: impl FnOnce()) {
        let mut state = self.lock();
        state.owner.awaited_by += 1;
        state.owner.rouse(&self.roused);
        drop(state);
        wait();
        self.lock().owner.awaited_by -= 1;
    }

    /// The owner's thread has nothing to do, and waits next. Calls a free thread for jobs
    /// that wait; where many are left, dozes.
    pub fn before_wait(&self) {
        let now = sync::now();
        let mut state = self.lock();
        state.call(now);
        let may_doze = state.may_doze();
        state.owner.is_news = false;
        if state.owner.is_busy(now) || !may_doze {
            return;
        }
        state.owner.dozes_until = Some(state.waiting.len() / 2);
        let mut left = DOZE;
        while state.owner.dozes_until.is_some() && !left.is_zero() {
            state = wait(&self.roused, state, left);
            left = (now + DOZE).saturating_duration_since(sync::now());
        }
        state.owner.dozes_until = None;
        let told = mem::take(&mut state.owner.told);
        drop(state);
        told.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread::{self, Thread};
    use std::time::Instant;

    use super::super::turn::PATIENCE;
    use super::*;

    /// Counts how often it is woken, and unparks a thread as a runtime does.
    struct Counting {
        woken: AtomicUsize,
        owner: Thread,
    }

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.woken.fetch_add(1, Ordering::SeqCst);
            self.owner.unpark();
        }
    }

    impl Counting {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                woken: AtomicUsize::new(0),
                owner: thread::current(),
            })
        }

        fn times(&self) -> usize {
            self.woken.load(Ordering::SeqCst)
        }
    }

    fn tell(pool: &Threads<()>, counting: &Arc<Counting>) {
        pool.tell(Waker::from(Arc::clone(counting)));
    }

    /// A pool in which many jobs wait, and one that is not short was done.
    fn full() -> Threads<()> {
        let pool = Threads::new(1, PATIENCE);
        for _ in 0..MANY {
            let _ = pool.submit(());
        }
        pool.lock().owner.since = Instant::now().checked_sub(2 * SHORT);
        pool.lock().owner.begun = 1;
        pool
    }

    #[test]
    fn who_does_not_doze_is_woken_once_until_it_comes() {
        let (pool, messenger, counting) = (full(), Counting::new(), Counting::new());
        let waker = Waker::from(Arc::clone(&messenger));
        pool.deliver(&waker);
        for _ in 0..3 {
            tell(&pool, &counting);
        }
        assert_eq!((messenger.times(), counting.times()), (1, 0));
        pool.deliver(&waker);
        assert_eq!((messenger.times(), counting.times()), (1, 3));
        tell(&pool, &counting);
        assert_eq!((messenger.times(), counting.times()), (2, 3));
    }

    #[test]
    fn who_dozes_is_woken_at_its_end() {
        let (pool, messenger, counting) = (full(), Counting::new(), Counting::new());
        pool.deliver(&Waker::from(Arc::clone(&messenger)));
        pool.lock().owner.dozes_until = Some(0);
        tell(&pool, &counting);
        assert_eq!(counting.times(), 0);
        pool.before_wait();
        assert_eq!((messenger.times(), counting.times()), (0, 1));
    }

    #[test]
    fn a_doze_ends_when_half_of_the_jobs_are_left() {
        let pool = full();
        let mut seat = pool.join();
        pool.lock().owner.dozes_until = Some(MANY / 2);
        while pool.lock().waiting.len() > MANY / 2 {
            assert!(pool.lock().owner.dozes_until.is_some());
            assert!(seat.take().is_some());
        }
        assert!(pool.lock().owner.dozes_until.is_none());
    }

    #[test]
    fn the_owner_does_not_doze_while_a_thread_waits() {
        let (pool, counting) = (full(), Counting::new());
        pool.lock().owner.dozes_until = Some(0);
        pool.await_owner(|| {
            assert!(pool.lock().owner.dozes_until.is_none());
            tell(&pool, &counting);
            assert!(!pool.lock().may_doze());
        });
        tell(&pool, &counting);
        assert!(pool.lock().may_doze());
    }

    #[test]
    fn a_doze_ends_by_itself_and_comes_once_for_what_was_done() {
        let (pool, counting) = (full(), Counting::new());
        tell(&pool, &counting);
        let begun = Instant::now();
        pool.before_wait();
        assert!(begun.elapsed() >= DOZE);
        assert!(!pool.lock().owner.is_news);
    }

    #[test]
    fn the_owner_does_not_doze_beside_short_jobs_or_where_none_is_begun() {
        let now = Instant::now();
        let mut owner = Owner {
            since: Some(now),
            begun: 2,
            ..Owner::default()
        };
        assert!(owner.is_busy(now + 2 * SHORT));
        assert!(owner.is_busy(now + 9 * SHORT), "none since then");
        owner.begun = 2;
        assert!(!owner.is_busy(now + 14 * SHORT));
    }

    #[test]
    fn no_waker_is_left_behind() {
        const TELLERS: usize = 4;
        const EACH: usize = if cfg!(miri) { 100 } else { 20_000 };
        let (pool, messenger, counting) = (full(), Counting::new(), Counting::new());
        let waker = Waker::from(Arc::clone(&messenger));
        pool.deliver(&waker);
        thread::scope(|scope| {
            for _ in 0..TELLERS {
                scope.spawn(|| {
                    for number in 0..EACH {
                        tell(&pool, &counting);
                        if number % 64 == 0 {
                            pool.await_owner(thread::yield_now);
                        }
                    }
                });
            }
            // Parked for so long, it was forgotten.
            let too_long = Duration::from_secs(20);
            while counting.times() < TELLERS * EACH {
                // As if jobs took their time: it dozes whenever it may.
                pool.lock().owner.begun = 1;
                pool.lock().owner.since = Instant::now().checked_sub(2 * SHORT);
                pool.before_wait();
                let begun = Instant::now();
                thread::park_timeout(too_long);
                assert!(begun.elapsed() < too_long, "{}", counting.times());
                pool.deliver(&waker);
            }
        });
        assert_eq!(counting.times(), TELLERS * EACH);
    }
}
