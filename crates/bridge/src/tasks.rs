//! Starting coroutines, and knowing which have not ended.
//!
//! With a loop, each becomes a real `asyncio.Task` that is started at once: it runs to its first
//! real wait before its request's turn ends, and most never wait at all. CPython 3.12 has
//! `eager_start`; on 3.11 our loop keeps the first `call_soon` of the new task and we run it right
//! away, which is the same. A loop that is not ours runs a 3.11 task at its next turn. Without a loop
//! there are [`Light`] tasks.

mod cancelled;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

use crate::done::Done;
use crate::event_loop::{self, FirstStep, context};
use crate::light::{self, Light};
use crate::report;
pub use cancelled::{Request, cancel, was_cancelled};

thread_local! {
    static RUNNING: RefCell<Running> = RefCell::default();
    static MAKER: RefCell<Option<Rc<Maker>>> = const { RefCell::new(None) };
    static CANCELLING: Cell<bool> = const { Cell::new(false) };
}

/// Tasks that have not ended. asyncio itself holds them weakly.
#[derive(Default)]
struct Running {
    tasks: HashMap<usize, Kept<PyAny>>,
    lights: HashMap<usize, Kept<Light>>,
    /// How many of them a drain waits for.
    awaited: usize,
    waiting: Option<Waker>,
}

/// A task, and whether a drain waits for it.
struct Kept<T> {
    task: Py<T>,
    awaited: bool,
    request: Request,
}

impl Running {
    /// Stops counting `kept`. Returns the waker of the wait for the last task, if this was the last.
    fn forgotten<T>(&mut self, kept: Option<&Kept<T>>) -> Option<Waker> {
        self.awaited -= usize::from(kept.is_some_and(|kept| kept.awaited));
        if self.awaited == 0 {
            self.waiting.take()
        } else {
            None
        }
    }
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
            && !is_done(&task)?
        {
            return Err(error);
        }
        Ok(task)
    }
}

/// Calls `make` in a context of its own, and starts what it returns there; `done` is told when that
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
        Begun::Task(task, done) => follow(task, done),
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

/// Has `done` told when `task` has ended, which may be now.
fn follow(task: Bound<'_, PyAny>, done: Done) -> PyResult<()> {
    let py = task.py();
    if is_done(&task)? {
        done.done(py, result(&task));
        return Ok(());
    }
    let key = task.as_ptr() as usize;
    let (awaited, request) = (done.holds_up_drain(), Request::told_by(&done));
    RUNNING.with_borrow_mut(|running| {
        running.awaited += usize::from(awaited);
        let task = task.clone().unbind();
        let kept = Kept {
            task,
            awaited,
            request,
        };
        running.tasks.insert(key, kept)
    });
    let callback = Py::new(py, DoneCallback { done })?;
    task.call_method1(intern!(py, "add_done_callback"), (callback,))
        .map(drop)
}

fn is_done(task: &Bound<'_, PyAny>) -> PyResult<bool> {
    task.call_method0(intern!(task.py(), "done"))?.is_truthy()
}

/// How a finished task ended.
fn result<'py>(task: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    report::caught(|| task.call_method0(intern!(task.py(), "result")))
}

/// Called by asyncio when a task is done.
#[pyclass(frozen, module = "lowmem_serve")]
struct DoneCallback {
    done: Done,
}

#[pymethods]
impl DoneCallback {
    fn __call__(&self, py: Python<'_>, task: &Bound<'_, PyAny>) {
        self.done.done(py, result(task));
        let (task, waiting) = RUNNING.with_borrow_mut(|running| {
            let task = running.tasks.remove(&(task.as_ptr() as usize));
            let waiting = running.forgotten(task.as_ref());
            (task, waiting)
        });
        drop(task);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

/// A task for a light one that is in the middle of a step, and the step that goes on with it.
///
/// # Errors
/// The exception that asyncio raised.
pub fn make_adopted<'py>(
    light: Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
    done: Done,
) -> PyResult<(Bound<'py, PyAny>, FirstStep)> {
    let py = light.py();
    let arguments = PyDict::new(py);
    arguments.set_item("loop", event_loop::current(py)?)?;
    arguments.set_item("context", context)?;
    let task_type = py.import("asyncio")?.getattr("Task")?;
    let make = || task_type.call((light,), Some(&arguments));
    let (task, first_step) = event_loop::capture_first_step(py, make)?;
    follow(task.clone(), done)?;
    Ok((task, first_step))
}

/// A light task that was woken becomes a real one, which goes on with it.
///
/// # Errors
/// The exception that asyncio raised.
pub fn start_adopted(
    light: Bound<'_, PyAny>,
    context: &Bound<'_, PyAny>,
    done: Done,
) -> PyResult<()> {
    let py = light.py();
    let (_task, first_step) = make_adopted(light, context, done)?;
    first_step.run(py)
}

/// Whether a request's task ended with this error: its client gets a 500, and the operator is told.
/// An application that calls `sys.exit` in a request does not end the worker.
pub fn ended_with(py: Python<'_>, error: &PyErr) -> bool {
    let tasks: Vec<_> = RUNNING.with_borrow(|running| {
        running
            .tasks
            .values()
            .map(|kept| kept.task.clone_ref(py))
            .collect()
    });
    tasks.iter().any(|task| {
        let task = task.bind(py);
        is_done(task).unwrap_or(false)
            && result(task).is_err_and(|own| own.value(py).is(error.value(py)))
    })
}

/// Keeps a light task that waits, and that tells `done` of its end.
pub fn keep_light(light: &Bound<'_, Light>, done: &Done) {
    let (awaited, request) = (done.holds_up_drain(), Request::told_by(done));
    let key = std::ptr::from_ref(light.get()) as usize;
    RUNNING.with_borrow_mut(|running| {
        let task = light.clone().unbind();
        let kept = Kept {
            task,
            awaited,
            request,
        };
        if running.lights.insert(key, kept).is_none() {
            running.awaited += usize::from(awaited);
        }
    });
}

/// Ends [`keep_light`].
pub fn forget_light(light: &Light) {
    let key = std::ptr::from_ref(light) as usize;
    let (light, waiting) = RUNNING.with_borrow_mut(|running| {
        let light = running.lights.remove(&key);
        let waiting = running.forgotten(light.as_ref());
        (light, waiting)
    });
    drop(light);
    if let Some(waiting) = waiting {
        waiting.wake();
    }
}

/// The tasks of requests, and of the lifespan.
pub fn all(py: Python<'_>) -> Vec<Py<PyAny>> {
    RUNNING.with_borrow(|running| {
        let tasks = running.tasks.values();
        tasks.map(|kept| kept.task.clone_ref(py)).collect()
    })
}

/// Tasks that a drain waits for.
pub fn running() -> usize {
    RUNNING.with_borrow(|running| running.awaited)
}

/// Ready when no task runs that a drain waits for.
pub async fn finished() {
    poll_fn(|cx| {
        RUNNING.with_borrow_mut(|running| {
            if running.awaited == 0 {
                return Poll::Ready(());
            }
            running.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
    })
    .await;
}

/// Whether [`cancel_all`] was called: what is cancelled now was not the application's wish.
pub fn is_cancelling() -> bool {
    CANCELLING.get()
}

/// Cancels every task that has not ended; says how many there were.
pub fn cancel_all(py: Python<'_>, message: &str) -> usize {
    CANCELLING.set(true);
    let (tasks, lights) = RUNNING.with_borrow(|running| {
        (
            awaited(py, running.tasks.values()),
            awaited(py, running.lights.values()),
        )
    });
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

fn awaited<'a, T: 'a>(py: Python<'_>, kept: impl Iterator<Item = &'a Kept<T>>) -> Vec<Py<T>> {
    kept.filter(|kept| kept.awaited)
        .map(|kept| kept.task.clone_ref(py))
        .collect()
}
