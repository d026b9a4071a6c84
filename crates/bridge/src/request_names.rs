//! `--request-id` for Python: a request's name and trace in context variables (`lowmem_serve.tracing`), so that
//! what the application calls in a process of its own is still known to belong to the request.
//!
//! Without the flag nothing of this exists.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use lowmem_base::config::WorkerConfig;
use lowmem_base::telemetry::{self, Trace};

use crate::package;

const MODULE: &str = "tracing";

const ID: &str = "x-request-id";
const TRACEPARENT: &str = "traceparent";

/// The `set` of each variable.
pub struct RequestNames {
    set_id: Py<PyAny>,
    set_traceparent: Py<PyAny>,
}

impl RequestNames {
    /// Nothing without the flag, or where our package was not found, which is logged.
    pub fn new(py: Python<'_>, config: &WorkerConfig) -> Option<Self> {
        if !config.server.http.request_id {
            return None;
        }
        Self::of_module(py, config)
            .inspect_err(|error| {
                tracing::warn!("Isolated calls do not know their requests: {error}")
            })
            .ok()
    }

    fn of_module(py: Python<'_>, config: &WorkerConfig) -> PyResult<Self> {
        let module = package::import(py, config.start.package.as_deref(), MODULE)?;
        module.setattr("write_line", wrap_pyfunction!(write_line, py)?)?;
        let set = |name: &str| -> PyResult<Py<PyAny>> {
            Ok(module.getattr(name)?.getattr(intern!(py, "set"))?.unbind())
        };
        Ok(Self {
            set_id: set("request_id")?,
            set_traceparent: set("traceparent")?,
        })
    }

    /// Sets both in the current context, which is the request's own.
    ///
    /// # Errors
    /// No memory.
    pub fn set<'a>(
        &self,
        py: Python<'_>,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> PyResult<()> {
        for (name, value) in fields {
            let set = if name.eq_ignore_ascii_case(ID.as_bytes()) {
                &self.set_id
            } else if name.eq_ignore_ascii_case(TRACEPARENT.as_bytes()) {
                &self.set_traceparent
            } else {
                continue;
            };
            set.call1(py, (PyString::new(py, &String::from_utf8_lossy(value)),))?;
        }
        Ok(())
    }
}

/// Writes a line of an isolated function's output into the log.
#[pyfunction]
fn write_line(py: Python<'_>, function: &str, id: &str, traceparent: Option<&str>, text: &str) {
    let mut fields = vec![("isolated", function), ("request_id", id)];
    if let Some(trace) = traceparent.and_then(|value| Trace::parse(value.as_bytes())) {
        fields.push(("trace_id", trace.trace_id));
        fields.push(("span_id", trace.span_id));
    }
    py.detach(|| telemetry::write_output(text, &fields));
}
