//! Telling an application that its worker begins to drain, if it has asked for that.
//!
//! The application leaves something in the state of its lifespan, under [`KEY`]: an `asyncio.Event`, or
//! a function. The server puts nothing there: an event would import asyncio, and what is in the state is
//! copied for each request.

use std::cell::Cell;
use std::time::Duration;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use lowmem_http::server::Server;

use crate::hosted::Hosted;
use crate::report;

const KEY: &str = "lowmem_serve.draining";

/// How long the application has to end its WebSockets itself, before the server closes them.
const MOMENT: Duration = Duration::from_millis(500);

/// A worker's one notice.
pub struct Notice {
    /// The state of the lifespan; a WSGI application has none.
    state: Option<Py<PyDict>>,
    is_given: Cell<bool>,
}

impl Notice {
    pub fn new(state: Option<Py<PyDict>>) -> Self {
        Self {
            state,
            is_given: Cell::new(false),
        }
    }

    /// Gives it, once, and the application a moment to act on it: `within` this time at most.
    pub async fn give(&self, server: &Server<Hosted>, within: Duration) {
        if self.is_given.replace(true) {
            return;
        }
        let is_taken = Python::attach(|py| match self.tell(py) {
            Ok(is_taken) => is_taken,
            Err(error) => {
                report::exception(
                    py,
                    "Exception in the function under \"lowmem_serve.draining\"",
                    &error,
                );
                false
            }
        });
        if is_taken {
            // Its time being up is as good as an answer.
            let _ = tokio::time::timeout(MOMENT.min(within), server.no_websockets()).await;
        }
    }

    /// Whether the application wanted to know.
    fn tell(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(state) = &self.state else {
            return Ok(false);
        };
        let Some(asked) = state.bind(py).get_item(KEY)? else {
            return Ok(false);
        };
        if asked.is_callable() {
            asked.call0()?;
        } else {
            asked.call_method0(intern!(py, "set"))?;
        }
        crate::event_loop::nudge(py)?;
        Ok(true)
    }
}
