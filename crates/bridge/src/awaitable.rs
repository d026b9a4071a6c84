//! The awaitables that `receive()` and `send()` return.
//!
//! An awaitable that is ready never suspends its coroutine. One that is not yields a real asyncio
//! future, so that tasks, `wait_for`, anyio, and code that steps coroutines by hand all work; while
//! there is no loop, it wakes the coroutine's light task. It takes its message only when the
//! coroutine runs again: a cancelled `receive()` loses nothing.
//!
//! Both have the methods of a coroutine (`collections.abc.Coroutine`), so `create_task(receive())`
//! works as it does with servers written in Python.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};

use pyo3::PyErrArguments;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;

use crate::{event_loop, light};

/// An awaitable whose result is `None` and there.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct Done;

#[pymethods]
impl Done {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self) -> Option<Py<PyAny>> {
        None
    }

    fn send(&self, py: Python<'_>, _value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        Err(came(py.None()))
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Err(thrown(kind, value, traceback))
    }

    fn close(&self) {}
}

/// The operation that a pending awaitable waits for.
pub trait Source: Send + Sync {
    /// Its result, which is `None` or a message, or `Pending` with the waker registered.
    fn poll(&self, py: Python<'_>, waker: Option<&Waker>) -> Poll<PyResult<Py<PyAny>>>;
}

impl<F> Source for F
where
    F: Fn(Python<'_>, Option<&Waker>) -> Poll<PyResult<Py<PyAny>>> + Send + Sync,
{
    fn poll(&self, py: Python<'_>, waker: Option<&Waker>) -> Poll<PyResult<Py<PyAny>>> {
        self(py, waker)
    }
}

impl From<Arc<dyn Source>> for Pending {
    fn from(source: Arc<dyn Source>) -> Self {
        Self { source }
    }
}

/// A source that has what it has after a turn of the loop. Where a wait that is over at once comes
/// again and again, nothing else would ever run.
struct AfterTurn {
    source: Arc<dyn Source>,
    has_waited: AtomicBool,
}

impl Source for AfterTurn {
    fn poll(&self, py: Python<'_>, waker: Option<&Waker>) -> Poll<PyResult<Py<PyAny>>> {
        if self.has_waited.load(Ordering::Relaxed) {
            return self.source.poll(py, waker);
        }
        if let Some(waker) = waker {
            self.has_waited.store(true, Ordering::Relaxed);
            waker.wake_by_ref();
        }
        Poll::Pending
    }
}

/// An awaitable that asks its source each time the coroutine runs.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct Pending {
    source: Arc<dyn Source>,
}

impl Pending {
    pub fn new(
        source: impl Fn(Python<'_>, Option<&Waker>) -> Poll<PyResult<Py<PyAny>>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            source: Arc::new(source),
        }
    }

    /// The same after a turn of the loop.
    pub fn after_turn(source: Arc<dyn Source>) -> Self {
        Self {
            source: Arc::new(AfterTurn {
                source,
                has_waited: AtomicBool::new(false),
            }),
        }
    }

    fn step(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if let Poll::Ready(result) = self.source.poll(py, None) {
            return Err(came(result?));
        }
        if !event_loop::is_installed(py) {
            return match self.source.poll(py, Some(&light::current_waker(py)?)) {
                Poll::Ready(result) => Err(came(result?)),
                Poll::Pending => Ok(light::waiting(py)?.clone().unbind()),
            };
        }
        let future = event_loop::create_future(py)?;
        let waker = Waker::from(Arc::new(FutureWaker {
            future: future.clone().unbind(),
        }));
        if let Poll::Ready(result) = self.source.poll(py, Some(&waker)) {
            return Err(came(result?));
        }
        // `await future` does the same before it yields the future to its task.
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        Ok(future.unbind())
    }
}

#[pymethods]
impl Pending {
    fn __await__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.step(py)
    }

    fn send(&self, py: Python<'_>, _value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        self.step(py)
    }

    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        &self,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        Err(thrown(kind, value, traceback))
    }

    fn close(&self) {}
}

/// Ends a wait with `value`. A tuple or an exception would be taken apart; messages are neither.
/// Without an instance: CPython 3.11 needs none to hand the value on.
fn came(value: Py<PyAny>) -> PyErr {
    PyErr::new::<PyStopIteration, _>(Plain(value))
}

/// A value that an exception is raised with, as it is.
struct Plain(Py<PyAny>);

impl PyErrArguments for Plain {
    fn arguments(self, _: Python<'_>) -> Py<PyAny> {
        self.0
    }
}

/// The exception that a coroutine's `throw()` was given, in either of its forms.
fn thrown(
    kind: Bound<'_, PyAny>,
    value: Option<Bound<'_, PyAny>>,
    _traceback: Option<Py<PyAny>>,
) -> PyErr {
    let exception = match value {
        Some(value) if !value.is_none() => value,
        _ => kind,
    };
    if exception.is_instance_of::<pyo3::exceptions::PyBaseException>() {
        return PyErr::from_value(exception);
    }
    match exception.call0() {
        Ok(instance) => PyErr::from_value(instance),
        Err(_) => PyRuntimeError::new_err("exceptions must derive from BaseException"),
    }
}

/// Ends a future's wait. The result does not matter: the awaitable asks its source again.
struct FutureWaker {
    future: Py<PyAny>,
}

impl Wake for FutureWaker {
    fn wake(self: Arc<Self>) {
        Python::attach(|py| {
            let future = self.future.bind(py);
            let done = future
                .call_method0(intern!(py, "done"))
                .and_then(|d| d.is_truthy());
            if let Ok(false) = done
                && let Err(error) = future.call_method1(intern!(py, "set_result"), (py.None(),))
            {
                error.write_unraisable(py, Some(future));
            }
        });
    }
}
