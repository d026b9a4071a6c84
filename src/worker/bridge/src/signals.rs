//! The signals a worker answers, unless its application takes them.
//!
//! SIGTERM and SIGINT drain the worker, as its supervisor's order does. The terminal sends Ctrl-C to
//! the whole group, so a worker hears of it twice; the supervisor counts.

use std::cell::{Cell, RefCell};
use std::task::Waker;

use pyo3::prelude::*;

thread_local! {
    static REQUESTED: Cell<bool> = const { Cell::new(false) };
    static WAITING: RefCell<Option<Waker>> = const { RefCell::new(None) };
    static OWNER: Cell<u32> = const { Cell::new(0) };
}

/// Sets the handlers, as Python handlers, so that an application may set its own.
///
/// # Errors
/// Not on the interpreter's main thread.
pub fn install(py: Python<'_>) -> PyResult<()> {
    OWNER.set(std::process::id());
    // The C half of `signal`, which does not import enum.
    let signal = py.import("_signal")?;
    let handler = wrap_pyfunction!(on_stop, py)?;
    for name in ["SIGTERM", "SIGINT"] {
        signal.call_method1("signal", (signal.getattr(name)?, &handler))?;
    }
    Ok(())
}

/// Whether a signal asked the worker to stop; `waker` is woken when one does.
pub fn stop_requested(waker: &Waker) -> bool {
    WAITING.set(Some(waker.clone()));
    REQUESTED.get()
}

#[pyfunction]
fn on_stop(py: Python<'_>, number: i32, _frame: Py<PyAny>) -> PyResult<()> {
    if OWNER.get() != std::process::id() {
        return end_child(py, number);
    }
    REQUESTED.set(true);
    if let Some(waker) = WAITING.take() {
        waker.wake();
    }
    Ok(())
}

/// A child that the application forked inherits the handler, but not what it does: the child dies
/// of the signal, as `multiprocessing.Process.terminate` expects.
fn end_child(py: Python<'_>, number: i32) -> PyResult<()> {
    let signal = py.import("_signal")?;
    signal.call_method1("signal", (number, signal.getattr("SIG_DFL")?))?;
    signal.call_method1("raise_signal", (number,))?;
    Ok(())
}
