//! The state that the server's thread and the pool's threads share.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use pyo3::prelude::*;

use lowmem_base::config::WorkerConfig;
use lowmem_http::threads::Threads;

use super::environ::Environs;
use super::hub::Hub;
use super::request::Request;
use super::streams::Streams;
use crate::event_loop::context;
use crate::request_names::RequestNames;

/// The state that the server and the threads share.
pub struct Shared {
    pub(super) app: Py<PyAny>,
    pub(super) environs: Environs,
    pub(super) names: Option<RequestNames>,
    /// The context that the application was imported in. Each request runs in a copy of it.
    pub(super) context: Py<PyAny>,
    pub(super) threads: Threads<Request>,
    /// Responses without a length that have begun.
    pub(super) streams: Streams,
    /// Runs each request in a greenlet, if the application has patched the standard library.
    pub(super) hub: Option<Arc<Hub>>,
}

impl Shared {
    pub(super) fn new(py: Python<'_>, app: Py<PyAny>, config: &WorkerConfig) -> PyResult<Self> {
        Ok(Self {
            app,
            environs: Environs::new(py, config)?,
            names: RequestNames::new(py, config),
            context: context::copy_current(py)?.unbind(),
            threads: Threads::new(config.application.wsgi_threads, switch_interval(py)?),
            streams: Streams::default(),
            hub: Hub::if_patched(py)?,
        })
    }

    /// Wakes a connection.
    pub(super) fn tell(&self, connection: Option<Waker>) {
        if let Some(waker) = connection {
            self.threads.tell(waker);
        }
    }
}

/// After how long a thread that computes is made to let go of the interpreter.
fn switch_interval(py: Python<'_>) -> PyResult<Duration> {
    let seconds: f64 = py
        .import("sys")?
        .call_method0("getswitchinterval")?
        .extract()?;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
