//! The class of a light task, and those that wait.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyGeneratorExit, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::outcome::Outcome;
use crate::done::{Done, Request};
use crate::event_loop::{self, context};
use crate::running::{self, Kept};

thread_local! {
    /// Those that wait.
    static WAITING: RefCell<HashMap<usize, Kept<Light>>> = RefCell::default();
}

/// A coroutine that is run without asyncio.
#[pyclass(frozen, weakref, module = "lowmem_serve")]
pub struct Light {
    pub(super) coroutine: Py<PyAny>,
    pub(super) context: Py<PyAny>,
    state: Mutex<State>,
}

pub(super) struct State {
    /// Called at the end, and present until then.
    pub(super) done: Option<Done>,
    /// The outcome of the step in which the coroutine became a task; the task takes it first. Boxed: most
    /// coroutines never become a task.
    pub(super) outcome: Option<Box<Outcome>>,
    /// The task that it became in the current step.
    pub(super) adopted: Option<Adopted>,
    /// It is among those that wait.
    kept: bool,
}

/// A task made in the middle of a step.
pub(super) struct Adopted {
    pub(super) task: Py<PyAny>,
    /// Its first step, which asyncio wanted to run later.
    pub(super) first_step: event_loop::FirstStep,
}

impl Light {
    pub(super) fn new(coroutine: Py<PyAny>, context: Py<PyAny>, done: Done) -> Self {
        Self {
            coroutine,
            context,
            state: Mutex::new(State {
                done: Some(done),
                outcome: None,
                adopted: None,
                kept: false,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it until it ends or becomes an `asyncio.Task`.
    pub(super) fn keep(slf: &Bound<'_, Self>) {
        let mut state = slf.get().lock();
        state.kept = true;
        let done = state.done.clone();
        drop(state);
        // One that has ended meanwhile is not stepped.
        let Some(done) = done else { return };
        let key = std::ptr::from_ref(slf.get()) as usize;
        let kept = Kept::new(slf.clone().unbind(), &done);
        WAITING.with_borrow_mut(|waiting| {
            // One that waits again is counted already.
            waiting.entry(key).or_insert_with(|| {
                running::enter(&kept);
                kept
            });
        });
    }

    pub(super) fn end(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
        let done = self.lock().done.take();
        self.forget();
        if let Some(done) = done {
            done.done(py, result);
        }
    }

    /// Ends [`Self::keep`].
    pub(super) fn forget(&self) {
        if !std::mem::take(&mut self.lock().kept) {
            return;
        }
        let key = std::ptr::from_ref(self) as usize;
        let kept = WAITING.with_borrow_mut(|waiting| waiting.remove(&key));
        if let Some(kept) = kept {
            running::leave(&kept);
        }
    }

    /// Ends a coroutine that did not end in time.
    pub fn close(&self, py: Python<'_>, message: &str) {
        self.close_quietly(py);
        self.end(py, Err(PyGeneratorExit::new_err(message.to_owned())));
    }

    pub(super) fn close_quietly(&self, py: Python<'_>) {
        let closed = context::run(self.context.bind(py), || {
            self.coroutine.call_method0(py, intern!(py, "close"))
        });
        if let Err(raised) = closed {
            raised.write_unraisable(py, None);
        }
    }
}

impl Adopted {
    /// The interrupted step is over: from here on asyncio runs the coroutine.
    pub(super) fn go_on(self, py: Python<'_>) -> PyResult<()> {
        event_loop::leave_task(py, self.task.bind(py))?;
        match self.first_step.run(py) {
            // The task has it, and tells.
            Err(error) if !running::ended_with(py, &error) => return Err(error),
            _ => {}
        }
        event_loop::nudge(py)
    }
}

/// The coroutine of a task: first what is known, then everything is passed on.
#[pymethods]
impl Light {
    fn send(&self, py: Python<'_>, value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let outcome = self.lock().outcome.take();
        match outcome.map(|outcome| *outcome) {
            None => self
                .coroutine
                .call_method1(py, intern!(py, "send"), (value,)),
            Some(Outcome::Yielded(token)) => Ok(token),
            Some(Outcome::Raised(error)) => Err(error),
            Some(Outcome::Returned(value)) => {
                let stop = py.get_type::<PyStopIteration>().call1((value,))?;
                Err(PyErr::from_value(stop))
            }
        }
    }

    /// With an outcome that the task has not seen yet, a cancellation is what it would have been had
    /// the task made the step itself: of what is awaited, or else of the task.
    #[pyo3(signature = (*args))]
    fn throw(&self, py: Python<'_>, args: Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let outcome = self.lock().outcome.take();
        match outcome.map(|outcome| *outcome) {
            Some(Outcome::Raised(error)) => return Err(error),
            Some(Outcome::Returned(_)) => {
                return Err(PyErr::from_value(args.get_item(0)?));
            }
            Some(Outcome::Yielded(awaited)) => {
                let message = args.get_item(0)?.getattr(intern!(py, "args"))?;
                let message = message.cast_into::<PyTuple>()?;
                let awaited = awaited.bind(py);
                if awaited.hasattr(intern!(py, "cancel"))?
                    && awaited
                        .call_method1(intern!(py, "cancel"), message)?
                        .is_truthy()?
                {
                    return Ok(awaited.clone().unbind());
                }
            }
            None => {}
        }
        self.coroutine.call_method1(py, intern!(py, "throw"), args)
    }

    #[pyo3(name = "close")]
    fn close_coroutine(&self, py: Python<'_>) -> PyResult<()> {
        self.coroutine
            .call_method0(py, intern!(py, "close"))
            .map(drop)
    }

    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.send(py, py.None())
    }

    /// Passes on the attributes that debuggers and `inspect` read of a coroutine.
    fn __getattr__(&self, py: Python<'_>, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        self.coroutine.getattr(py, name)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<lowmem_serve request {}>", self.coroutine.bind(py))
    }
}

/// Those that a drain waits for.
pub fn awaited(py: Python<'_>) -> Vec<Py<Light>> {
    WAITING.with_borrow(|waiting| running::of_a_drain(py, waiting.values()))
}

/// The listeners to the ends of those that a drain waits for.
pub fn requests() -> Vec<Done> {
    WAITING.with_borrow(|waiting| running::requests_of(waiting.values()))
}

/// The light task of a request, if it waits.
pub fn of_request(py: Python<'_>, request: Request) -> Option<Py<Light>> {
    WAITING.with_borrow(|waiting| {
        let kept = waiting
            .values()
            .find(|kept| Request::told_by(&kept.done) == request);
        kept.map(|kept| kept.task.clone_ref(py))
    })
}
