//! `wsgi.input`: the request body as a file, read while it arrives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use pyo3::exceptions::PyConnectionAbortedError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PySlice};

use lowmem_http::server::{Body, Exchange, Received};

use super::shared::Shared;
use super::wait;

/// The body of one request. It ends where the body ends (`wsgi.input_terminated`), however that was
/// told. A client that goes away before is an error: what has come is not what was meant.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct Input {
    shared: Arc<Shared>,
    exchange: Arc<Exchange>,
    unread: Mutex<Unread>,
}

/// The part of the body that has arrived and was not read.
#[derive(Default)]
struct Unread {
    data: Vec<u8>,
    /// Bytes of `data` already read.
    at: usize,
    /// No more will come.
    ended: bool,
}

impl Unread {
    fn bytes(&self) -> &[u8] {
        &self.data[self.at..]
    }

    fn add(&mut self, data: Vec<u8>) {
        if self.at == self.data.len() {
            self.data = data;
        } else {
            self.data.drain(..self.at);
            self.data.extend_from_slice(&data);
        }
        self.at = 0;
    }

    /// Reads `count` bytes.
    fn take<'py>(&mut self, py: Python<'py>, count: usize) -> Bound<'py, PyBytes> {
        let bytes = PyBytes::new(py, &self.bytes()[..count]);
        self.advance(count);
        bytes
    }

    fn advance(&mut self, count: usize) {
        self.at += count;
        if self.at == self.data.len() {
            *self = Self {
                ended: self.ended,
                ..Self::default()
            };
        }
    }
}

/// A size as Python's files take it: none, or a negative one, is everything.
fn limit(size: Option<isize>) -> usize {
    size.and_then(|size| usize::try_from(size).ok())
        .unwrap_or(usize::MAX)
}

impl Input {
    pub fn new(shared: Arc<Shared>, exchange: Arc<Exchange>) -> Self {
        Self {
            shared,
            exchange,
            unread: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `enough` says how much to read, or the body has ended. Not locked meanwhile.
    fn wait_for(
        &self,
        py: Python<'_>,
        mut enough: impl FnMut(&[u8]) -> Option<usize>,
    ) -> PyResult<(MutexGuard<'_, Unread>, usize)> {
        loop {
            let unread = self.lock();
            if let Some(count) = enough(unread.bytes()) {
                return Ok((unread, count));
            }
            if unread.ended {
                let all = unread.bytes().len();
                return Ok((unread, all));
            }
            drop(unread);
            let more = |waker: &Waker| self.exchange.poll_receive(Some(waker));
            match wait::until_ready(py, &self.shared, more)? {
                Received::Body { data, more } => {
                    let mut unread = self.lock();
                    // There is no memory of the application's own: the server's thread, which
                    // reads, does not hold the interpreter.
                    if let Body::Copied(data) = data {
                        unread.add(data);
                    }
                    unread.ended = !more;
                }
                Received::Disconnect => {
                    return Err(PyConnectionAbortedError::new_err(
                        "the client went away before its request was whole",
                    ));
                }
            }
        }
    }
}

#[pymethods]
impl Input {
    /// So many bytes, fewer only at the end.
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        let (mut unread, count) =
            self.wait_for(py, |bytes| (bytes.len() >= limit).then_some(limit))?;
        Ok(unread.take(py, count))
    }

    /// Returns the bytes that have arrived: at least one, unless at the end.
    #[pyo3(signature = (size=None, /))]
    fn read1<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        let some =
            |bytes: &[u8]| (limit == 0 || !bytes.is_empty()).then_some(bytes.len().min(limit));
        let (mut unread, count) = self.wait_for(py, some)?;
        Ok(unread.take(py, count))
    }

    /// The same into a buffer of bytes; how many.
    fn readinto(&self, py: Python<'_>, target: &Bound<'_, PyAny>) -> PyResult<usize> {
        let target = PyMemoryView::from(target)?;
        let data = self.read1(py, Some(target.len()?.cast_signed()))?;
        let count = data.as_bytes().len();
        target.set_item(PySlice::new(py, 0, count.cast_signed(), 1), data)?;
        Ok(count)
    }

    /// The next line with its end, at most so many bytes of it.
    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<isize>) -> PyResult<Bound<'py, PyBytes>> {
        let limit = limit(size);
        // Looked at already: a line of many pieces is searched once.
        let mut seen = 0;
        let line = |bytes: &[u8]| {
            let end = bytes[seen..].iter().position(|byte| *byte == b'\n');
            let end = end.map(|at| seen + at + 1);
            seen = bytes.len();
            match end {
                Some(end) => Some(end.min(limit)),
                None => (bytes.len() >= limit).then_some(limit),
            }
        };
        let (mut unread, count) = self.wait_for(py, line)?;
        Ok(unread.take(py, count))
    }

    /// All lines, or those that begin within so many bytes.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<isize>) -> PyResult<Bound<'py, PyList>> {
        let limit = limit(hint.filter(|hint| *hint > 0));
        let lines = PyList::empty(py);
        let mut size = 0;
        while size < limit {
            let line = self.readline(py, None)?;
            if line.as_bytes().is_empty() {
                break;
            }
            size += line.as_bytes().len();
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.readline(py, None)?;
        Ok(Some(line).filter(|line| !line.as_bytes().is_empty()))
    }

    fn readable(&self) -> bool {
        true
    }
}
