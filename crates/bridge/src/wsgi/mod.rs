//! WSGI applications (PEP 3333).
//!
//! The server's one thread reads requests and writes responses as for ASGI, but does not hold the
//! interpreter: it attaches only to start, to run signal handlers, and to end. Each request goes as
//! a plain value ([`request::Request`]) to a pool of threads ([`lowmem_http::threads`]), which the first request
//! starts. A thread of the pool is attached for as long as it lives, so that its thread-locals are
//! those of one Python thread, and lets go of the interpreter while it waits: for a job, for more of
//! a request body, for room to send.
//!
//! Both sides meet in the [`Exchange`]. A thread has the connection woken through the pool, which does so
//! for several at once; the connection wakes a thread by unparking it. The exchange's lock is not held
//! while waiting or waking, and the server's thread waits for no lock of Python's.
//!
//! An application that gevent has patched has its views on one thread instead ([`greenlets`], [`hub`]).
//!
//! asyncio plays no part: no loop is made, nothing is imported for one.

mod answer;
mod environ;
mod file_wrapper;
mod greenlets;
mod hub;
mod input;
mod peers;
mod request;
mod response;
mod shared;
mod signals;
mod stack;
mod streams;
mod wait;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_base::counters;
use lowmem_base::sys::memory;
use lowmem_http::server::{Exchange, RequestHead};
use lowmem_http::tasks;
use lowmem_http::threads::Next;

use crate::imports;
use crate::shared_bytes;
pub use request::Link;
use request::Request;
use shared::Shared;
pub use signals::run;
use stack::STACK;

/// How long threads have to end when the worker ends. Those that are free need microseconds.
const ENDING: Duration = Duration::from_millis(500);

thread_local! {
    static STUCK: Cell<bool> = const { Cell::new(false) };
    static SERVED: RefCell<Option<Arc<Shared>>> = const { RefCell::new(None) };
}

/// A WSGI application, as the server calls it.
pub struct Wsgi {
    shared: Arc<Shared>,
    /// A task watches the requests that wait for a thread.
    watched: Rc<Cell<bool>>,
    /// Responses have a messenger.
    delivers: Cell<bool>,
}

impl Wsgi {
    pub fn new(py: Python<'_>, app: Py<PyAny>, config: &WorkerConfig) -> PyResult<Self> {
        memory::one_heap();
        let shared = Arc::new(Shared::new(py, app, config)?);
        SERVED.set(Some(Arc::clone(&shared)));
        Ok(Self {
            shared,
            watched: Rc::default(),
            delivers: Cell::new(false),
        })
    }

    pub fn request(&self, link: &Arc<Link>, head: &RequestHead<'_>, exchange: Arc<Exchange>) {
        if !self.delivers.replace(true) {
            tasks::spawn(deliver(Arc::clone(&self.shared)));
        }
        let next = self
            .shared
            .threads
            .submit(Request::new(head, link, exchange));
        go_on(&self.shared, &self.watched, next);
    }
}

/// Wakes connections whose responses are there.
async fn deliver(shared: Arc<Shared>) {
    poll_fn(|cx| {
        shared.threads.deliver(cx.waker());
        Poll::Pending
    })
    .await
}

/// Does what the pool asks for.
fn go_on(shared: &Arc<Shared>, watched: &Rc<Cell<bool>>, next: Next) {
    let wait = match next {
        Next::Nothing => return,
        Next::Start => {
            start(shared);
            Duration::ZERO
        }
        Next::LookAfter(wait) => wait,
    };
    if !watched.replace(true) {
        let (shared, watched) = (Arc::clone(shared), Rc::clone(watched));
        tasks::spawn(async move {
            look_after(&shared, wait).await;
            watched.set(false);
        });
    }
}

/// Lets the pool grow while jobs wait for too long.
async fn look_after(shared: &Arc<Shared>, mut wait: Duration) {
    loop {
        tokio::time::sleep(wait).await;
        match shared.threads.grow() {
            Next::Nothing => return,
            Next::LookAfter(longer) => wait = longer,
            Next::Start => {
                start(shared);
                wait = Duration::ZERO;
            }
        }
    }
}

fn start(shared: &Arc<Shared>) {
    let own = Arc::clone(shared);
    let started = thread::Builder::new()
        .name("wsgi".to_owned())
        .stack_size(STACK)
        .spawn(move || serve(&own));
    if let Err(error) = started {
        tracing::error!("Cannot start a thread for WSGI requests: {error}");
        for request in shared.threads.not_started() {
            // A 500: no thread will answer it.
            let _ = request.exchange.finish();
        }
    }
}

/// A thread's life.
fn serve(shared: &Arc<Shared>) {
    let mut seat = shared.threads.join();
    if !seat.wait() {
        return;
    }
    Python::attach(|py| {
        imports::watch_thread(py);
        loop {
            // A job that is there is taken without letting go of the interpreter: others would only
            // take turns.
            while let Some((request, next)) = seat.take() {
                if next == Next::Start {
                    start(shared);
                }
                match &shared.hub {
                    Some(hub) => py.detach(|| greenlets::answer(hub, shared, request)),
                    None => {
                        answer::answer(py, shared, &request);
                        drop(request);
                    }
                }
                seat.done();
            }
            if !py.detach(|| seat.wait()) {
                break;
            }
        }
    });
}

fn served() -> Option<Arc<Shared>> {
    SERVED.with_borrow(Clone::clone)
}

/// Requests that have not ended.
pub fn unfinished() -> usize {
    served().map_or(0, |shared| shared.threads.unfinished())
}

/// Requests that a drain waits for.
pub fn awaited() -> usize {
    let not_awaited = served().map_or(0, |shared| shared.streams.not_awaited());
    unfinished().saturating_sub(not_awaited)
}

/// Ready when every request has ended that a drain waits for.
pub async fn finished() {
    let Some(shared) = served() else { return };
    poll_fn(|cx| {
        loop {
            let left_out = shared.streams.not_awaited();
            let finished = shared.threads.poll_finished(cx.waker(), left_out);
            // One of them may have ended meanwhile, and another was taken for it.
            if finished.is_pending() || shared.streams.not_awaited() == left_out {
                return finished;
            }
        }
    })
    .await;
}

/// Ends streams that should have ended; their threads are not waited for. Returns their number.
pub fn give_up_streams() -> usize {
    served().map_or(0, |shared| shared.streams.give_up())
}

/// Ends the threads. Called without the interpreter, which they need for it.
pub fn end() {
    let Some(shared) = served() else { return };
    let stuck = shared.threads.close(Instant::now() + ENDING);
    if stuck > 0 {
        tracing::error!("{stuck} WSGI request(s) did not end in time, and are given up");
        STUCK.set(true);
    }
    if let Some(hub) = &shared.hub
        && !hub.end(ENDING)
    {
        STUCK.set(true);
    }
}

/// Whether threads were left behind in the application. They can't be ended, and must not run on
/// while the interpreter is taken down.
pub fn is_stuck() -> bool {
    STUCK.get()
}

/// Called before the server's thread waits. Threads are called for requests then, so that those which
/// were read in one turn cost one call; and where requests wait for each other, it dozes.
pub fn before_wait() {
    if let Some(shared) = served() {
        shared.threads.before_wait();
    }
}

/// Counts the threads, if this worker counts.
pub fn tell_counters() {
    let Some(page) = counters::mine() else { return };
    if let Some(shared) = served() {
        let figures = shared.threads.figures();
        counters::set(&page.now.wsgi_most, figures.most);
        counters::set(&page.now.wsgi_threads, figures.threads);
        counters::set(&page.now.wsgi_busy, figures.busy);
        counters::set(&page.now.wsgi_waiting, figures.waiting);
        counters::set(&page.now.wsgi_ended, figures.ended);
    }
}

/// Frees the pieces that have been written to clients. Called before the server's thread waits: a Python
/// object that is dropped while no thread is attached is freed when one attaches, and none may do so.
pub fn let_go_of_written() {
    if shared_bytes::is_any_dropped() && unfinished() == 0 {
        shared_bytes::forget_dropped();
        Python::attach(|_| ());
    }
}
