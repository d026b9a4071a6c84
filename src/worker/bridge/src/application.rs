//! An ASGI application, as the server calls it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use pyo3::exceptions::asyncio::CancelledError;
use pyo3::intern;
use pyo3::prelude::*;

use lowmem_serve::worker::application::{Application, Peers};
use lowmem_serve::worker::server::{Exchange, Finish, RequestHead};

use crate::event_loop;
use crate::http::HttpCycle;
use crate::report;
use crate::scope::{Scopes, Template};
use crate::tasks::{self, Started, Tasks};

/// An ASGI 3 application, and what its requests share.
pub struct Asgi {
    app: Py<PyAny>,
    scopes: Scopes,
    tasks: Rc<Tasks>,
}

thread_local! {
    /// The tasks of this worker, for the callbacks that asyncio runs when one is done.
    static TASKS: RefCell<Option<Rc<Tasks>>> = const { RefCell::new(None) };
}

impl Asgi {
    pub fn new(app: Py<PyAny>, scopes: Scopes, tasks: Rc<Tasks>) -> Self {
        TASKS.set(Some(Rc::clone(&tasks)));
        Self { app, scopes, tasks }
    }

    /// Calls the application and starts what it returns.
    fn start<'py>(
        &self,
        py: Python<'py>,
        template: Option<&Template>,
        head: &RequestHead<'_>,
        exchange: &Arc<Exchange>,
    ) -> PyResult<Started<'py>> {
        let template = template.ok_or_else(|| {
            pyo3::exceptions::PyRuntimeError::new_err("the connection has no scope")
        })?;
        let scope = self.scopes.http(py, template, head)?;
        let cycle = Bound::new(py, HttpCycle::new(Arc::clone(exchange)))?;
        let receive = cycle.getattr(intern!(py, "receive"))?;
        let send = cycle.getattr(intern!(py, "send"))?;
        let awaitable = self.app.bind(py).call1((scope, receive, send))?;
        let started = self.tasks.start(awaitable)?;
        event_loop::nudge(py)?;
        Ok(started)
    }
}

impl Application for Asgi {
    type Connection = Option<Template>;

    fn connect(&self, peers: &Peers) -> Option<Template> {
        Python::attach(|py| match self.scopes.template(py, peers) {
            Ok(template) => Some(template),
            Err(error) => {
                report::exception(py, "Cannot describe the connection", &error);
                None
            }
        })
    }

    fn request(
        &self,
        connection: &Option<Template>,
        head: &RequestHead<'_>,
        exchange: Arc<Exchange>,
    ) {
        Python::attach(
            |py| match self.start(py, connection.as_ref(), head, &exchange) {
                Ok(Started::Finished(result)) => finish(py, &exchange, result),
                Ok(Started::Waiting(task)) => {
                    let slot = self.tasks.keep(task.clone().unbind());
                    let done = WhenDone { exchange, slot };
                    let added = Py::new(py, done).and_then(|done| {
                        task.call_method1(intern!(py, "add_done_callback"), (done,))
                    });
                    if let Err(error) = added {
                        report::exception(py, "Cannot follow a task", &error);
                    }
                }
                Err(error) => finish(py, &exchange, Err(error)),
            },
        );
    }
}

/// Called by asyncio when a request's task is done.
#[pyclass(frozen, module = "lowmem_serve")]
struct WhenDone {
    exchange: Arc<Exchange>,
    slot: usize,
}

#[pymethods]
impl WhenDone {
    fn __call__(&self, py: Python<'_>, task: &Bound<'_, PyAny>) {
        finish(py, &self.exchange, tasks::result(task));
        if let Some(tasks) = TASKS.with_borrow(Clone::clone) {
            tasks.release(self.slot);
        }
    }
}

/// The application has returned or raised: its response ends here, and the operator is told.
fn finish(py: Python<'_>, exchange: &Exchange, result: PyResult<Bound<'_, PyAny>>) {
    let finish = exchange.finish();
    match (result, finish) {
        (Err(error), _) if error.is_instance_of::<CancelledError>(py) && is_cancelling() => {
            tracing::error!("Task cancelled, timeout graceful shutdown exceeded");
        }
        (Err(error), _) => report::exception(py, "Exception in ASGI application", &error),
        (Ok(_), Finish::NotStarted) => {
            tracing::error!("ASGI callable returned without starting response.");
        }
        (Ok(_), Finish::Incomplete) => {
            tracing::error!("ASGI callable returned without completing response.");
        }
        (Ok(value), Finish::Complete) if !value.is_none() => {
            tracing::error!("ASGI callable should return None, but returned '{value}'.");
        }
        (Ok(_), Finish::Complete) => {}
    }
}

/// Whether the worker is cancelling what did not finish in time.
fn is_cancelling() -> bool {
    TASKS.with_borrow(|tasks| tasks.as_ref().is_some_and(|tasks| tasks.is_cancelling()))
}
