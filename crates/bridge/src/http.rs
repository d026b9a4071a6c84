//! `receive` and `send` of a request.

use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi::PyObject;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PySequence, PyString, PyTuple};

use lowmem_http::server::{
    BadField, Body, Exchange, FilePiece, Piece, Received, Refused, ResponseHead, RoomForMore,
};

use crate::awaitable::{Done, Pending, Source};
use crate::callable::{self, Method};
use crate::own_body;
use crate::shared_bytes::{SHARED_FROM, SharedBytes};

/// One request as its application holds it: `receive` and `send` are bound methods of it.
#[pyclass(frozen, module = "lowmem_serve")]
struct HttpCycle {
    exchange: Arc<Exchange>,
}

// SAFETY: it takes cycles.
static RECEIVE: Method<HttpCycle> = unsafe { Method::without_arguments(c"receive", receive) };
// SAFETY: it takes cycles, and any message.
static SEND: Method<HttpCycle> = unsafe { Method::of_one_argument(c"send", send) };

/// `receive` and `send` of a request.
///
/// # Errors
/// No memory.
pub fn callables<'py>(
    py: Python<'py>,
    exchange: &Arc<Exchange>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let exchange = Arc::clone(exchange);
    let cycle = Bound::new(py, HttpCycle { exchange })?;
    Ok((RECEIVE.bind(&cycle)?, SEND.bind(&cycle)?))
}

unsafe extern "C" fn receive(cycle: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: RECEIVE is bound to cycles only.
    unsafe { callable::enter(cycle, |py, cycle: &HttpCycle| cycle.receive(py)) }
}

unsafe extern "C" fn send(cycle: *mut PyObject, message: *mut PyObject) -> *mut PyObject {
    // SAFETY: SEND is bound to cycles only; CPython passes an argument that lives for the call.
    unsafe {
        callable::enter(cycle, |py, cycle: &HttpCycle| {
            cycle.send(py, &Borrowed::from_ptr(py, message))
        })
    }
}

impl HttpCycle {
    fn receive(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let source = Arc::clone(&self.exchange) as Arc<dyn Source>;
        let pending = if self.exchange.has_told_end() {
            Pending::after_turn(source)
        } else {
            Pending::from(source)
        };
        Ok(Py::new(py, pending)?.into_any())
    }

    fn send(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let message = dict(message)?;
        let kind = kind(message)?;
        match Kind::of(&kind) {
            Some(Kind::Body) => body(&self.exchange, message)?,
            Some(Kind::Start) => {
                start(&self.exchange, message)?;
                // Type, status and headers, and seldom more.
                if message.len() > 3 && is_true(message, intern!(py, "trailers"))? {
                    self.exchange.promise_trailers();
                }
                return done(py);
            }
            Some(Kind::EarlyHint) => hint(&self.exchange, message)?,
            Some(Kind::Trailers) => trailers(&self.exchange, message)?,
            Some(Kind::PathSend) => pathsend(&self.exchange, message)?,
            None => {
                let expected = self.exchange.expected();
                return Err(PyRuntimeError::new_err(format!(
                    "Expected ASGI message '{expected}', but got '{kind}'."
                )));
            }
        }
        sent(py, &self.exchange)
    }
}

/// The kind of a response message.
#[derive(Clone, Copy)]
enum Kind {
    Start,
    Body,
    PathSend,
    EarlyHint,
    Trailers,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Body,
        Self::Start,
        Self::PathSend,
        Self::EarlyHint,
        Self::Trailers,
    ];

    /// Python does not intern literals with dots in them, but an application has the same object
    /// each time: the first one that is equal is known again without a comparison of its letters.
    fn of(kind: &Bound<'_, PyAny>) -> Option<Self> {
        static KNOWN: [PyOnceLock<Py<PyAny>>; 5] = [const { PyOnceLock::new() }; 5];
        let py = kind.py();
        let is_known =
            |object: &PyOnceLock<Py<PyAny>>| object.get(py).is_some_and(|known| kind.is(known));
        if let Some(index) = KNOWN.iter().position(is_known) {
            return Some(Self::ALL[index]);
        }
        let names = [
            intern!(py, "http.response.body"),
            intern!(py, "http.response.start"),
            intern!(py, "http.response.pathsend"),
            intern!(py, "http.response.early_hint"),
            intern!(py, "http.response.trailers"),
        ];
        let is_equal = |name: &&Bound<'_, PyString>| kind.eq(*name).unwrap_or(false);
        let index = names.iter().position(is_equal)?;
        KNOWN[index].get_or_init(py, || kind.clone().unbind());
        Some(Self::ALL[index])
    }
}

/// `receive()` waits for an exchange.
impl Source for Exchange {
    fn poll(&self, py: Python<'_>, waker: Option<&Waker>) -> Poll<PyResult<Py<PyAny>>> {
        self.poll_message(waker)
            .map(|received| message(py, received))
    }
}

/// The message that `send()` was given.
pub fn dict<'a, 'py>(message: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyDict>> {
    message
        .cast::<PyDict>()
        .map_err(|_| PyTypeError::new_err("an ASGI message must be a dict"))
}

/// Its type.
pub fn kind<'py>(message: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    message
        .get_item(intern!(message.py(), "type"))?
        .ok_or_else(|| PyRuntimeError::new_err("an ASGI message must have a \"type\""))
}

/// The awaitable of a `send()` of a piece of the body.
pub fn sent(py: Python<'_>, exchange: &Arc<Exchange>) -> PyResult<Py<PyAny>> {
    match exchange.room_for_more() {
        RoomForMore::Now => return done(py),
        RoomForMore::NeverFull => return turn(py),
        RoomForMore::Later => {}
    }
    let exchange = Arc::clone(exchange);
    let pending = Pending::new(move |py, waker| match waker {
        Some(waker) => exchange.poll_sent(waker).map(|()| Ok(py.None())),
        None if exchange.has_room() => Poll::Ready(Ok(py.None())),
        None => Poll::Pending,
    });
    Ok(Py::new(py, pending)?.into_any())
}

/// The awaitable of a `send()` that leads nowhere: an application that sends without end, and awaits
/// nothing else, must not keep everything else from running.
fn turn(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let nothing = |py: Python<'_>, _: Option<&Waker>| Poll::Ready(Ok(py.None()));
    Ok(Py::new(py, Pending::after_turn(Arc::new(nothing)))?.into_any())
}

/// Takes the message that starts a response.
pub fn start(exchange: &Exchange, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let status = message
        .get_item(intern!(py, "status"))?
        .ok_or_else(|| PyValueError::new_err("a response's start has no \"status\""))?;
    let status: i64 = status.extract().map_err(|_| {
        PyTypeError::new_err(format!("an HTTP status must be an int, not {status:?}"))
    })?;
    let headers = message.get_item(intern!(py, "headers"))?;
    let buffer = exchange
        .begin()
        .map_err(|r| PyRuntimeError::new_err(r.to_string()))?;
    let mut head = ResponseHead::new(buffer, status);
    if let Some(headers) = headers {
        if let Ok(list) = headers.cast_exact::<PyList>() {
            for pair in list.iter() {
                field(&pair, |name, value| head.field(name, value))?;
            }
        } else {
            for pair in headers.try_iter()? {
                field(&pair?, |name, value| head.field(name, value))?;
            }
        }
    }
    exchange
        .start(head)
        .map_err(|r| PyValueError::new_err(r.to_string()))
}

/// Takes a message with a piece of a response's body.
pub fn body(exchange: &Exchange, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let more = is_true(message, intern!(py, "more_body"))?;
    let body = message.get_item(intern!(py, "body"))?;
    let sent = match &body {
        None => exchange.body(Piece::Small(b""), more),
        Some(body) => match body.cast::<PyBytes>() {
            Ok(bytes) if bytes.as_bytes().len() >= SHARED_FROM => {
                let shared = Bytes::from_owner(SharedBytes::new(bytes));
                exchange.body(Piece::Shared(shared), more)
            }
            Ok(bytes) => exchange.body(Piece::Small(bytes.as_bytes()), more),
            Err(_) => exchange.body(Piece::Small(&buffer(body)?), more),
        },
    };
    sent.map_err(refused)
}

/// Whether a message says yes to something.
fn is_true(message: &Bound<'_, PyDict>, key: &Bound<'_, PyString>) -> PyResult<bool> {
    match message.get_item(key)? {
        Some(value) => value.is_truthy(),
        None => Ok(false),
    }
}

/// Takes the message with links that a client may follow before the response comes (ASGI "Early Hints").
fn hint(exchange: &Exchange, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let links = message
        .get_item(intern!(message.py(), "links"))?
        .ok_or_else(|| PyValueError::new_err("http.response.early_hint has no \"links\""))?;
    let mut head = ResponseHead::new(Vec::new(), 103);
    for link in links.try_iter()? {
        let link = link?;
        head.field(b"link", bytes(&link, "value")?.as_bytes())
            .map_err(|bad| PyValueError::new_err(format!("{bad}: {link:?}")))?;
    }
    exchange
        .hint(head)
        .map_err(|refusal| PyRuntimeError::new_err(refusal.to_string()))
}

/// Takes the message with fields that stand behind the body (ASGI "HTTP Trailers").
fn trailers(exchange: &Exchange, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = message.py();
    let mut head = ResponseHead::new(Vec::new(), 200);
    if let Some(headers) = message.get_item(intern!(py, "headers"))? {
        for pair in headers.try_iter()? {
            field(&pair?, |name, value| head.trailer(name, value))?;
        }
    }
    let more = is_true(message, intern!(py, "more_trailers"))?;
    exchange.trailers(head, more).map_err(refused)
}

/// Takes the message that names a file, which is the whole body (ASGI "Path Send" extension).
fn pathsend(exchange: &Exchange, message: &Bound<'_, PyDict>) -> PyResult<()> {
    let path = message
        .get_item(intern!(message.py(), "path"))?
        .ok_or_else(|| PyValueError::new_err("http.response.pathsend has no \"path\""))?;
    let path: PathBuf = path.extract()?;
    let file = FilePiece::open(&path).map_err(|error| {
        // With its errno, Python makes the subclass of it: FileNotFoundError and the like.
        match error.raw_os_error() {
            Some(code) => {
                let text = error.to_string();
                let text = text.split(" (os error").next().unwrap_or_default();
                PyOSError::new_err((code, text.to_owned(), path))
            }
            None => PyValueError::new_err(error.to_string()),
        }
    })?;
    exchange.file(file, false).map_err(refused)
}

fn refused(refused: Refused) -> PyErr {
    match refused {
        Refused::Message(refusal) => PyRuntimeError::new_err(refusal.to_string()),
        Refused::Field(bad) => PyValueError::new_err(bad.to_string()),
    }
}

/// Whether a message's type is this one.
pub fn is(kind: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> bool {
    kind.is(name) || kind.eq(name).unwrap_or(false)
}

/// Has `add` add a header.
pub fn field(
    pair: &Bound<'_, PyAny>,
    add: impl FnOnce(&[u8], &[u8]) -> Result<(), BadField>,
) -> PyResult<()> {
    let (name, value);
    if let Ok(tuple) = pair.cast_exact::<PyTuple>()
        && tuple.len() == 2
    {
        (name, value) = (tuple.get_item(0)?, tuple.get_item(1)?);
    } else {
        let wrong =
            || PyTypeError::new_err(format!("a header must be a pair of bytes, not {pair:?}"));
        let sequence = pair.cast::<PySequence>().map_err(|_| wrong())?;
        if sequence.len()? != 2 {
            return Err(wrong());
        }
        (name, value) = (sequence.get_item(0)?, sequence.get_item(1)?);
    }
    let (name, value) = (bytes(&name, "name")?, bytes(&value, "value")?);
    add(name.as_bytes(), value.as_bytes())
        .map_err(|bad| PyValueError::new_err(format!("{bad}: {name:?}: {value:?}")))
}

fn bytes<'a, 'py>(object: &'a Bound<'py, PyAny>, what: &str) -> PyResult<&'a Bound<'py, PyBytes>> {
    object.cast::<PyBytes>().map_err(|_| {
        PyTypeError::new_err(format!("a header's {what} must be bytes, not {object:?}"))
    })
}

/// The content of a bytearray, memoryview or other buffer.
pub fn buffer(object: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(array) = object.cast::<PyByteArray>() {
        return Ok(array.to_vec());
    }
    let py = object.py();
    let wrong =
        || PyTypeError::new_err(format!("a body must be bytes, not {:?}", object.get_type()));
    let view = py
        .get_type::<pyo3::types::PyMemoryView>()
        .call1((object,))
        .and_then(|view| view.call_method0(intern!(py, "tobytes")))
        .map_err(|_| wrong())?;
    Ok(view
        .cast::<PyBytes>()
        .map_err(|_| wrong())?
        .as_bytes()
        .to_vec())
}

/// The message that `receive()` brings.
fn message(py: Python<'_>, received: Received) -> PyResult<Py<PyAny>> {
    let message = PyDict::new(py);
    match received {
        Received::Body { data, more } => {
            let data = match data {
                Body::Copied(data) => PyBytes::new(py, &data).into_any(),
                Body::Own(own) => own_body::object(py, own)?,
            };
            message.set_item(intern!(py, "type"), intern!(py, "http.request"))?;
            message.set_item(intern!(py, "body"), data)?;
            message.set_item(intern!(py, "more_body"), more)?;
        }
        Received::Disconnect => {
            message.set_item(intern!(py, "type"), intern!(py, "http.disconnect"))?;
        }
    }
    Ok(message.into_any().unbind())
}

/// The awaitable of a `send()` that has nothing to wait for: one for all.
pub fn done(py: Python<'_>) -> PyResult<Py<PyAny>> {
    static DONE: PyOnceLock<Py<Done>> = PyOnceLock::new();
    Ok(DONE
        .get_or_try_init(py, || Py::new(py, Done))?
        .clone_ref(py)
        .into_any())
}
