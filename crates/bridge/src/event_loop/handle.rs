//! A callback in the queue, and how it is run.

use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::context;

/// What `call_soon` returns: `asyncio.Handle` without its cost.
#[pyclass(frozen, weakref, module = "lowmem_serve")]
pub struct Handle {
    /// Taken when it runs or is cancelled, so that references end with their use.
    call: Mutex<Option<Call>>,
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
            call: Mutex::new(Some(call)),
        })
    }

    fn take(&self) -> Option<Call> {
        self.call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Runs the callback, unless it was cancelled; `Err` is what it raised, and what it was.
    pub fn run(&self, py: Python<'_>) -> Result<(), (PyErr, Py<PyAny>)> {
        let Some(Call {
            callback,
            args,
            context,
        }) = self.take()
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
        drop(self.take());
    }

    fn cancelled(&self) -> bool {
        self.call
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    fn get_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
        call.as_ref().map(|call| call.context.clone_ref(py))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let callback = {
            let call = self.call.lock().unwrap_or_else(PoisonError::into_inner);
            call.as_ref().map(|call| call.callback.clone_ref(py))
        };
        match callback {
            Some(callback) => format!("<Handle {}>", callback.bind(py)),
            None => "<Handle cancelled or run>".to_owned(),
        }
    }
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
