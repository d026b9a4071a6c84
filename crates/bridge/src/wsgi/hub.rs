//! gevent's hub, for an application that has patched the standard library.
//!
//! A patched lock belongs to the hub of the thread that waits for it. Views on native threads would
//! have a hub each, and a lock that they share would be waited for on one and let go on another. So all
//! views are greenlets of one hub, which has a thread of its own. A thread of the pool hands its
//! request over and waits without the interpreter: the pool's rules hold, for how many views there
//! are at a time, and for the end.
//!
//! The hub watches a socket: a byte in it is the one thing that other threads do to it, and takes no
//! lock of Python's.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;

use super::request::Request;
use super::{STACK, Shared, answer};
use crate::{imports, report};

thread_local! {
    /// This thread is a hub's.
    static IS_HUB: Cell<bool> = const { Cell::new(false) };
}

/// The events that watchers of gevent's loops are made for: readable.
const READ: i32 = 1;

/// The hub, as other threads see it.
pub struct Hub {
    state: Mutex<State>,
    rouses: UnixStream,
    roused: UnixStream,
}

struct State {
    stage: Stage,
    messages: Vec<Message>,
}

enum Stage {
    /// No request has come.
    Asleep,
    /// Its thread runs, and lets go of the other end of this when it ends.
    Awake(mpsc::Receiver<()>),
    /// Its thread ends, or has ended.
    Closed,
}

enum Message {
    Answer(Handed),
    Wake(Arc<Sleeper>),
}

/// A request that a thread of the pool has handed over, and waits for the end of.
struct Handed {
    request: Request,
    /// Let go of at the end.
    _done: mpsc::Sender<()>,
}

impl Drop for Handed {
    fn drop(&mut self) {
        // A 500, if the request has no answer yet: the hub has ended, or the application has killed the
        // greenlet before it ran.
        let _ = self.request.exchange.finish();
    }
}

/// A greenlet that waits for the server's thread.
struct Sleeper {
    hub: Weak<Hub>,
    /// A `gevent.event.Event`.
    event: Py<PyAny>,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        if let Some(hub) = self.hub.upgrade() {
            hub.post(Message::Wake(self));
        }
    }
}

/// The callable that a request's greenlet runs.
#[pyclass(frozen, module = "lowmem_serve")]
struct View {
    shared: Arc<Shared>,
    handed: Mutex<Option<Handed>>,
}

#[pymethods]
impl View {
    fn __call__(&self, py: Python<'_>) {
        let handed = {
            let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
            handed.take()
        };
        if let Some(handed) = handed {
            answer::answer(py, &self.shared, &handed.request);
        }
    }
}

impl Hub {
    /// The hub, if the application has patched what views wait with.
    ///
    /// # Errors
    /// There is no descriptor left, or gevent is not as expected.
    pub fn if_patched(py: Python<'_>) -> PyResult<Option<Arc<Self>>> {
        let modules = py.import("sys")?.getattr("modules")?;
        let monkey = modules.call_method1("get", ("gevent.monkey",))?;
        if monkey.is_none() {
            return Ok(None);
        }
        for module in ["threading", "socket", "time"] {
            if monkey
                .call_method1("is_module_patched", (module,))?
                .is_truthy()?
            {
                return Ok(Some(Arc::new(Self::new()?)));
            }
        }
        Ok(None)
    }

    fn new() -> io::Result<Self> {
        let (rouses, roused) = UnixStream::pair()?;
        rouses.set_nonblocking(true)?;
        roused.set_nonblocking(true)?;
        Ok(Self {
            state: Mutex::new(State {
                stage: Stage::Asleep,
                messages: Vec::new(),
            }),
            rouses,
            roused,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the hub answer a request, and waits for it. Called without the interpreter.
    pub fn answer(self: &Arc<Self>, shared: &Arc<Shared>, request: Request) {
        let (done, ended) = mpsc::channel();
        let handed = Handed {
            request,
            _done: done,
        };
        match self.wake(shared) {
            Ok(()) => self.post(Message::Answer(handed)),
            Err(error) => {
                tracing::error!("Cannot start a thread for WSGI requests: {error}");
                drop(handed);
            }
        }
        // An error is the end: nothing is ever sent.
        let _ = ended.recv();
    }

    /// Starts the thread, if none was.
    fn wake(self: &Arc<Self>, shared: &Arc<Shared>) -> io::Result<()> {
        let mut state = self.lock();
        if !matches!(state.stage, Stage::Asleep) {
            return Ok(());
        }
        let (ends, end) = mpsc::channel();
        let (own, shared) = (Arc::clone(self), Arc::clone(shared));
        thread::Builder::new()
            .name("wsgi-hub".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                own.live(&shared);
                drop(ends);
            })?;
        state.stage = Stage::Awake(end);
        Ok(())
    }

    /// Leaves a message. A hub that has ended drops it.
    fn post(&self, message: Message) {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Closed) {
            drop(state);
            return;
        }
        state.messages.push(message);
        drop(state);
        self.rouse();
    }

    fn rouse(&self) {
        // A full socket has roused it already.
        let _ = (&self.rouses).write(&[0]);
    }

    /// Its thread's life.
    fn live(&self, shared: &Arc<Shared>) {
        IS_HUB.set(true);
        Python::attach(|py| {
            imports::watch_thread(py);
            if let Err(error) = self.turn(py, shared) {
                report::exception(py, "gevent's hub failed", &error);
            }
        });
        let left = {
            let mut state = self.lock();
            state.stage = Stage::Closed;
            std::mem::take(&mut state.messages)
        };
        drop(left);
    }

    /// Begins views and wakes those that wait, until the end.
    fn turn(&self, py: Python<'_>, shared: &Arc<Shared>) -> PyResult<()> {
        let gevent = py.import("gevent")?;
        let hub = own_hub(py)?;
        let loop_ = hub.getattr("loop")?;
        let watcher = loop_.call_method1("io", (self.roused.as_raw_fd(), READ))?;
        loop {
            while matches!((&self.roused).read(&mut [0; 64]), Ok(1..)) {}
            let messages = {
                let mut state = self.lock();
                if matches!(state.stage, Stage::Closed) {
                    return Ok(());
                }
                std::mem::take(&mut state.messages)
            };
            for message in messages {
                match message {
                    Message::Answer(handed) => {
                        let view = View {
                            shared: Arc::clone(shared),
                            handed: Mutex::new(Some(handed)),
                        };
                        gevent.call_method1(intern!(py, "spawn"), (Bound::new(py, view)?,))?;
                    }
                    Message::Wake(sleeper) => {
                        sleeper.event.call_method0(py, intern!(py, "set"))?;
                    }
                }
            }
            hub.call_method1(intern!(py, "wait"), (&watcher,))?;
        }
    }

    /// Ends the thread, and waits for that. Called without the interpreter; `false` if it took too
    /// long.
    pub fn end(&self, within: Duration) -> bool {
        let stage = std::mem::replace(&mut self.lock().stage, Stage::Closed);
        self.rouse();
        match stage {
            Stage::Awake(end) => end.recv_timeout(within) != Err(RecvTimeoutError::Timeout),
            Stage::Asleep | Stage::Closed => true,
        }
    }

    /// Asks `poll` until it is ready; while it is not, other greenlets run.
    ///
    /// # Errors
    /// The exception that another greenlet has thrown into this one, such as `gevent.Timeout`.
    pub fn until_ready<T>(
        self: &Arc<Self>,
        py: Python<'_>,
        shared: &Shared,
        mut poll: impl FnMut(&Waker) -> Poll<T>,
    ) -> PyResult<T> {
        let event = py.import("gevent.event")?.call_method0("Event")?;
        let waker = Waker::from(Arc::new(Sleeper {
            hub: Arc::downgrade(self),
            event: event.clone().unbind(),
        }));
        loop {
            event.call_method0(intern!(py, "clear"))?;
            if let Poll::Ready(value) = poll(&waker) {
                return Ok(value);
            }
            let mut waited = Ok(());
            shared.threads.await_owner(|| {
                waited = event.call_method0(intern!(py, "wait")).map(drop);
            });
            waited?;
        }
    }
}

/// Whether the calling thread runs the hub: what waits on it lets other greenlets run.
pub fn is_here() -> bool {
    IS_HUB.get()
}

/// The hub of this thread, with the loop that can wait for child processes: `subprocess` needs it.
/// The main thread's, which would have it, does not turn while the worker serves.
fn own_hub(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let module = py.import("gevent.hub")?;
    let hub = module.getattr("Hub")?.call1((py.None(), true))?;
    module.call_method1("set_hub", (&hub,))?;
    // The application may have been imported in the process that this one was forked from.
    hub.getattr("loop")?.call_method0("reinit")?;
    Ok(hub)
}
