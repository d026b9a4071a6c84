//! The ASGI extensions that a scope announces.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use lowmem_http::server::RequestHead;

/// A dictionary for each set of extensions: with trailers or not, with early hints or not.
pub struct Extensions([[Py<PyDict>; 2]; 2]);

impl Extensions {
    /// `pathsend` is announced on demand only: frameworks use it where it is announced, and middleware between
    /// does not know the message.
    pub fn new(py: Python<'_>, pathsend: bool) -> PyResult<Self> {
        let announced = |trailers: bool, hints: bool| -> PyResult<Py<PyDict>> {
            let named = [
                ("http.response.pathsend", pathsend),
                ("http.response.trailers", trailers),
                ("http.response.early_hint", hints),
            ];
            let all = PyDict::new(py);
            for (name, _) in named.iter().filter(|(_, is_announced)| *is_announced) {
                all.set_item(name, PyDict::new(py))?;
            }
            Ok(all.unbind())
        };
        Ok(Self([
            [announced(false, false)?, announced(false, true)?],
            [announced(true, false)?, announced(true, true)?],
        ]))
    }

    /// Those that a request's client takes. What is announced is what reaches it.
    pub fn of(&self, head: &RequestHead<'_>) -> &Py<PyDict> {
        &self.0[usize::from(head.trailers)][usize::from(head.hints)]
    }
}
