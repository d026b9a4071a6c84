//! Starting a coroutine as a real `asyncio.Task`, at once.
//!
//! A task that is started eagerly runs to its first real wait before its request's turn ends; most
//! never wait at all. CPython 3.12 has `eager_start`; on 3.11 our loop captures the first
//! `call_soon` of the new task and calls it right away, which is the same. A loop that is not ours
//! runs a 3.11 task at its next turn.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::event_loop;

/// Makes tasks on the worker's loop, and keeps them alive: asyncio itself holds them weakly.
pub struct Tasks {
    task: Py<PyAny>,
    coroutine: Py<PyAny>,
    arguments: Py<PyDict>,
    capture: bool,
    running: RefCell<Running>,
    cancelling: Cell<bool>,
}

/// Tasks that have not finished, by slot.
#[derive(Default)]
struct Running {
    slots: Vec<Option<Py<PyAny>>>,
    free: Vec<usize>,
    waiting: Option<Waker>,
}

/// How a task stands after its start.
pub enum Started<'py> {
    /// It has finished, with this result.
    Finished(PyResult<Bound<'py, PyAny>>),
    /// It waits; this is it.
    Waiting(Bound<'py, PyAny>),
}

impl Tasks {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let asyncio = py.import(intern!(py, "asyncio"))?;
        let eager = py.version_info() >= (3, 12);
        let arguments = PyDict::new(py);
        arguments.set_item("loop", event_loop::current(py)?)?;
        if eager {
            arguments.set_item("eager_start", true)?;
        }
        Ok(Self {
            task: asyncio.getattr("Task")?.unbind(),
            coroutine: py.import("types")?.getattr("CoroutineType")?.unbind(),
            arguments: arguments.unbind(),
            capture: !eager && event_loop::is_native(),
            running: RefCell::default(),
            cancelling: Cell::new(false),
        })
    }

    /// Starts `awaitable` in a task with a context of its own.
    pub fn start<'py>(&self, awaitable: Bound<'py, PyAny>) -> PyResult<Started<'py>> {
        let py = awaitable.py();
        let exact = awaitable.get_type().is(self.coroutine.bind(py));
        let task = if !exact {
            // Anything else that can be awaited; it gets a turn later.
            let arguments = PyDict::new(py);
            arguments.set_item(intern!(py, "loop"), event_loop::current(py)?)?;
            py.import(intern!(py, "asyncio"))?.call_method(
                intern!(py, "ensure_future"),
                (awaitable,),
                Some(&arguments),
            )?
        } else if self.capture {
            event_loop::run_first_call(py, || {
                self.task
                    .bind(py)
                    .call((awaitable,), Some(self.arguments.bind(py)))
            })?
        } else {
            self.task
                .bind(py)
                .call((awaitable,), Some(self.arguments.bind(py)))?
        };
        if task.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(Started::Finished(result(&task)));
        }
        Ok(Started::Waiting(task))
    }

    /// Keeps a waiting task alive until [`Self::release`].
    pub fn keep(&self, task: Py<PyAny>) -> usize {
        let mut running = self.running.borrow_mut();
        let slot = running.free.pop();
        match slot {
            Some(slot) => {
                running.slots[slot] = Some(task);
                slot
            }
            None => {
                running.slots.push(Some(task));
                running.slots.len() - 1
            }
        }
    }

    pub fn release(&self, slot: usize) {
        let mut running = self.running.borrow_mut();
        let task = running.slots.get_mut(slot).and_then(Option::take);
        running.free.push(slot);
        let waiting = if running.free.len() == running.slots.len() {
            running.slots.clear();
            running.free.clear();
            running.waiting.take()
        } else {
            None
        };
        drop(running);
        drop(task);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Ready when no task runs.
    pub async fn finished(&self) {
        poll_fn(|cx| {
            if self.running() == 0 {
                return Poll::Ready(());
            }
            self.running.borrow_mut().waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Tasks that have not finished.
    pub fn running(&self) -> usize {
        let running = self.running.borrow();
        running.slots.len() - running.free.len()
    }

    /// Whether [`Self::cancel_all`] was called: what is cancelled now was not the application's wish.
    pub fn is_cancelling(&self) -> bool {
        self.cancelling.get()
    }

    /// Cancels every task that has not finished; says how many there were.
    pub fn cancel_all(&self, py: Python<'_>, message: &str) -> usize {
        self.cancelling.set(true);
        let waiting: Vec<Py<PyAny>> = {
            let running = self.running.borrow();
            running
                .slots
                .iter()
                .flatten()
                .map(|task| task.clone_ref(py))
                .collect()
        };
        for task in &waiting {
            if let Err(error) = task.call_method1(py, intern!(py, "cancel"), (message,)) {
                error.write_unraisable(py, None);
            }
        }
        waiting.len()
    }
}

/// How a finished task ended.
pub fn result<'py>(task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    task.call_method0(intern!(task.py(), "result"))
}
