//! Header fields that many WebSockets' handshakes have alike.
//!
//! A scope lasts as long as its WebSocket, and clients of one kind differ in few of their fields: the
//! others are held once for all of them.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

/// Fields beyond which the table begins anew; a browser's handshake has some fifteen.
const MOST: usize = 256;

/// Bytes of the longest value that is worth a look.
const LONGEST: usize = 256;

/// Fields that differ for each client, or whose values must not be kept beyond their own connection.
const OWN: [&[u8]; 6] = [
    b"authorization",
    b"cookie",
    b"sec-websocket-key",
    b"traceparent",
    b"x-forwarded-for",
    b"x-request-id",
];

/// The fields that were seen, each as the pair that scopes have.
pub struct SharedFields {
    table: Py<PyDict>,
}

impl SharedFields {
    pub fn new(py: Python<'_>) -> Self {
        let table = PyDict::new(py).unbind();
        Self { table }
    }

    /// Puts pairs that are known in the place of equal ones.
    ///
    /// # Errors
    /// No memory.
    pub fn share(&self, headers: &Bound<'_, PyList>) -> PyResult<()> {
        let table = self.table.bind(headers.py());
        for (index, pair) in headers.iter().enumerate() {
            let pair = pair.cast_into::<PyTuple>()?;
            if !is_worth(&pair)? {
                continue;
            }
            if let Some(known) = table.get_item(&pair)? {
                headers.set_item(index, known)?;
                continue;
            }
            if table.len() >= MOST {
                table.clear();
            }
            table.set_item(&pair, &pair)?;
        }
        Ok(())
    }
}

fn is_worth(pair: &Bound<'_, PyTuple>) -> PyResult<bool> {
    let (name, value): (Bound<'_, PyBytes>, Bound<'_, PyBytes>) = pair.extract()?;
    Ok(value.as_bytes().len() <= LONGEST && !OWN.contains(&name.as_bytes()))
}
