//! The thread of gevent's hub: each view is a greenlet of it.

use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use pyo3::intern;
use pyo3::prelude::*;

use super::answer;
use super::hub::{self, Handed, Hub, Message, Stage};
use super::request::Request;
use super::shared::Shared;
use super::stack::STACK;
use crate::{imports, report};

/// The events that watchers of gevent's loops are made for: readable.
const READ: i32 = 1;

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
            answer::answer(py, &self.shared, handed.request());
        }
    }
}

/// Lets the hub answer a request, and waits for it. Called without the interpreter.
pub(super) fn answer(hub: &Arc<Hub>, shared: &Arc<Shared>, request: Request) {
    let (done, ended) = mpsc::channel();
    let handed = Handed::new(request, done);
    match wake(hub, shared) {
        Ok(()) => hub.post(Message::Answer(handed)),
        Err(error) => {
            tracing::error!("Cannot start a thread for WSGI requests: {error}");
            drop(handed);
        }
    }
    // An error is the end: nothing is ever sent.
    let _ = ended.recv();
}

/// Starts the thread, if none was.
fn wake(hub: &Arc<Hub>, shared: &Arc<Shared>) -> io::Result<()> {
    let mut state = hub.lock();
    if !matches!(state.stage, Stage::Asleep) {
        return Ok(());
    }
    let (ends, end) = mpsc::channel();
    let (own, shared) = (Arc::clone(hub), Arc::clone(shared));
    thread::Builder::new()
        .name("wsgi-hub".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            live(&own, &shared);
            drop(ends);
        })?;
    state.stage = Stage::Awake(end);
    Ok(())
}

/// Its thread's life.
fn live(hub: &Hub, shared: &Arc<Shared>) {
    hub::enter();
    Python::attach(|py| {
        imports::watch_thread(py);
        if let Err(error) = turn(hub, py, shared) {
            report::exception(py, "gevent's hub failed", &error);
        }
    });
    let left = {
        let mut state = hub.lock();
        state.stage = Stage::Closed;
        std::mem::take(&mut state.messages)
    };
    drop(left);
}

/// Begins views and wakes those that wait, until the end.
fn turn(own: &Hub, py: Python<'_>, shared: &Arc<Shared>) -> PyResult<()> {
    let gevent = py.import("gevent")?;
    let hub = own_hub(py)?;
    let loop_ = hub.getattr("loop")?;
    let watcher = loop_.call_method1("io", (own.roused.as_raw_fd(), READ))?;
    loop {
        while matches!((&own.roused).read(&mut [0; 64]), Ok(1..)) {}
        let messages = {
            let mut state = own.lock();
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
