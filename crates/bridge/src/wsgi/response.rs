//! `start_response` and `write`, and what an application's pieces become.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use pyo3::exceptions::{PyConnectionAbortedError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use lowmem_http::server::{Exchange, Piece, Refused, ResponseHead};

use super::shared::Shared;
use super::wait;
use crate::shared_bytes::{SHARED_FROM, SharedBytes};

/// The response of one request. The object itself is `start_response`.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct Response {
    shared: Arc<Shared>,
    exchange: Arc<Exchange>,
    state: Mutex<State>,
}

enum State {
    /// `start_response` was not called.
    Awaited,
    /// It was; the head waits for the first piece that is not empty, so that it can be replaced.
    Started(ResponseHead),
    /// The head is out; so many bytes are left of the announced length, if one was.
    Sending(Option<u64>),
    /// All is out; whether the application had more than it had announced.
    Complete { excess: bool },
}

/// Whether the application is asked for more.
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    More,
    /// More would not be seen, or is not wanted: the client has gone or has the whole body, or an event stream
    /// should end.
    Stop,
}

/// The result of a call of `start_response`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    Allowed,
    /// It was called before, and this call brings no `exc_info`.
    Twice,
    /// The head is out: the error that the call brings is the application's again.
    TooLate,
}

impl Beginning {
    fn or_raise(self, exc_info: Option<&Bound<'_, PyTuple>>) -> PyResult<()> {
        match (self, exc_info) {
            (Self::Allowed, _) => Ok(()),
            (Self::TooLate, Some(exc_info)) => {
                let error = exc_info.get_item(1)?;
                let with_traceback = intern!(exc_info.py(), "with_traceback");
                error.call_method1(with_traceback, (exc_info.get_item(2)?,))?;
                Err(PyErr::from_value(error))
            }
            (Self::Twice | Self::TooLate, _) => Err(PyRuntimeError::new_err(
                "start_response() was called again without exc_info",
            )),
        }
    }
}

impl Response {
    pub fn new(shared: Arc<Shared>, exchange: Arc<Exchange>) -> Self {
        Self {
            shared,
            exchange,
            state: Mutex::new(State::Awaited),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a piece, and waits until the next may follow. `whole` is one that nothing follows.
    pub fn send(&self, data: &Bound<'_, PyAny>, whole: bool) -> PyResult<Flow> {
        let bytes = data.cast::<PyBytes>().map_err(|_| {
            PyTypeError::new_err(format!(
                "a WSGI application's body consists of bytes, not {}",
                data.get_type()
            ))
        })?;
        if bytes.as_bytes().is_empty() && !whole {
            return Ok(Flow::More);
        }
        if self.put(bytes, whole)? == Flow::Stop {
            return Ok(Flow::Stop);
        }
        // Nothing follows the last piece that would have to wait for it.
        if !matches!(*self.lock(), State::Complete { .. }) {
            let room = |waker: &Waker| self.exchange.poll_sent(waker);
            wait::until_ready(data.py(), &self.shared, room)?;
        }
        Ok(if self.exchange.wants_more() {
            Flow::More
        } else {
            Flow::Stop
        })
    }

    fn put(&self, bytes: &Bound<'_, PyBytes>, whole: bool) -> PyResult<Flow> {
        let mut state = self.lock();
        let begins = matches!(*state, State::Started(_));
        let left = self.begun(&mut state)?;
        let length = bytes.as_bytes().len();
        let (count, last) = match left {
            // The client has the whole body with this piece, and need not wait for what the
            // application does afterwards.
            Some(left) if length as u64 >= left => (usize::try_from(left).unwrap_or(length), true),
            _ => (length, whole),
        };
        if let State::Complete { excess } = &mut *state {
            *excess |= length > 0;
            return Ok(Flow::Stop);
        }
        let piece = if count >= SHARED_FROM {
            Piece::Shared(Bytes::from_owner(SharedBytes::new(bytes)).slice(..count))
        } else {
            Piece::Small(&bytes.as_bytes()[..count])
        };
        let waker = self.exchange.body_apart(piece, !last).map_err(refused)?;
        self.shared.tell(waker);
        if begins && !last && left.is_none() {
            self.shared.streams.begun(&self.exchange);
        }
        *state = if last {
            State::Complete {
                excess: length > count,
            }
        } else {
            State::Sending(left.map(|left| left - count as u64))
        };
        Ok(Flow::More)
    }

    /// Sends the head, if it is not out; the bytes that are left of the announced length.
    fn begun(&self, state: &mut State) -> PyResult<Option<u64>> {
        match std::mem::replace(state, State::Awaited) {
            State::Awaited => Err(PyRuntimeError::new_err(
                "the application sent a body before it called start_response()",
            )),
            State::Started(head) => {
                let left = head.content_length();
                *state = State::Sending(left);
                self.exchange
                    .start(head)
                    .map_err(|refusal| PyRuntimeError::new_err(refusal.to_string()))?;
                Ok(left)
            }
            State::Sending(left) => {
                *state = State::Sending(left);
                Ok(left)
            }
            complete @ State::Complete { .. } => {
                *state = complete;
                Ok(None)
            }
        }
    }

    /// The application has no more pieces. One that never began has not answered.
    pub fn end(&self) -> PyResult<()> {
        let mut state = self.lock();
        let excess = match *state {
            State::Complete { excess } => excess,
            State::Awaited => false,
            State::Started(_) | State::Sending(_) => {
                self.begun(&mut state)?;
                let waker = self.exchange.body_apart(Piece::Small(b""), false);
                self.shared.tell(waker.map_err(refused)?);
                *state = State::Complete { excess: false };
                false
            }
        };
        drop(state);
        // A line may be a record of Python's logging, whose handlers are the application's.
        if excess {
            tracing::error!("Response content longer than Content-Length: the rest is not sent");
        }
        Ok(())
    }

    /// The result that a call of `start_response` would have. `again` is set if it brings `exc_info`.
    fn may_begin(&self, again: bool) -> Beginning {
        match &*self.lock() {
            State::Awaited => Beginning::Allowed,
            State::Started(_) if again => Beginning::Allowed,
            State::Sending(_) | State::Complete { .. } if again => Beginning::TooLate,
            State::Started(_) | State::Sending(_) | State::Complete { .. } => Beginning::Twice,
        }
    }

    fn head(
        &self,
        status: &Bound<'_, PyString>,
        headers: &Bound<'_, PyAny>,
    ) -> PyResult<ResponseHead> {
        let text = latin1(status)?;
        let (code, reason) = parse_status(&text).ok_or_else(|| {
            PyValueError::new_err(format!(
                "a WSGI status is a final code and a reason, such as '200 OK', not {status:?}"
            ))
        })?;
        let buffer = self
            .exchange
            .begin()
            .map_err(|refusal| PyRuntimeError::new_err(refusal.to_string()))?;
        let mut head = ResponseHead::with_reason(buffer, code, reason)
            .map_err(|bad| PyValueError::new_err(format!("{bad} in the status {status:?}")))?;
        for pair in headers.try_iter()? {
            let pair = pair?;
            let (name, value): (Bound<'_, PyString>, Bound<'_, PyString>) =
                pair.extract().map_err(|_| {
                    PyTypeError::new_err(format!(
                        "a WSGI header is a tuple of two str, not {pair:?}"
                    ))
                })?;
            head.field(&latin1(&name)?, &latin1(&value)?)
                .map_err(|bad| PyValueError::new_err(format!("{bad}: {name:?}: {value:?}")))?;
        }
        Ok(head)
    }
}

#[pymethods]
impl Response {
    /// `start_response`: may be called again with `exc_info`, as long as nothing has been sent.
    #[pyo3(signature = (status, headers, exc_info=None, /))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyString>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let this = slf.get();
        this.may_begin(exc_info.is_some()).or_raise(exc_info)?;
        // The headers may be an iterable of the application's: nothing is locked while it runs, and
        // it may have called this, too.
        let head = this.head(status, headers)?;
        this.may_begin(exc_info.is_some()).or_raise(exc_info)?;
        *this.lock() = State::Started(head);
        slf.getattr(intern!(slf.py(), "write"))
    }

    /// The `write` callable that `start_response` returns, for applications that don't return an iterable body.
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.send(data, false)? == Flow::Stop && !self.exchange.wants_more() {
            return Err(PyConnectionAbortedError::new_err("the client has gone"));
        }
        Ok(())
    }
}

fn refused(refused: Refused) -> PyErr {
    match refused {
        Refused::Message(refusal) => PyRuntimeError::new_err(refusal.to_string()),
        Refused::Field(bad) => PyValueError::new_err(bad.to_string()),
    }
}

/// "404 Not Found" as its two parts. 1xx are not responses (RFC 9110 section 15).
fn parse_status(status: &[u8]) -> Option<(i64, &[u8])> {
    let (code, reason) = match status.iter().position(|byte| *byte == b' ') {
        Some(space) => (&status[..space], &status[space + 1..]),
        None => (status, &b""[..]),
    };
    let code: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
    (200..=999)
        .contains(&code)
        .then(|| (i64::from(code), reason))
}

/// The characters as the bytes with their numbers (PEP 3333, "Unicode issues").
fn latin1<'a>(text: &'a Bound<'_, PyString>) -> PyResult<Cow<'a, [u8]>> {
    let text = text.to_str()?;
    if text.is_ascii() {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    text.chars()
        .map(|character| u8::try_from(u32::from(character)))
        .collect::<Result<Vec<_>, _>>()
        .map(Cow::Owned)
        .map_err(|_| PyValueError::new_err(format!("{text:?} has characters outside of Latin-1")))
}
