//! Running coroutines while asyncio is not imported.
//!
//! An application that never imports asyncio needs no loop: its coroutines can only wait for our own
//! awaitables, which wake a [`Light`] task directly. The import of asyncio is noticed
//! (`import_watch.rs`), also in the middle of a step. Then the running coroutine
//! becomes an `asyncio.Task` on the spot: the task's coroutine is the light task itself, which first
//! returns the outcome of the interrupted step and then passes everything on. Light tasks that wait
//! become real ones when they are woken. A coroutine that ends in its first step, as most do, never
//! was a task ([`current`]).

mod current;
mod outcome;
mod stepped;
mod task;
mod woken;

use std::future::poll_fn;
use std::task::{Poll, Waker};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::done::Done;
use crate::event_loop::{self, FirstStep, context};
use crate::running;
pub use current::{Stepped, first_step};
pub use outcome::waiting;
use outcome::{Outcome, send_none};
use task::{Adopted, Light};
pub use task::{awaited, of_request, requests};

/// Runs the coroutine to its next wait or its end.
fn step(slf: &Bound<'_, Light>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let outcome = current::during(slf, || {
        context::run(this.context.bind(py), || {
            Ok(send_none(this.coroutine.bind(py)))
        })
    });
    stepped::stepped(slf, outcome.unwrap_or_else(Outcome::Raised))
}

/// A light task that was woken after asyncio came becomes a real one.
fn become_task(slf: &Bound<'_, Light>) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    this.forget();
    let Some(done) = this.lock().done.take() else {
        return Ok(());
    };
    start_adopted(slf.as_any().clone(), this.context.bind(py), done)
}

/// A task for a light one that is in the middle of a step, and the step that goes on with it.
///
/// # Errors
/// The exception that asyncio raised.
fn make_adopted<'py>(
    light: Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
    done: Done,
) -> PyResult<(Bound<'py, PyAny>, FirstStep)> {
    let py = light.py();
    let arguments = PyDict::new(py);
    arguments.set_item("loop", event_loop::current(py)?)?;
    arguments.set_item("context", context)?;
    let task_type = py.import("asyncio")?.getattr("Task")?;
    let make = || task_type.call((light,), Some(&arguments));
    let (task, first_step) = event_loop::capture_first_step(py, make)?;
    running::follow(task.clone(), done)?;
    Ok((task, first_step))
}

/// A light task that was woken becomes a real one, which goes on with it.
///
/// # Errors
/// The exception that asyncio raised.
fn start_adopted(light: Bound<'_, PyAny>, context: &Bound<'_, PyAny>, done: Done) -> PyResult<()> {
    let py = light.py();
    let (_task, first_step) = make_adopted(light, context, done)?;
    first_step.run(py)
}

/// A waker for the coroutine that is running now.
///
/// # Errors
/// None of ours is: the awaitable is awaited on a thread or loop that is not the worker's.
pub fn current_waker(py: Python<'_>) -> PyResult<Waker> {
    let light = current::task(py)?.ok_or_else(|| {
        PyRuntimeError::new_err("receive() and send() can only be awaited on the server's thread")
    })?;
    Ok(woken::waker(light))
}

/// asyncio has just been imported: the coroutine that is running now, if any, becomes a task.
///
/// # Errors
/// The exception that asyncio raised.
pub fn adopt_current(py: Python<'_>) -> PyResult<()> {
    let Some(light) = current::task(py)? else {
        return Ok(());
    };
    let light = light.into_bound(py);
    let this = light.get();
    this.forget();
    let Some(done) = this.lock().done.take() else {
        return Ok(());
    };
    let (task, first_step) = make_adopted(light.as_any().clone(), this.context.bind(py), done)?;
    event_loop::enter_task(py, &task)?;
    this.lock().adopted = Some(Adopted {
        task: task.unbind(),
        first_step,
    });
    Ok(())
}

/// Runs woken light tasks; a task of the runtime, for as long as the worker lives.
pub async fn run() {
    poll_fn(|cx| {
        // Tasks that these wake in turn must wait until all other work had its turn.
        let batch = woken::take();
        for light in batch {
            Python::attach(|py| go_on(light.into_bound(py)));
        }
        woken::wait(cx);
        Poll::Pending
    })
    .await
}

fn go_on(light: Bound<'_, Light>) {
    let py = light.py();
    // Woken twice, or ended meanwhile.
    if light.get().lock().done.is_none() {
        return;
    }
    let stepped = if event_loop::is_installed(py) {
        become_task(&light)
    } else {
        step(&light)
    };
    if let Err(error) = stepped.and_then(|()| event_loop::nudge(py)) {
        light.get().end(py, Err(error));
    }
}
