//! Starting coroutines, and cancelling them.
//!
//! With a loop, each becomes a real `asyncio.Task` that is started at once: it runs to its first
//! real wait before its request's turn ends, and most never wait at all. CPython 3.12 has
//! `eager_start`; on 3.11 our loop keeps the first `call_soon` of the new task and we run it right
//! away, which is the same. A loop that is not ours runs a 3.11 task at its next turn. Without a loop
//! there are [`light`] tasks.

mod cancelled;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::done::Done;
use crate::event_loop::{self, context};
use crate::light;
use crate::running;
pub use cancelled::{Why, cancel, give_up_streams, was_cancelled};

thread_local! {
    static MAKER: RefCell<Option<Rc<Maker>>> = const { RefCell::new(None) };
    static CANCELLING: Cell<bool> = const { Cell::new(false) };
}

/// The Python objects that a task is made with.
struct Maker {
    task: Py<PyAny>,
    coroutine: Py<PyAny>,
    /// `loop`, and how a task is started eagerly.
    arguments: Py<PyDict>,
    /// There is no `eager_start`.
    by_capture: bool,
}

impl Maker {
    fn new(py: Python<'_>) -> PyResult<Self> {
        let arguments = PyDict::new(py);
        arguments.set_item("loop", event_loop::current(py)?)?;
        // A task that nests the loop must not be started within a turn of Tokio's.
        let by_capture = py.version_info() < (3, 12) || event_loop::may_nest(py)?;
        if by_capture {
            // Given a name, the task does not format one.
            arguments.set_item("name", "request")?;
        } else {
            arguments.set_item("eager_start", true)?;
        }
        Ok(Self {
            task: py.import("asyncio")?.getattr("Task")?.unbind(),
            coroutine: py.import("types")?.getattr("CoroutineType")?.unbind(),
            arguments: arguments.unbind(),
            by_capture,
        })
    }

    /// A task that has run to its first wait.
    fn make<'py>(&self, coroutine: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = coroutine.py();
        if !coroutine.get_type().is(self.coroutine.bind(py)) {
            // Anything else that can be awaited; it gets a turn later.
            let arguments = PyDict::new(py);
            arguments.set_item(intern!(py, "loop"), event_loop::current(py)?)?;
            let asyncio = py.import(intern!(py, "asyncio"))?;
            return asyncio.call_method("ensure_future", (coroutine,), Some(&arguments));
        }
        let make = || {
            self.task
                .bind(py)
                .call((coroutine,), Some(self.arguments.bind(py)))
        };
        if !self.by_capture {
            return make();
        }
        let (task, first_step) = event_loop::capture_first_step(py, make)?;
        // asyncio raises SystemExit and KeyboardInterrupt here, too, beside keeping them in the task.
        if let Err(error) = first_step.run(py)
            && !running::is_done(&task)?
        {
            return Err(error);
        }
        Ok(task)
    }
}

/// Calls `make` in a context of its own, and starts what it returns there; `done` is called when that
/// has ended.
///
/// # Errors
/// The exception that `make` raised, or its result can't be awaited. `done` is not called.
pub fn start<'py>(
    py: Python<'py>,
    make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    done: Done,
) -> PyResult<()> {
    let context = context::copy_current(py)?;
    let begun = context::run(&context, || {
        let awaitable = make()?;
        // Calling the application may have imported asyncio.
        if event_loop::is_installed(py) {
            return Ok(Begun::Task(maker(py)?.make(awaitable)?, done));
        }
        let coroutine = steppable(awaitable)?;
        Ok(Begun::Light(light::first_step(&coroutine, &context, done)))
    })?;
    match begun {
        Begun::Task(task, done) => running::follow(task, done),
        Begun::Light(stepped) => stepped.go_on(py),
    }
}

/// A coroutine that has run to its first wait.
enum Begun<'py> {
    Task(Bound<'py, PyAny>, Done),
    Light(light::Stepped),
}

fn maker(py: Python<'_>) -> PyResult<Rc<Maker>> {
    if let Some(maker) = MAKER.with_borrow(Clone::clone) {
        return Ok(maker);
    }
    let maker = Rc::new(Maker::new(py)?);
    MAKER.set(Some(Rc::clone(&maker)));
    Ok(maker)
}

/// The part of an awaitable that can be stepped: the coroutine itself, or its iterator.
fn steppable(awaitable: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    /// The first type that was found to have `send`: with most applications there is no other.
    static STEPPABLE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = awaitable.py();
    if STEPPABLE
        .get(py)
        .is_some_and(|known| awaitable.get_type_ptr() == known.as_ptr().cast())
    {
        return Ok(awaitable);
    }
    if awaitable.hasattr(intern!(py, "send"))? {
        STEPPABLE.get_or_init(py, || awaitable.get_type().unbind());
        return Ok(awaitable);
    }
    awaitable.call_method0(intern!(py, "__await__"))
}

/// Whether [`cancel_all`] was called: what is cancelled now was not the application's wish.
pub fn is_cancelling() -> bool {
    CANCELLING.get()
}

/// Cancels every task that has not ended; returns their number.
pub fn cancel_all(py: Python<'_>, message: &str) -> usize {
    CANCELLING.set(true);
    let (tasks, lights) = (running::awaited(py), light::awaited(py));
    for task in &tasks {
        if let Err(error) = task.call_method1(py, intern!(py, "cancel"), (message,)) {
            error.write_unraisable(py, None);
        }
    }
    for light in &lights {
        light.get().close(py, message);
    }
    tasks.len() + lights.len()
}
