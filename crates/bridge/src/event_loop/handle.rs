//! A callback in the queue, and how it is run.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyKeyboardInterrupt, PySystemExit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::context;
use super::current::current;
use crate::running;

/// The handle that `call_soon` returns: `asyncio.Handle` without its cost.
#[pyclass(frozen, weakref, module = "lowmem_serve")]
pub struct Handle {
    /// Left when it runs or is cancelled, so that references end with their use.
    state: Mutex<State>,
}

enum State {
    Due(Call),
    Run,
    Cancelled,
}

struct Call {
    callback: Py<PyAny>,
    args: Py<PyTuple>,
    context: Py<PyAny>,
}

impl Handle {
    pub fn new(
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let context = match context {
            Some(context) if !context.is_none() => context,
            _ => context::copy_current(callback.py())?,
        };
        let call = Call {
            callback: callback.clone().unbind(),
            args: args.clone().unbind(),
            context: context.unbind(),
        };
        Ok(Self {
            state: Mutex::new(State::Due(call)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends its being due, if it is.
    fn leave(&self, next: State) -> Option<Call> {
        let mut state = self.lock();
        if !matches!(*state, State::Due(_)) {
            return None;
        }
        match std::mem::replace(&mut *state, next) {
            State::Due(call) => Some(call),
            State::Run | State::Cancelled => None,
        }
    }

    /// Part of the call, while it is due.
    fn part<T>(&self, of: impl FnOnce(&Call) -> T) -> Option<T> {
        match &*self.lock() {
            State::Due(call) => Some(of(call)),
            State::Run | State::Cancelled => None,
        }
    }

    /// Runs the callback, unless it was cancelled; `Err` is what it raised, and what it was.
    fn run(&self, py: Python<'_>) -> Result<(), (PyErr, Py<PyAny>)> {
        let Some(Call {
            callback,
            args,
            context,
        }) = self.leave(State::Run)
        else {
            return Ok(());
        };
        match context::run(context.bind(py), || callback.bind(py).call1(args.bind(py))) {
            Ok(_) => Ok(()),
            Err(error) => Err((error, callback)),
        }
    }
}

#[pymethods]
impl Handle {
    fn cancel(&self) {
        drop(self.leave(State::Cancelled));
    }

    fn cancelled(&self) -> bool {
        matches!(*self.lock(), State::Cancelled)
    }

    fn get_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.part(|call| call.context.clone_ref(py))
    }

    // Private members of `asyncio.Handle` that libraries use: nest_asyncio runs callbacks itself.

    #[getter]
    fn _cancelled(&self) -> bool {
        self.cancelled()
    }

    #[getter]
    fn _callback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.part(|call| call.callback.clone_ref(py))
    }

    #[getter]
    fn _args(&self, py: Python<'_>) -> Option<Py<PyTuple>> {
        self.part(|call| call.args.clone_ref(py))
    }

    #[getter]
    fn _context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.get_context(py)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        current(py)
    }

    #[getter]
    fn _source_traceback(&self) -> Option<Py<PyAny>> {
        None
    }

    /// Runs the callback, and tells the loop's exception handler what it raises.
    fn _run(slf: &Bound<'_, Self>) -> PyResult<()> {
        run_own(slf.py(), slf.as_unbound())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        // Without the lock: the text of an object is code of others.
        match self._callback(py) {
            Some(callback) => format!("<Handle {}>", callback.bind(py)),
            None => "<Handle cancelled or run>".to_owned(),
        }
    }
}

/// Runs a callback of ours, and tells the loop's exception handler what it raises.
///
/// # Errors
/// An exception that ends the process: SystemExit, KeyboardInterrupt.
pub fn run_own(py: Python<'_>, handle: &Py<Handle>) -> PyResult<()> {
    let Err((error, callback)) = handle.get().run(py) else {
        return Ok(());
    };
    if error.is_instance_of::<PySystemExit>(py) || error.is_instance_of::<PyKeyboardInterrupt>(py) {
        let told = running::ended_with(py, &error);
        return if told { Ok(()) } else { Err(error) };
    }
    let context = PyDict::new(py);
    let message = format!("Exception in callback {}", callback.bind(py));
    context.set_item("message", message)?;
    context.set_item("exception", error.value(py))?;
    context.set_item("handle", handle)?;
    current(py)?.call_method1("call_exception_handler", (context,))?;
    Ok(())
}

/// Runs an `asyncio.Handle` that the standard library made.
pub fn run_foreign(handle: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = handle.py();
    // Its `_run` reports what the callback raises to the loop's exception handler.
    if !handle.getattr(intern!(py, "_cancelled"))?.is_truthy()? {
        handle.call_method0(intern!(py, "_run"))?;
    }
    Ok(())
}
