//! The listener to the end of an application's coroutine.

use std::sync::Arc;

use pyo3::prelude::*;

/// Called once, with the result or the exception of the coroutine.
pub trait WhenDone: Send + Sync + 'static {
    /// The coroutine has ended. Called on the worker's thread.
    fn done(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>);

    /// Whether a drain waits for the coroutine, and cancels it when time is up.
    fn holds_up_drain(&self) -> bool;

    /// Ends a stream that the coroutine goes on with though it should have ended, in the coroutine's place.
    /// Says whether it works on such a stream.
    fn give_up_stream(&self) -> bool {
        false
    }
}

/// A shared listener.
pub type Done = Arc<dyn WhenDone>;

/// The request that a coroutine works on: the address of the listener to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request(usize);

impl Request {
    pub fn of<T: WhenDone>(request: &T) -> Self {
        Self(std::ptr::from_ref(request) as usize)
    }

    pub fn told_by(done: &Done) -> Self {
        Self(Arc::as_ptr(done).cast::<()>() as usize)
    }
}
