//! Running coroutines while asyncio is not imported.
//!
//! An application that never imports asyncio needs no loop: its coroutines can only wait for our own
//! awaitables, which wake a [`Light`] task directly. The import of asyncio is noticed
//! (`event_loop/watch.rs`), also in the middle of a step. Then the running coroutine
//! becomes an `asyncio.Task` on the spot: the task's coroutine is the light task itself, which first
//! returns the outcome of the interrupted step and then passes everything on. Light tasks that wait
//! become real ones when they are woken. A coroutine that ends in its first step, as most do, never
//! was a task ([`current`]).

mod current;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};

use pyo3::exceptions::{PyGeneratorExit, PyRuntimeError, PyStopIteration};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyTuple};

use crate::done::Done;
use crate::event_loop;
use crate::event_loop::context;
use crate::report;
use crate::tasks;
pub use current::{Stepped, first_step};

/// A coroutine that is run without asyncio.
#[pyclass(frozen, weakref, module = "lowmem_serve")]
pub struct Light {
    coroutine: Py<PyAny>,
    context: Py<PyAny>,
    state: Mutex<State>,
}

struct State {
    /// Called at the end, and present until then.
    done: Option<Done>,
    /// The outcome of the step in which the coroutine became a task; the task takes it first. Boxed: most
    /// coroutines never become a task.
    outcome: Option<Box<Outcome>>,
    /// The task that it became in the current step.
    adopted: Option<Adopted>,
    /// It is among the tasks that have not ended.
    kept: bool,
}

/// A task made in the middle of a step.
struct Adopted {
    task: Py<PyAny>,
    /// Its first step, which asyncio wanted to run later.
    first_step: event_loop::FirstStep,
}

/// The outcome of a step.
enum Outcome {
    Returned(Py<PyAny>),
    Raised(PyErr),
    Yielded(Py<PyAny>),
}

/// Woken light tasks, in order, and the waker of the task that runs them.
static READY: Mutex<Ready> = Mutex::new(Ready {
    lights: VecDeque::new(),
    runner: None,
});

struct Ready {
    lights: VecDeque<Py<Light>>,
    runner: Option<Waker>,
}

fn ready() -> MutexGuard<'static, Ready> {
    READY.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Light {
    fn new(coroutine: Py<PyAny>, context: Py<PyAny>, done: Done) -> Self {
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the coroutine to its next wait or its end.
    fn step(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let outcome = current::during(slf, || {
            context::run(this.context.bind(py), || {
                Ok(send_none(this.coroutine.bind(py)))
            })
        });
        Self::stepped(slf, outcome.unwrap_or_else(Outcome::Raised))
    }

    /// A step is over.
    fn stepped(slf: &Bound<'_, Self>, outcome: Outcome) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let adopted = this.lock().adopted.take();
        if let Some(adopted) = adopted {
            this.lock().outcome = Some(Box::new(outcome));
            return adopted.go_on(py);
        }
        match outcome {
            Outcome::Returned(value) => this.end(py, Ok(value.into_bound(py))),
            Outcome::Raised(error) => this.end(py, Err(error)),
            Outcome::Yielded(token) if token.bind(py).is(waiting(py)?) => {
                let mut state = this.lock();
                state.kept = true;
                let done = state.done.clone();
                drop(state);
                // One that has ended meanwhile is not stepped.
                if let Some(done) = done {
                    tasks::keep_light(slf, &done);
                }
            }
            // `yield None` asks for another turn, as asyncio has it.
            Outcome::Yielded(token) if token.is_none(py) => wake(slf.clone().unbind()),
            Outcome::Yielded(token) => {
                let text = format!("the application yielded {}, which cannot be awaited", token);
                this.close_quietly(py);
                this.end(py, Err(PyRuntimeError::new_err(text)));
            }
        }
        Ok(())
    }

    fn end(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
        let done = self.lock().done.take();
        self.forget();
        if let Some(done) = done {
            done.done(py, result);
        }
    }

    /// It is no longer among the tasks that have not ended.
    fn forget(&self) {
        if std::mem::take(&mut self.lock().kept) {
            tasks::forget_light(self);
        }
    }

    /// Ends a coroutine that did not end in time.
    pub fn close(&self, py: Python<'_>, message: &str) {
        self.close_quietly(py);
        self.end(py, Err(PyGeneratorExit::new_err(message.to_owned())));
    }

    fn close_quietly(&self, py: Python<'_>) {
        let closed = context::run(self.context.bind(py), || {
            self.coroutine.call_method0(py, intern!(py, "close"))
        });
        if let Err(raised) = closed {
            raised.write_unraisable(py, None);
        }
    }

    /// A light task that was woken after asyncio came becomes a real one.
    fn become_task(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        this.forget();
        let Some(done) = this.lock().done.take() else {
            return Ok(());
        };
        tasks::start_adopted(slf.as_any().clone(), this.context.bind(py), done)
    }
}

/// Runs a coroutine to its next wait or its end.
fn send_none(coroutine: &Bound<'_, PyAny>) -> Outcome {
    let py = coroutine.py();
    let mut result = std::ptr::null_mut();
    // SAFETY: attached; the coroutine and None are alive, and `result` receives a new reference
    // unless the answer is an error, which leaves an exception set.
    let sent = unsafe { ffi::PyIter_Send(coroutine.as_ptr(), ffi::Py_None(), &mut result) };
    if sent == ffi::PySendResult::PYGEN_ERROR {
        return match report::caught(|| Err::<(), _>(PyErr::fetch(py))) {
            Err(error) => Outcome::Raised(error),
            Ok(()) => Outcome::Returned(py.None()),
        };
    }
    // SAFETY: a new reference, as said above.
    let value = unsafe { Bound::from_owned_ptr(py, result) }.unbind();
    if sent == ffi::PySendResult::PYGEN_RETURN {
        Outcome::Returned(value)
    } else {
        Outcome::Yielded(value)
    }
}

impl Adopted {
    /// The interrupted step is over: from here on asyncio runs the coroutine.
    fn go_on(self, py: Python<'_>) -> PyResult<()> {
        event_loop::leave_task(py, self.task.bind(py))?;
        match self.first_step.run(py) {
            // The task has it, and tells.
            Err(error) if !tasks::ended_with(py, &error) => return Err(error),
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

/// The value that our awaitables yield when there is no loop.
#[pyclass(frozen, module = "lowmem_serve")]
struct Waiting;

/// The one [`Waiting`].
pub fn waiting(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static WAITING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let token = WAITING.get_or_try_init(py, || Py::new(py, Waiting).map(Py::into_any))?;
    Ok(token.bind(py))
}

/// A waker for the coroutine that is running now.
///
/// # Errors
/// None of ours is: the awaitable is awaited on a thread or loop that is not the worker's.
pub fn current_waker(py: Python<'_>) -> PyResult<Waker> {
    let light = current::task(py)?.ok_or_else(|| {
        PyRuntimeError::new_err("receive() and send() can only be awaited on the server's thread")
    })?;
    Ok(Waker::from(Arc::new(LightWaker { light })))
}

/// asyncio has just been imported: the coroutine that is running now, if any, becomes a task.
///
/// # Errors
/// The exception that asyncio raised.
pub fn adopt_current(py: Python<'_>) -> PyResult<()> {
    let Some(light) = current::task(py)? else {
        return Ok(());
    };
    let light = light.into_bound(py);
    let this = light.get();
    this.forget();
    let Some(done) = this.lock().done.take() else {
        return Ok(());
    };
    let (task, first_step) =
        tasks::make_adopted(light.as_any().clone(), this.context.bind(py), done)?;
    event_loop::enter_task(py, &task)?;
    this.lock().adopted = Some(Adopted {
        task: task.unbind(),
        first_step,
    });
    Ok(())
}

struct LightWaker {
    light: Py<Light>,
}

impl Wake for LightWaker {
    fn wake(self: Arc<Self>) {
        let light = Python::attach(|py| self.light.clone_ref(py));
        wake(light);
    }
}

fn wake(light: Py<Light>) {
    let mut ready = ready();
    ready.lights.push_back(light);
    let runner = ready.runner.take();
    drop(ready);
    if let Some(runner) = runner {
        runner.wake();
    }
}

/// Runs woken light tasks; a task of the runtime, for as long as the worker lives.
pub async fn run() {
    poll_fn(|cx| {
        // Tasks that these wake in turn must wait until all other work had its turn.
        let batch = std::mem::take(&mut ready().lights);
        for light in batch {
            Python::attach(|py| go_on(light.into_bound(py)));
        }
        let mut ready = ready();
        if ready.lights.is_empty() {
            ready.runner = Some(cx.waker().clone());
        } else {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await
}

fn go_on(light: Bound<'_, Light>) {
    let py = light.py();
    // Woken twice, or ended meanwhile.
    if light.get().lock().done.is_none() {
        return;
    }
    let stepped = if event_loop::is_installed(py) {
        Light::become_task(&light)
    } else {
        Light::step(&light)
    };
    if let Err(error) = stepped.and_then(|()| event_loop::nudge(py)) {
        light.get().end(py, Err(error));
    }
}
