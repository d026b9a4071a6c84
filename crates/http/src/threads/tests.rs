use std::sync::mpsc;
use std::thread;

use super::*;

const INTERVAL: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

/// A thread as the pool's owner starts it. There is no interpreter: it is free for every thread.
fn start(pool: &Arc<Threads<Job>>) -> thread::JoinHandle<()> {
    let pool = Arc::clone(pool);
    thread::spawn(move || {
        let mut seat = pool.join();
        while seat.wait() {
            while let Some((job, next)) = seat.take() {
                if next == Next::Start {
                    start(&pool);
                }
                job();
                seat.done();
            }
        }
    })
}

fn pool(most: usize, idle: Duration) -> Arc<Threads<Job>> {
    Arc::new(Threads::with_idle(most, INTERVAL, idle))
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

/// Lets the pool start one more thread for a job, and looks after it as the pool's owner does.
fn add(pool: &Arc<Threads<Job>>, job: Job) {
    let mut next = submit(pool, job);
    loop {
        match next {
            Next::LookAfter(wait) => thread::park_timeout(wait),
            Next::Start => break,
            Next::Nothing => panic!("the job is not looked after"),
        }
        next = pool.grow();
    }
    start(pool);
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
    add(&pool, second);
    second_seen.recv().unwrap();
    let next = submit(&pool, third);
    assert!(matches!(next, Next::LookAfter(_)), "{next:?}");
    thread::park_timeout(2 * PATIENCE);
    assert_eq!(pool.grow(), Next::LookAfter(PATIENCE));
    drop(first_go);
    third_seen.recv().unwrap();
    drop((second_go, third_go));
    assert_eq!(pool.close(Instant::now() + IDLE), 0);
}

#[test]
fn threads_that_find_the_interpreter_free_have_others_started() {
    let pool = pool(5, IDLE);
    let jobs: Vec<_> = (0..4).map(|_| blocking()).collect();
    let mut seen = Vec::new();
    for (job, begun, go) in jobs {
        let _ = submit(&pool, job);
        seen.push((begun, go));
    }
    start(&pool);
    seen[0].0.recv().unwrap();
    thread::park_timeout(PATIENCE);
    while pool.grow() != Next::Start {}
    start(&pool);
    // The pool has no owner any more.
    for (begun, _) in &seen[1..] {
        begun.recv().unwrap();
    }
    assert_eq!(pool.lock().threads, 4, "none for jobs that no thread has");
    drop(seen);
    assert_eq!(pool.close(Instant::now() + IDLE), 0);
}

/// Lets a pool grow to two free threads, and returns the one that was busy last.
fn two_free(pool: &Arc<Threads<Job>>) -> thread::ThreadId {
    let (first, first_seen, first_go) = blocking();
    let (second, second_seen, second_go) = blocking();
    let _ = submit(pool, first);
    start(pool);
    first_seen.recv().unwrap();
    add(pool, second);
    let last = second_seen.recv().unwrap();
    drop(first_go);
    until(|| pool.lock().free.len() == 1);
    drop(second_go);
    until(|| pool.unfinished() == 0);
    last
}

/// Runs a job, and returns its thread.
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
