//! What is told when an application's coroutine has ended.

use std::sync::Arc;

use pyo3::prelude::*;

/// Told once, with what the coroutine returned or raised.
pub trait WhenDone: Send + Sync + 'static {
    /// The coroutine has ended. Called on the worker's thread.
    fn done(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>);

    /// Whether a drain waits for the coroutine, and cancels it when time is up.
    fn holds_up_drain(&self) -> bool;
}

/// A shared listener.
pub type Done = Arc<dyn WhenDone>;
