//! The standard library's timers, run from Rust: the heap `loop._scheduled`.

use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// asyncio's own figures: with more cancelled timers than this, and more than half of all, the
/// heap is built anew.
const MIN_SCHEDULED: usize = 100;

/// Moves due timers to `ready` and says how long the next one has to wait.
///
/// # Errors
/// The exception that Python raised.
pub fn due(
    event_loop: &Bound<'_, PyAny>,
    mut ready: impl FnMut(Py<PyAny>),
) -> PyResult<Option<Duration>> {
    let py = event_loop.py();
    let scheduled = event_loop
        .getattr(intern!(py, "_scheduled"))?
        .cast_into::<PyList>()?;
    if scheduled.is_empty() {
        return Ok(None);
    }
    let scheduled = without_many_cancelled(event_loop, scheduled)?;
    let pop = py
        .import(intern!(py, "heapq"))?
        .getattr(intern!(py, "heappop"))?;
    // CLOCK_MONOTONIC is what `loop.time()` reads; its resolution is a nanosecond.
    let now = monotonic();
    while !scheduled.is_empty() {
        let first = scheduled.get_item(0)?;
        let cancelled = first.getattr(intern!(py, "_cancelled"))?.is_truthy()?;
        let when: f64 = first.getattr(intern!(py, "_when"))?.extract()?;
        if !cancelled && when > now {
            return Ok(Some(
                Duration::try_from_secs_f64(when - now).unwrap_or(Duration::MAX),
            ));
        }
        pop.call1((&scheduled,))?;
        first.setattr(intern!(py, "_scheduled"), false)?;
        if cancelled {
            let name = intern!(py, "_timer_cancelled_count");
            let count: i64 = event_loop.getattr(name)?.extract()?;
            event_loop.setattr(name, count - 1)?;
        } else {
            ready(first.unbind());
        }
    }
    Ok(None)
}

fn without_many_cancelled<'py>(
    event_loop: &Bound<'py, PyAny>,
    scheduled: Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyList>> {
    let py = event_loop.py();
    let name = intern!(py, "_timer_cancelled_count");
    if scheduled.len() <= MIN_SCHEDULED {
        return Ok(scheduled);
    }
    let cancelled: usize = event_loop.getattr(name)?.extract()?;
    if cancelled * 2 <= scheduled.len() {
        return Ok(scheduled);
    }
    let kept = PyList::empty(py);
    for timer in scheduled.iter() {
        if timer.getattr(intern!(py, "_cancelled"))?.is_truthy()? {
            timer.setattr(intern!(py, "_scheduled"), false)?;
        } else {
            kept.append(timer)?;
        }
    }
    py.import("heapq")?.call_method1("heapify", (&kept,))?;
    event_loop.setattr(intern!(py, "_scheduled"), &kept)?;
    event_loop.setattr(name, 0)?;
    Ok(kept)
}

fn monotonic() -> f64 {
    let now = lowmem_base::sys::clock::monotonic();
    now.as_secs_f64()
}
