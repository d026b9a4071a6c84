//! The event loop that serves: ours, or one that was asked for.
//!
//! With `--loop auto` the standard library's loop has its hot queue in Rust ([`native`]) and is
//! turned by tokio. Any other loop turns itself, and turns tokio as one of its readers ([`guest`]).

mod guest;
mod handle;
mod native;
mod timers;

use std::rc::Rc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use lowmem_serve::config::Loop;

use native::Native;

/// The worker's loop, and our half of it where it is native.
struct Installed {
    event_loop: Py<PyAny>,
    native: Option<Py<Native>>,
}

static INSTALLED: PyOnceLock<Installed> = PyOnceLock::new();

/// Creates the worker's loop and makes it the thread's current one.
///
/// # Errors
/// What importing or calling the loop's factory raised.
pub fn install(py: Python<'_>, kind: &Loop) -> PyResult<()> {
    let asyncio = py.import("asyncio")?;
    let (event_loop, native) = match kind {
        Loop::Auto => {
            let (event_loop, native) = native::create(py)?;
            (event_loop, Some(native.unbind()))
        }
        Loop::Asyncio => (asyncio.call_method0("SelectorEventLoop")?, None),
        Loop::Uvloop => (py.import("uvloop")?.call_method0("new_event_loop")?, None),
        Loop::Factory(path) => (call_factory(py, path)?, None),
    };
    if native.is_none() {
        guest::attach(&event_loop)?;
    }
    asyncio.call_method1("set_event_loop", (&event_loop,))?;
    let installed = Installed {
        event_loop: event_loop.unbind(),
        native,
    };
    let first = INSTALLED.set(py, installed);
    debug_assert!(first.is_ok(), "the loop is installed once");
    Ok(())
}

fn call_factory<'py>(py: Python<'py>, path: &str) -> PyResult<Bound<'py, PyAny>> {
    let (module, attributes) = path.split_once(':').ok_or_else(|| {
        PyRuntimeError::new_err(format!(
            "--loop {path:?} must be a name or \"module:factory\""
        ))
    })?;
    let mut object = py.import(module)?.into_any();
    for name in attributes.split('.') {
        object = object.getattr(name)?;
    }
    object.call0()
}

fn installed(py: Python<'_>) -> PyResult<&Installed> {
    INSTALLED
        .get(py)
        .ok_or_else(|| PyRuntimeError::new_err("there is no event loop yet"))
}

/// The worker's loop.
///
/// # Errors
/// There is none yet.
pub fn current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    Ok(installed(py)?.event_loop.bind(py).clone())
}

/// A future on the worker's loop.
///
/// # Errors
/// There is no loop, or no memory.
pub fn create_future(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    installed(py)?
        .event_loop
        .bind(py)
        .call_method0(intern!(py, "create_future"))
}

/// Whether the loop's queue is ours.
pub fn is_native() -> bool {
    Python::attach(|py| {
        INSTALLED
            .get(py)
            .is_some_and(|installed| installed.native.is_some())
    })
}

/// Calls `make`, and at once the first callback that it gives to `call_soon`.
///
/// # Errors
/// What either raised.
pub fn run_first_call<'py>(
    py: Python<'py>,
    make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match &installed(py)?.native {
        Some(native) => native.get().run_first_call(py, make),
        None => make(),
    }
}

/// Has the loop look at its timers: Python code ran outside of its own turns.
///
/// # Errors
/// What Python raised.
pub fn nudge(py: Python<'_>) -> PyResult<()> {
    match &installed(py)?.native {
        Some(native) => native.get().nudge(py),
        None => Ok(()),
    }
}

/// Has tokio's timers turned by a loop that is not ours, while `has_timers` says there are any.
pub fn tick_while(has_timers: Rc<dyn Fn() -> bool>) {
    guest::tick_while(has_timers);
}

/// Runs the loop until [`stop`].
///
/// # Errors
/// What a callback raised that ends the process: SystemExit, KeyboardInterrupt.
pub fn run_forever(py: Python<'_>) -> PyResult<()> {
    current(py)?.call_method0("run_forever")?;
    Ok(())
}

/// Ends [`run_forever`] after the current turn.
pub fn stop() {
    Python::attach(|py| {
        if let Err(error) = current(py).and_then(|l| l.call_method0("stop")) {
            error.write_unraisable(py, None);
        }
    });
}

/// Ends what still runs on the loop, as `asyncio.run` does, and closes it.
///
/// # Errors
/// What the standard library's clean-up raised.
pub fn close(py: Python<'_>) -> PyResult<()> {
    let event_loop = current(py)?;
    let runners = py.import("asyncio.runners")?;
    runners.call_method1("_cancel_all_tasks", (&event_loop,))?;
    for ending in ["shutdown_asyncgens", "shutdown_default_executor"] {
        let coroutine = event_loop.call_method0(ending)?;
        event_loop.call_method1("run_until_complete", (coroutine,))?;
    }
    py.import("asyncio")?
        .call_method1("set_event_loop", (py.None(),))?;
    if let Some(native) = &installed(py)?.native {
        native.get().detach(&event_loop)?;
    }
    event_loop.call_method0("close")?;
    Ok(())
}
