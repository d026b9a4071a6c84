//! The application's view of the signals that stop the worker.
//!
//! The handlers of [`stop_signals`] decide; the application sees others, and may set its own:
//!
//! - `signal.getsignal(SIGTERM)` is a method of an object with `should_exit`, as under Uvicorn.
//!   Programs look for it: event streams of sse-starlette end when it becomes true.
//! - A handler of the application's never takes the place of ours: those that are set until the
//!   worker is ready are displaced again, and called when the worker begins to drain.
//!
//! Handlers are set through `_signal`, which every interpreter has loaded: `signal` would bring enum.

use std::sync::atomic::{AtomicBool, Ordering};

use lowmem_base::sys::stop_signals;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::report;

/// The object whose methods are the handlers that the application sees.
static SEEN: PyOnceLock<Py<Stopping>> = PyOnceLock::new();

/// `signal.getsignal(signal.SIGTERM).__self__`.
#[pyclass(frozen, module = "lowmem_serve")]
struct Stopping {
    should_exit: AtomicBool,
}

#[pymethods]
impl Stopping {
    /// Whether the worker drains.
    #[getter]
    fn should_exit(&self) -> bool {
        self.should_exit.load(Ordering::Relaxed)
    }

    /// Stops the worker: a handler of the application's has called the one that was there before.
    #[pyo3(signature = (sig, frame=None))]
    fn handle_exit(&self, sig: i32, frame: Option<Py<PyAny>>) {
        let _ = (sig, frame);
        stop_signals::tell();
    }
}

/// Shows the application our handlers, where it has not set its own before it was forked.
///
/// # Errors
/// Not in the main thread.
pub fn install(py: Python<'_>) -> PyResult<()> {
    let signals = py.import("_signal")?;
    let seen = SEEN.get_or_try_init(py, || {
        let should_exit = AtomicBool::new(false);
        Py::new(py, Stopping { should_exit })
    })?;
    let ours = seen.bind(py).getattr("handle_exit")?;
    for number in stop_signals::NUMBERS {
        let set = signals.call_method1("getsignal", (number,))?;
        let handler = if is_of_application(&signals, &set)? {
            set
        } else {
            ours.clone()
        };
        signals.call_method1("signal", (number, handler))?;
    }
    take_back()
}

/// Displaces the handlers that the application has set, and keeps them.
///
/// # Errors
/// The operating system refuses.
pub fn take_back() -> PyResult<()> {
    Ok(stop_signals::take_back()?)
}

/// The worker begins to drain: waiting objects are notified, and the application's handler is called.
pub fn draining(py: Python<'_>, interrupted: bool) {
    if let Some(seen) = SEEN.get(py) {
        seen.get().should_exit.store(true, Ordering::Relaxed);
    }
    let number = stop_signals::number(interrupted);
    let called = py.import("_signal").and_then(|signals| {
        let set = signals.call_method1("getsignal", (number,))?;
        if is_of_application(&signals, &set)? {
            stop_signals::pass_on(number)?;
            py.check_signals()?;
        }
        Ok(())
    });
    match called {
        // That is what it would have done alone; the worker ends in order.
        Err(error) if error.is_instance_of::<PySystemExit>(py) => {}
        Err(error) => {
            report::exception(py, "Exception in the application's signal handler", &error);
        }
        Ok(()) => {}
    }
}

/// Whether a handler is neither ours nor one of Python's own.
fn is_of_application(signals: &Bound<'_, PyModule>, handler: &Bound<'_, PyAny>) -> PyResult<bool> {
    if !handler.is_callable() || handler.is(&signals.getattr("default_int_handler")?) {
        return Ok(false);
    }
    let owner = handler.getattr_opt("__self__")?;
    Ok(owner.is_none_or(|owner| !owner.is_instance_of::<Stopping>()))
}
