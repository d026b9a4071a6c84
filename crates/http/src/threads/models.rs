//! The pool in every order of its threads (`models/`). No time passes in a model: whatever waits for a
//! notification that was lost, waits for ever, and loom says so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use loom::thread;

use super::owner::SHORT;
use super::*;

/// Counts how often it is woken.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counting {
    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Something that threads wait for.
struct Event {
    has_come: Mutex<usize>,
    condvar: Condvar,
}

impl Event {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            has_come: Mutex::new(0),
            condvar: Condvar::new(),
        })
    }

    fn come(&self) {
        *self.has_come.lock().unwrap() += 1;
        self.condvar.notify_all();
    }

    fn wait_for(&self, times: usize) {
        let mut has_come = self.has_come.lock().unwrap();
        while *has_come < times {
            has_come = self.condvar.wait(has_come).unwrap();
        }
    }
}

fn model(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    // With more, the models take minutes and find what they find with these.
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// A pool whose owner dozes before it waits: many jobs wait, and one that is not short was done.
fn full() -> Arc<Threads<()>> {
    let pool = Threads::new(1, PATIENCE);
    for _ in 0..4 {
        let _ = pool.submit(());
    }
    let mut state = pool.lock();
    state.owner.is_news = true;
    state.owner.since = now().checked_sub(2 * SHORT);
    state.owner.begun = 1;
    drop(state);
    Arc::new(pool)
}

/// A thread as the pool's owner starts it.
fn start(pool: &Arc<Threads<()>>, done: &Arc<Event>) -> thread::JoinHandle<()> {
    let (pool, done) = (Arc::clone(pool), Arc::clone(done));
    thread::spawn(move || {
        let mut seat = pool.join();
        while seat.wait() {
            while let Some(((), next)) = seat.take() {
                assert_ne!(next, Next::Start, "the pool has its thread");
                seat.done();
                done.come();
            }
        }
    })
}

#[test]
fn a_doze_ends_for_a_thread_that_waits_and_no_waker_is_left_behind() {
    model(|| {
        let (pool, round) = (full(), Event::new());
        let (messenger, told) = (Arc::new(Counting::default()), Arc::new(Counting::default()));
        let waker = Waker::from(Arc::clone(&messenger));
        pool.deliver(&waker);
        let tellers = [false, true].map(|waits| {
            let (pool, round, told) = (Arc::clone(&pool), Arc::clone(&round), Arc::clone(&told));
            thread::spawn(move || {
                pool.tell(Waker::from(told));
                if waits {
                    pool.await_owner(|| round.wait_for(1));
                }
            })
        });
        pool.before_wait();
        round.come();
        for teller in tellers {
            teller.join().unwrap();
        }
        // The owner's thread waits for its descriptors, and comes where its messenger was woken.
        if messenger.times() > 0 {
            pool.deliver(&waker);
        }
        assert_eq!(told.times(), 2);
    });
}

#[test]
fn a_doze_ends_when_threads_have_begun_half_of_the_jobs() {
    model(|| {
        let (pool, done) = (full(), Event::new());
        let thread = start(&pool, &done);
        pool.before_wait();
        done.wait_for(4);
        assert_eq!(pool.close(now() + IDLE), 0);
        thread.join().unwrap();
    });
}

#[test]
fn each_job_is_done_whatever_the_thread_is_at_when_it_is_submitted() {
    model(|| {
        let (pool, done) = (Arc::new(Threads::new(1, PATIENCE)), Event::new());
        assert_eq!(pool.submit(()), Next::Start);
        let thread = start(&pool, &done);
        for _ in 0..2 {
            let _ = pool.submit(());
            pool.before_wait();
        }
        done.wait_for(3);
        assert_eq!(pool.close(now() + IDLE), 0);
        thread.join().unwrap();
    });
}

#[test]
fn a_pool_that_closes_waits_for_its_threads_and_loses_none() {
    model(|| {
        let (pool, done) = (Arc::new(Threads::new(2, PATIENCE)), Event::new());
        assert_eq!(pool.submit(()), Next::Start);
        let thread = start(&pool, &done);
        assert_eq!(pool.close(now() + IDLE), 0);
        assert_eq!(pool.figures().threads, 0);
        thread.join().unwrap();
    });
}
