//! A loop that is not ours turns tokio: as the reader of tokio's own epoll instance.
//!
//! A turn runs every task that can run and ends only when the last look at the kernel woke none,
//! so nothing is left behind that the descriptor would not announce. A task woken from outside a
//! turn (by `send()` in a callback) writes to tokio's eventfd, which makes the descriptor readable.
//! Tokio does not tell its next timer, so while there may be one the loop turns it ten times a
//! second; an idle server has none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pyo3::exceptions::PyOSError;
use pyo3::intern;
use pyo3::prelude::*;

use lowmem_http::tasks;

use crate::runtime;

/// Seconds between turns for timers. Those of the server are seconds long.
const TICK: f64 = 0.1;

thread_local! {
    static TURNING: Cell<bool> = const { Cell::new(false) };
    static TICKING: Cell<bool> = const { Cell::new(false) };
    static EVENT_LOOP: RefCell<Option<Py<PyAny>>> = const { RefCell::new(None) };
    static HAS_TIMERS: RefCell<Option<Rc<dyn Fn() -> bool>>> = const { RefCell::new(None) };
}

/// Has `event_loop` turn the runtime.
///
/// # Errors
/// The loop has no `add_reader`, or the runtime's descriptor can't be found.
pub fn attach(event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = event_loop.py();
    tasks::count_wakeups();
    let epoll = runtime::epoll().ok_or_else(|| {
        PyOSError::new_err("cannot find the runtime's epoll descriptor in /proc/self/fd")
    })?;
    let turn = wrap_pyfunction!(turn, py)?;
    event_loop.call_method1(intern!(py, "add_reader"), (epoll, &turn))?;
    event_loop.call_method1(intern!(py, "call_soon"), (&turn,))?;
    EVENT_LOOP.set(Some(event_loop.clone().unbind()));
    Ok(())
}

/// Turns the runtime for its timers while `has_timers` says that there are any.
pub fn tick_while(has_timers: Rc<dyn Fn() -> bool>) {
    HAS_TIMERS.set(Some(has_timers));
}

/// Runs `main` as a task of the runtime, and `event_loop` until it ends.
///
/// # Errors
/// An exception of a callback that ends the process: SystemExit, KeyboardInterrupt.
pub fn run(
    event_loop: &Bound<'_, PyAny>,
    main: impl Future<Output = ()> + 'static,
) -> PyResult<()> {
    let py = event_loop.py();
    let stopped = event_loop.clone().unbind();
    runtime::enter(|| {
        tasks::spawn(async move {
            main.await;
            Python::attach(|py| {
                if let Err(error) = stopped.call_method0(py, intern!(py, "stop")) {
                    error.write_unraisable(py, None);
                }
            });
        });
    });
    event_loop
        .call_method0(intern!(py, "run_forever"))
        .map(drop)
}

/// Runs the runtime's tasks until none can run.
#[pyfunction]
fn turn(py: Python<'_>) -> PyResult<()> {
    if TURNING.replace(true) {
        return Ok(());
    }
    runtime::block_on(async {
        loop {
            let before = tasks::wakeups();
            tokio::task::yield_now().await;
            if tasks::wakeups() == before {
                break;
            }
        }
    });
    runtime::run_before_wait();
    TURNING.set(false);
    match runtime::take_signal_error() {
        Some(error) => Err(error),
        None => schedule_tick(py),
    }
}

/// Turns the runtime for its timers.
#[pyfunction]
fn tick(py: Python<'_>) -> PyResult<()> {
    TICKING.set(false);
    turn(py)
}

fn schedule_tick(py: Python<'_>) -> PyResult<()> {
    let has_timers = HAS_TIMERS.with_borrow(Clone::clone);
    if TICKING.get() || !has_timers.is_some_and(|has_timers| has_timers()) {
        return Ok(());
    }
    let event_loop = EVENT_LOOP.with_borrow(|slot| slot.as_ref().map(|l| l.clone_ref(py)));
    if let Some(event_loop) = event_loop {
        let tick = wrap_pyfunction!(tick, py)?;
        event_loop.call_method1(py, intern!(py, "call_later"), (TICK, tick))?;
        TICKING.set(true);
    }
    Ok(())
}
