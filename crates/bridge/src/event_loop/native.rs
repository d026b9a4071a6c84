//! The standard library's loop with its hot queue in Rust, turned by tokio.
//!
//! The loop is an ordinary `asyncio.SelectorEventLoop`; on the instance, `call_soon`, `_ready`,
//! `stop` and `set_debug` are ours, and all else stays the library's. It does not run
//! by `run_forever`: it is *attached*, which sets what `run_forever` sets, and a tokio task
//! ([`super::driver`]) runs its callbacks from then on. So it can begin in the middle of a request.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use pyo3::exceptions::{PyIndexError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use lowmem_base::sys::stop_signals;

use super::handle::{Handle, run_foreign, run_own};

/// Our half of the loop.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct Native {
    state: Mutex<State>,
    debug: AtomicBool,
    event_loop: Mutex<Option<Py<PyAny>>>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Entry>,
    /// The driver, while it waits.
    waiting: Option<Waker>,
    /// Timers the driver has seen, to notice a new one.
    scheduled: usize,
    /// The next `call_soon` is not queued but kept here.
    capture: Capture,
}

/// A callback that is due.
enum Entry {
    /// One of ours.
    Own(Py<Handle>),
    /// One that the library made: a timer, a reader, or from another thread.
    Foreign(Py<PyAny>),
}

#[derive(Default)]
enum Capture {
    #[default]
    Off,
    Armed,
    Caught(Py<Handle>),
}

/// Creates our half of a loop.
///
/// # Errors
/// The exception that the library raised, or no descriptor was left.
pub fn create<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Native>> {
    let py = event_loop.py();
    let debug = event_loop.call_method0("get_debug")?.is_truthy()?;
    let native = Bound::new(
        py,
        Native {
            state: Mutex::default(),
            debug: AtomicBool::new(debug),
            event_loop: Mutex::new(Some(event_loop.clone().unbind())),
        },
    )?;
    for name in ["call_soon", "stop", "set_debug"] {
        event_loop.setattr(name, native.getattr(name)?)?;
    }
    event_loop.setattr("_ready", &native)?;
    Ok(native)
}

impl Native {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let slot = self
            .event_loop
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(event_loop) => Ok(event_loop.bind(py).clone()),
            None => Err(PyRuntimeError::new_err("Event loop is closed")),
        }
    }

    /// The method that ours stands in front of.
    fn library<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        let event_loop = self.event_loop(py)?;
        event_loop.get_type().getattr(name)
    }

    /// Queues a callback that the library made.
    pub(super) fn push_foreign(&self, handle: Py<PyAny>) {
        self.push(Entry::Foreign(handle));
    }

    fn push(&self, entry: Entry) {
        let mut state = self.lock();
        state.ready.push_back(entry);
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    fn set_capture(&self, capture: Capture) -> Capture {
        std::mem::replace(&mut self.lock().capture, capture)
    }

    /// Calls `make`, and keeps the first callback it gives to `call_soon`.
    pub fn capture<R>(&self, make: impl FnOnce() -> R) -> (R, Option<Py<Handle>>) {
        if self.debug.load(Ordering::Relaxed) {
            return (make(), None);
        }
        // Of an outer capture, if this is one within it.
        let before = self.set_capture(Capture::Armed);
        drop(before);
        let made = make();
        match self.set_capture(Capture::Off) {
            Capture::Caught(handle) => (made, Some(handle)),
            Capture::Armed | Capture::Off => (made, None),
        }
    }

    /// Sets what `run_forever` sets.
    pub fn attach(event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = event_loop.py();
        let identity = py.import("_thread")?.call_method0("get_ident")?;
        event_loop.setattr("_thread_id", identity)?;
        let hooks = PyDict::new(py);
        hooks.set_item("firstiter", event_loop.getattr("_asyncgen_firstiter_hook")?)?;
        hooks.set_item("finalizer", event_loop.getattr("_asyncgen_finalizer_hook")?)?;
        py.import("sys")?
            .call_method("set_asyncgen_hooks", (), Some(&hooks))?;
        py.import("asyncio.events")?
            .call_method1("_set_running_loop", (event_loop,))?;
        let debug = event_loop.call_method0("get_debug")?;
        event_loop.call_method1("_set_coroutine_origin_tracking", (debug,))?;
        Ok(())
    }

    /// Makes the driver look at the timers, if Python code that just ran outside of it set one.
    pub fn nudge(&self, py: Python<'_>) -> PyResult<()> {
        let scheduled = self
            .event_loop(py)?
            .getattr(intern!(py, "_scheduled"))?
            .len()?;
        let mut state = self.lock();
        let waiting = if scheduled > state.scheduled {
            state.waiting.take()
        } else {
            None
        };
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
        Ok(())
    }

    /// Whether nothing is due now; `waker` is then woken when something is. So many timers are set.
    pub(super) fn waits(&self, timers: usize, waker: &Waker) -> bool {
        let mut state = self.lock();
        state.scheduled = timers;
        let waits = state.ready.is_empty();
        if waits {
            state.waiting = Some(waker.clone());
        }
        waits
    }

    /// Runs the callbacks that are due now, not those they add.
    pub(super) fn run_batch(&self, py: Python<'_>) -> PyResult<()> {
        let debug = self.debug.load(Ordering::Relaxed);
        let count = self.lock().ready.len();
        for _ in 0..count {
            let Some(entry) = self.lock().ready.pop_front() else {
                break;
            };
            match entry {
                Entry::Own(handle) => run_own(py, &handle)?,
                Entry::Foreign(handle) if debug => self.run_timed(handle.bind(py))?,
                Entry::Foreign(handle) => run_foreign(handle.bind(py))?,
            }
        }
        Ok(())
    }

    /// Debug mode: asyncio's warning about slow callbacks.
    fn run_timed(&self, handle: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = handle.py();
        let event_loop = self.event_loop(py)?;
        event_loop.setattr("_current_handle", handle)?;
        let start = Instant::now();
        let ran = run_foreign(handle);
        let took = start.elapsed().as_secs_f64();
        event_loop.setattr("_current_handle", py.None())?;
        let slow: f64 = event_loop.getattr("slow_callback_duration")?.extract()?;
        if took >= slow {
            let text = py
                .import("asyncio.base_events")?
                .call_method1("_format_handle", (handle,))?;
            py.import("asyncio.log")?
                .getattr("logger")?
                .call_method1("warning", ("Executing %s took %.3f seconds", text, took))?;
        }
        ran
    }

    /// Ends what [`Self::attach`] began, and gives the loop its own methods back. Before the callbacks that
    /// are left are dropped, `stop_driver` is called.
    pub fn detach(
        &self,
        event_loop: &Bound<'_, PyAny>,
        stop_driver: impl FnOnce(),
    ) -> PyResult<()> {
        let py = event_loop.py();
        for name in ["call_soon", "stop", "set_debug"] {
            event_loop.delattr(name)?;
        }
        event_loop.setattr("_thread_id", py.None())?;
        py.import("asyncio.events")?
            .call_method1("_set_running_loop", (py.None(),))?;
        event_loop.call_method1("_set_coroutine_origin_tracking", (false,))?;
        py.import("sys")?
            .call_method1("set_asyncgen_hooks", (py.None(), py.None()))?;
        stop_driver();
        // Dropped without the lock: a destructor may call `call_soon`.
        let left = std::mem::take(&mut self.lock().ready);
        drop(left);
        let mut slot = self
            .event_loop
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let own = slot.take();
        drop(slot);
        drop(own);
        Ok(())
    }
}

#[pymethods]
impl Native {
    /// `loop.call_soon`
    #[pyo3(signature = (callback, *args, context=None))]
    fn call_soon(
        &self,
        callback: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let py = callback.py();
        if self.debug.load(Ordering::Relaxed) {
            // The library's checks, and its handle with a traceback; it ends in `append`.
            let arguments = PyDict::new(py);
            arguments.set_item("context", context)?;
            let mut all = vec![self.event_loop(py)?, callback.clone()];
            all.extend(args.iter());
            let call = self.library(py, "call_soon")?;
            return Ok(call
                .call(PyTuple::new(py, all)?, Some(&arguments))?
                .unbind());
        }
        let handle = Py::new(py, Handle::new(callback, args, context)?)?;
        let mut state = self.lock();
        if let Capture::Armed = state.capture {
            state.capture = Capture::Caught(handle.clone_ref(py));
            return Ok(handle.into_any());
        }
        drop(state);
        self.push(Entry::Own(handle.clone_ref(py)));
        Ok(handle.into_any())
    }

    /// `loop.stop`: the worker stops serving, as on SIGTERM.
    fn stop(&self) {
        stop_signals::raise();
    }

    /// `loop.set_debug`
    fn set_debug(&self, py: Python<'_>, enabled: bool) -> PyResult<()> {
        self.library(py, "set_debug")?
            .call1((self.event_loop(py)?, enabled))?;
        self.debug.store(enabled, Ordering::Relaxed);
        Ok(())
    }

    // `_ready`, as the library's own methods use it.

    fn append(&self, handle: Py<PyAny>) {
        self.push_foreign(handle);
    }

    fn popleft(&self) -> PyResult<Py<PyAny>> {
        match self.lock().ready.pop_front() {
            Some(Entry::Own(handle)) => Ok(handle.into_any()),
            Some(Entry::Foreign(handle)) => Ok(handle),
            None => Err(PyIndexError::new_err("pop from an empty deque")),
        }
    }

    fn clear(&self) {
        let ready = std::mem::take(&mut self.lock().ready);
        drop(ready);
    }

    fn __len__(&self) -> usize {
        self.lock().ready.len()
    }
}
