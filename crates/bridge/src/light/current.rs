//! The coroutine that is being stepped, and its light task, which is made only when it is needed.

use std::cell::RefCell;

use pyo3::prelude::*;

use super::outcome::{Outcome, send_none};
use super::stepped::stepped;
use super::task::Light;
use crate::done::Done;

thread_local! {
    static CURRENT: RefCell<Current> = const { RefCell::new(Current::None) };
}

/// The coroutine whose step is running.
#[derive(Default)]
enum Current {
    #[default]
    None,
    First(First),
    Task(Py<Light>),
}

/// A coroutine in its first step. Most end in it, and no task is made for them.
struct First {
    coroutine: Py<PyAny>,
    context: Py<PyAny>,
    done: Done,
}

/// A first step that is over.
pub struct Stepped {
    whose: Current,
    outcome: Outcome,
}

/// Runs `coroutine` to its first wait, in `context`, which is entered.
pub fn first_step<'py>(
    coroutine: &Bound<'py, PyAny>,
    context: &Bound<'py, PyAny>,
    done: Done,
) -> Stepped {
    let first = First {
        coroutine: coroutine.clone().unbind(),
        context: context.clone().unbind(),
        done,
    };
    let outer = CURRENT.replace(Current::First(first));
    let outcome = send_none(coroutine);
    let whose = CURRENT.replace(outer);
    Stepped { whose, outcome }
}

impl Stepped {
    /// Tells of the end, or keeps the coroutine until it is woken. Outside of the context.
    ///
    /// # Errors
    /// No memory.
    pub fn go_on(self, py: Python<'_>) -> PyResult<()> {
        match (self.whose, self.outcome) {
            (Current::First(first), Outcome::Returned(value)) => {
                first.done.done(py, Ok(value.into_bound(py)));
                Ok(())
            }
            (Current::First(first), Outcome::Raised(error)) => {
                first.done.done(py, Err(error));
                Ok(())
            }
            (Current::First(first), yielded) => {
                stepped(&first.into_task(py)?.into_bound(py), yielded)
            }
            (Current::Task(light), outcome) => stepped(&light.into_bound(py), outcome),
            (Current::None, _) => Ok(()),
        }
    }
}

impl First {
    fn into_task(self, py: Python<'_>) -> PyResult<Py<Light>> {
        Py::new(py, Light::new(self.coroutine, self.context, self.done))
    }
}

/// Steps a task: runs `step` while it is the current one.
pub fn during<R>(light: &Bound<'_, Light>, step: impl FnOnce() -> R) -> R {
    let outer = CURRENT.replace(Current::Task(light.clone().unbind()));
    let result = step();
    CURRENT.set(outer);
    result
}

/// The task that is being stepped, made now if it is a first step.
///
/// # Errors
/// No memory.
pub fn task(py: Python<'_>) -> PyResult<Option<Py<Light>>> {
    let light = match CURRENT.take() {
        Current::None => return Ok(None),
        Current::First(first) => first.into_task(py)?,
        Current::Task(light) => light,
    };
    CURRENT.set(Current::Task(light.clone_ref(py)));
    Ok(Some(light))
}
