//! The header fields of a connection's previous request.
//!
//! Clients repeat themselves: most fields of a request are those of the one before. The Python objects made
//! of them never change, so the next scope uses the same ones. They are freed with the connection's
//! template, at the latest when the connection is parked.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use lowmem_http::server::RequestHead;

use super::names::Names;

/// A connection's previous request.
#[derive(Default)]
pub struct Previous {
    pub method: Said,
    pub path: Said,
    /// How many bytes of it the application was mounted at.
    pub root: usize,
    pub query: Said,
    fields: Vec<Field>,
}

/// Bytes that were said last; nothing yet.
#[derive(Default)]
pub struct Said(Option<Vec<u8>>);

impl Said {
    /// Remembers `now`; says whether that is news.
    pub fn replace(&mut self, now: &[u8]) -> bool {
        if self.0.as_deref() == Some(now) {
            return false;
        }
        let said = self.0.get_or_insert_default();
        said.clear();
        said.extend_from_slice(now);
        true
    }
}

/// A header field, and the pair that a scope has of it.
struct Field {
    /// The name as it was sent, and the value.
    text: Vec<u8>,
    name_length: usize,
    pair: Py<PyTuple>,
}

impl Field {
    fn new<'py>(
        names: &Names,
        name: &str,
        value: &[u8],
        value_of: &impl Fn(&[u8]) -> Bound<'py, PyBytes>,
    ) -> PyResult<Self> {
        let value_object = value_of(value);
        let py = value_object.py();
        let pair = PyTuple::new(py, [names.get(py, name), value_object])?;
        Ok(Self {
            text: [name.as_bytes(), value].concat(),
            name_length: name.len(),
            pair: pair.unbind(),
        })
    }

    fn says(&self, name: &str, value: &[u8]) -> bool {
        self.name_length == name.len()
            && self.text.len() == name.len() + value.len()
            && self.text.starts_with(name.as_bytes())
            && self.text.ends_with(value)
    }
}

impl Previous {
    /// The `headers` of a scope; `value_of` makes the values.
    pub fn headers<'py>(
        &mut self,
        py: Python<'py>,
        names: &Names,
        head: &RequestHead<'_>,
        value_of: impl Fn(&[u8]) -> Bound<'py, PyBytes>,
    ) -> PyResult<Bound<'py, PyList>> {
        self.fields.truncate(head.headers.len());
        for (index, field) in head.headers.iter().enumerate() {
            let value = match head.authority {
                Some(authority) if field.name.eq_ignore_ascii_case("host") => authority,
                _ => field.value.trim_ascii(),
            };
            match self.fields.get_mut(index) {
                Some(known) if known.says(field.name, value) => {}
                Some(known) => *known = Field::new(names, field.name, value, &value_of)?,
                None => {
                    let new = Field::new(names, field.name, value, &value_of)?;
                    self.fields.push(new);
                }
            }
        }
        PyList::new(py, self.fields.iter().map(|field| field.pair.bind(py)))
    }
}
