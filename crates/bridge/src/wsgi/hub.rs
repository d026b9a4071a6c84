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
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;

use lowmem_http::threads::Threads;

use super::request::Request;

thread_local! {
    /// This thread is a hub's.
    static IS_HUB: Cell<bool> = const { Cell::new(false) };
}

/// The hub, as other threads see it.
pub struct Hub {
    state: Mutex<State>,
    rouses: UnixStream,
    pub(super) roused: UnixStream,
}

pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) messages: Vec<Message>,
}

pub(super) enum Stage {
    /// No request has come.
    Asleep,
    /// Its thread runs, and lets go of the other end of this when it ends.
    Awake(mpsc::Receiver<()>),
    /// Its thread ends, or has ended.
    Closed,
}

pub(super) enum Message {
    Answer(Handed),
    Wake(Arc<Sleeper>),
}

/// A request that a thread of the pool has handed over, and waits for the end of.
pub(super) struct Handed {
    request: Request,
    /// Let go of at the end.
    _done: mpsc::Sender<()>,
}

impl Handed {
    /// The other end of `done` waits for the end.
    pub(super) fn new(request: Request, done: mpsc::Sender<()>) -> Self {
        Self {
            request,
            _done: done,
        }
    }

    pub(super) fn request(&self) -> &Request {
        &self.request
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        // A 500, if the request has no answer yet: the hub has ended, or the application has killed the
        // greenlet before it ran.
        let _ = self.request.exchange.finish();
    }
}

/// A greenlet that waits for the server's thread.
pub(super) struct Sleeper {
    hub: Weak<Hub>,
    /// A `gevent.event.Event`.
    pub(super) event: Py<PyAny>,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        if let Some(hub) = self.hub.upgrade() {
            hub.post(Message::Wake(self));
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

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a message. A hub that has ended drops it.
    pub(super) fn post(&self, message: Message) {
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
        threads: &Threads<Request>,
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
            threads.await_owner(|| {
                waited = event.call_method0(intern!(py, "wait")).map(drop);
            });
            waited?;
        }
    }
}

/// The calling thread runs the hub from now on.
pub(super) fn enter() {
    IS_HUB.set(true);
}

/// Whether the calling thread runs the hub: what waits on it lets other greenlets run.
pub fn is_here() -> bool {
    IS_HUB.get()
}
