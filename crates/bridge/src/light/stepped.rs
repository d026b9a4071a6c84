//! The end of a step.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::outcome::{Outcome, waiting};
use super::task::Light;
use super::woken::wake;

/// A step is over: the task ends, waits, or is queued for another turn.
///
/// # Errors
/// The exception that asyncio raised, for a task that it has taken over.
pub fn stepped(slf: &Bound<'_, Light>, outcome: Outcome) -> PyResult<()> {
    let py = slf.py();
    let this = slf.get();
    let adopted = this.lock().adopted.take();
    if let Some(adopted) = adopted {
        this.lock().outcome = Some(Box::new(outcome));
        return adopted.go_on(py);
    }
    match outcome {
        Outcome::Returned(value) => this.end(py, Ok(value.into_bound(py))),
        Outcome::Raised(error) => this.end(py, Err(error)),
        Outcome::Yielded(token) if token.bind(py).is(waiting(py)?) => Light::keep(slf),
        // `yield None` asks for another turn, as asyncio has it.
        Outcome::Yielded(token) if token.is_none(py) => wake(slf.clone().unbind()),
        Outcome::Yielded(token) => {
            let text = format!("the application yielded {}, which cannot be awaited", token);
            this.close_quietly(py);
            this.end(py, Err(PyRuntimeError::new_err(text)));
        }
    }
    Ok(())
}
