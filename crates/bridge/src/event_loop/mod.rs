//! The event loop that serves: none, ours, or one that was asked for.
//!
//! With `--loop auto` the worker turns tokio itself. There is no asyncio until a module imports it;
//! then the standard library's loop is made with its hot queue in Rust ([`native`]), and a tokio
//! task runs its callbacks ([`driver`]). Any other loop turns itself, and turns tokio as one of its readers
//! ([`guest`]).

pub mod context;
mod current;
mod driver;
mod ending;
mod guest;
mod handle;
mod native;
mod timers;

use std::ffi::{c_int, c_void};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use lowmem_base::config::Loop;

use crate::import_watch::{self, Watch};
use crate::{private_names, runtime};
pub use current::{create_future, current, enter_task, leave_task};
pub use ending::end_all;
use handle::Handle;
use native::Native;

/// Our half of the worker's loop, where that is native.
static NATIVE: PyOnceLock<Py<Native>> = PyOnceLock::new();

/// Called when asyncio comes in the middle of a step of a coroutine, which then becomes a task.
pub type AdoptCurrent = fn(Python<'_>) -> PyResult<()>;

static ADOPT_CURRENT: OnceLock<AdoptCurrent> = OnceLock::new();

/// asyncio was imported on another thread: the worker's thread should make the loop.
static DUE: AtomicBool = AtomicBool::new(false);

/// Prepares the loop of this kind, after the application has been imported. `adopt_current` is called when
/// there is none yet, and asyncio is imported later.
///
/// # Errors
/// The exception that importing or calling the loop's factory raised.
pub fn install(py: Python<'_>, kind: &Loop, adopt_current: AdoptCurrent) -> PyResult<()> {
    let event_loop = match kind {
        Loop::Auto if !is_loaded(py, "asyncio")? && !private_names::is_untried(py) => {
            ADOPT_CURRENT.get_or_init(|| adopt_current);
            return import_watch::install(py, &WATCH);
        }
        Loop::Auto => {
            let event_loop = py.import("asyncio")?.call_method0("SelectorEventLoop")?;
            match unfit_for_native(py, &event_loop)? {
                None => return attach_to(py, event_loop),
                Some(why) => tracing::warn!("{why}: serving with --loop asyncio"),
            }
            event_loop
        }
        Loop::Asyncio => py.import("asyncio")?.call_method0("SelectorEventLoop")?,
        Loop::Uvloop => py.import("uvloop")?.call_method0("new_event_loop")?,
        Loop::Factory(path) => call_factory(py, path)?,
    };
    guest::attach(&event_loop)?;
    py.import("asyncio")?
        .call_method1("set_event_loop", (&event_loop,))?;
    current::set(event_loop);
    Ok(())
}

/// asyncio, and libraries that ask `sys.modules` which loop runs, and would find none.
const WATCH: Watch = Watch {
    module: "asyncio",
    askers: &["sniffio", "anyio"],
    imported: on_import,
};

/// Runs the loop within itself, which ours cannot: Tokio's turns do not nest.
const NESTING: [&str; 2] = ["nest_asyncio", "nest_asyncio2"];

fn is_loaded(py: Python<'_>, module: &str) -> PyResult<bool> {
    py.import("sys")?.getattr("modules")?.contains(module)
}

/// Whether the application may run the loop within a callback of it: tasks are then started by the loop
/// and not within a turn of Tokio's.
///
/// # Errors
/// There is no `sys.modules`.
pub fn may_nest(py: Python<'_>) -> PyResult<bool> {
    for module in NESTING {
        if is_loaded(py, module)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Why asyncio's own loop has to turn itself here, if it has to.
fn unfit_for_native(py: Python<'_>, event_loop: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if may_nest(py)? {
        return Ok(Some(
            "nest_asyncio, which runs the event loop within itself, is loaded".to_owned(),
        ));
    }
    let missing = private_names::missing_for_loop(py, event_loop)?;
    Ok(missing.map(|name| {
        let version = py.version_info();
        format!(
            "CPython {}.{} has no {name}, which --loop auto needs",
            version.major, version.minor
        )
    }))
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

/// Makes our loop and has it run from now on.
fn attach(py: Python<'_>) -> PyResult<()> {
    // Before any Python runs: the pending call of an import in another thread may come in the middle.
    DUE.store(false, Ordering::Relaxed);
    let event_loop = py.import("asyncio")?.call_method0("SelectorEventLoop")?;
    attach_to(py, event_loop)
}

fn attach_to(py: Python<'_>, event_loop: Bound<'_, PyAny>) -> PyResult<()> {
    driver::prepare(&event_loop)?;
    let native = native::create(&event_loop)?;
    py.import("asyncio")?
        .call_method1("set_event_loop", (&event_loop,))?;
    Native::attach(&event_loop)?;
    driver::start(&event_loop, &native)?;
    let first = NATIVE.set(py, native.unbind());
    debug_assert!(first.is_ok(), "the loop is installed once");
    current::set(event_loop);
    Ok(())
}

/// asyncio has been imported: called by the watched import, on whichever thread.
fn on_import(py: Python<'_>) -> PyResult<()> {
    if runtime::is_built() {
        attach(py)?;
        return adopt_current(py);
    }
    DUE.store(true, Ordering::Relaxed);
    // The worker's thread may be in the middle of a request that waits for the importing one: it
    // makes the loop before it runs its next Python instructions.
    // SAFETY: a function of the expected type, without an argument.
    if unsafe { ffi::Py_AddPendingCall(Some(on_worker_thread), std::ptr::null_mut()) } < 0 {
        tracing::debug!("the interpreter takes no call now; the loop is made at the next request");
    }
    Ok(())
}

/// Called by the interpreter on its main thread, which is the worker's, with the GIL held.
extern "C" fn on_worker_thread(_: *mut c_void) -> c_int {
    let made = || {
        Python::attach(|py| {
            if DUE.load(Ordering::Relaxed)
                && runtime::is_built()
                && let Err(error) = attach(py).and_then(|()| adopt_current(py))
            {
                error.write_unraisable(py, None);
            }
        });
    };
    // A panic has been reported by its hook, and must not unwind into C.
    let _ = catch_unwind(made);
    0
}

fn adopt_current(py: Python<'_>) -> PyResult<()> {
    match ADOPT_CURRENT.get() {
        Some(adopt) => adopt(py),
        None => Ok(()),
    }
}

/// Whether there is a loop; makes it if another thread has imported asyncio.
pub fn is_installed(py: Python<'_>) -> bool {
    if DUE.load(Ordering::Relaxed)
        && runtime::is_built()
        && let Err(error) = attach(py)
    {
        error.write_unraisable(py, None);
    }
    current::is_set(py)
}

/// The first step of a task, which asyncio would have run later.
pub struct FirstStep(Option<Py<Handle>>);

impl FirstStep {
    /// Runs it.
    ///
    /// # Errors
    /// An exception that ends the process: SystemExit, KeyboardInterrupt.
    pub fn run(self, py: Python<'_>) -> PyResult<()> {
        match self.0 {
            Some(handle) => handle::run_own(py, &handle),
            None => Ok(()),
        }
    }
}

/// Calls `make`, and keeps the first callback that it gives to `call_soon` for the caller to run.
/// In debug mode, and with a loop that is not ours, the callback is queued as asyncio does it.
///
/// # Errors
/// The exception that `make` raised.
pub fn capture_first_step<'py>(
    py: Python<'py>,
    make: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, FirstStep)> {
    match NATIVE.get(py) {
        Some(native) => {
            let (made, handle) = native.get().capture(make);
            Ok((made?, FirstStep(handle)))
        }
        None => Ok((make()?, FirstStep(None))),
    }
}

/// Makes the loop look at its timers: Python code ran outside of its own turns.
///
/// # Errors
/// The exception that Python raised.
pub fn nudge(py: Python<'_>) -> PyResult<()> {
    match NATIVE.get(py) {
        Some(native) => native.get().nudge(py),
        None => Ok(()),
    }
}

/// Has tokio's timers turned by a loop that is not ours, while `has_timers` says there are any.
pub fn tick_while(has_timers: Rc<dyn Fn() -> bool>) {
    guest::tick_while(has_timers);
}

/// Runs the worker's `main` task to its end, on whichever loop there is.
///
/// # Errors
/// An exception of a callback that ends the process: SystemExit, KeyboardInterrupt.
pub fn run(py: Python<'_>, main: impl Future<Output = ()> + 'static) -> PyResult<()> {
    if current::is_set(py) && NATIVE.get(py).is_none() {
        guest::run(&current(py)?, main)
    } else {
        driver::run(main)
    }
}

/// Closes the loop, if there is one. What ran on it has been ended.
///
/// # Errors
/// The exception that the standard library's clean-up raised.
pub fn close(py: Python<'_>) -> PyResult<()> {
    if !current::is_set(py) {
        return Ok(());
    }
    let event_loop = current(py)?;
    if let Some(native) = NATIVE.get(py) {
        native.get().detach(&event_loop, driver::forget)?;
    }
    py.import("asyncio")?
        .call_method1("set_event_loop", (py.None(),))?;
    event_loop.call_method0("close")?;
    Ok(())
}
