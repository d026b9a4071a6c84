//! The bridge: the only room that says pyo3. ARCHITECTURE.md has its contract:
//! threads, the GIL, ownership, wake-ups, cancellation, shutdown.
#![allow(unsafe_code)]

mod application;
mod awaitable;
mod cache;
mod callable;
mod calls;
mod compiling;
mod control;
mod done;
mod drain;
mod event_loop;
mod forking;
mod growth;
mod hosted;
mod http;
mod idleness;
mod import_watch;
mod imports;
mod interface;
mod interpreter;
mod lazy_imports;
mod lifespan;
mod light;
mod notice;
mod overdue;
mod own_body;
mod package;
mod private_names;
mod python_log;
mod records;
mod report;
mod request_names;
mod running;
mod runs;
mod runtime;
mod scope;
mod served_inside;
mod shared_bytes;
mod shared_fields;
mod shared_heap;
mod signals;
mod tasks;
mod template;
mod tls;
mod warm;
mod websocket;
mod worker;
mod wsgi;

use pyo3::prelude::*;

/// The worker's shared object, loaded by the launcher in either way of starting.
#[pymodule]
mod _core {
    use std::os::fd::{FromRawFd, OwnedFd};

    use super::*;

    /// Runs the worker on the control socket with this descriptor; returns its exit code.
    #[pyfunction]
    fn main(py: Python<'_>, control: i32) -> PyResult<i32> {
        // SAFETY: the launcher passes this descriptor to this worker only.
        let control = unsafe { OwnedFd::from_raw_fd(control) };
        worker::main(py, control)
    }

    /// The classes of `lowmem_serve.cache`, which are made when that is imported.
    #[pyfunction]
    fn cache(py: Python<'_>) -> PyResult<crate::cache::Classes<'_>> {
        Ok(crate::cache::classes(py))
    }

    /// Has this process compute for a short time at once, so that it comes sooner to its turn beside its isolated calls
    /// (`lowmem_serve.isolated.turns`).
    #[pyfunction]
    fn shorten_turns() -> PyResult<()> {
        Ok(lowmem_base::sys::turns::shorten()?)
    }
}
