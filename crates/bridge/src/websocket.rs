//! `receive` and `send` of a WebSocket.

use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use pyo3::create_exception;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use lowmem_http::asgi::websocket::{Message, Refusal};
use lowmem_http::server::{
    Acceptance, Conversation, Data, Piece, WebSocketReceived, WebSocketRefused,
};

use crate::awaitable::Pending;
use crate::http;
use crate::shared_bytes::{SHARED_FROM, SharedBytes};

create_exception!(
    lowmem_serve,
    ClientDisconnected,
    PyOSError,
    "send() on a WebSocket that is closed (ASGI WebSocket 2.4)."
);

/// `receive` of one WebSocket. Not a bound method, as that of a request is: an idle WebSocket holds
/// it for long, and this takes a fifth of the memory.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct Receive {
    conversation: Arc<Conversation>,
}

/// `send` of the same.
#[pyclass(frozen, module = "lowmem_serve")]
pub struct Send {
    conversation: Arc<Conversation>,
}

/// The `receive` and `send` that an application is called with.
///
/// # Errors
/// No memory.
pub fn callables(
    py: Python<'_>,
    conversation: &Arc<Conversation>,
) -> PyResult<(Py<Receive>, Py<Send>)> {
    let receive = Receive {
        conversation: Arc::clone(conversation),
    };
    let send = Send {
        conversation: Arc::clone(conversation),
    };
    Ok((Py::new(py, receive)?, Py::new(py, send)?))
}

#[pymethods]
impl Receive {
    fn __call__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let conversation = Arc::clone(&self.conversation);
        let is_over = conversation.has_told_end();
        let source = move |py: Python<'_>, waker: Option<&Waker>| {
            conversation
                .poll_receive(waker)
                .map(|received| message(py, received))
        };
        let pending = if is_over {
            Pending::after_turn(Arc::new(source))
        } else {
            Pending::new(source)
        };
        Ok(Py::new(py, pending)?.into_any())
    }
}

#[pymethods]
impl Send {
    fn __call__(&self, py: Python<'_>, message: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let message = http::dict(message)?;
        let kind = http::kind(message)?;
        let known = if http::is(&kind, intern!(py, "websocket.send")) {
            Some(Message::Send)
        } else {
            kind.cast::<PyString>().ok().and_then(|name| {
                let name = name.to_cow().ok()?;
                Message::named(&name)
            })
        };
        let Some(known) = known else {
            let expected = self.conversation.expected();
            return Err(unexpected(expected, &kind));
        };
        let told = match known {
            Message::Send => self.send_data(message)?,
            Message::Accept => self.accept(message)?,
            Message::Close => self.close(message)?,
            Message::ResponseStart => self.conversation.respond(known).map(|exchange| {
                http::start(&exchange, message)?;
                http::done(py)
            }),
            Message::ResponseBody => self.conversation.respond(known).map(|exchange| {
                http::body(&exchange, message)?;
                self.conversation.responded(&exchange);
                http::sent(py, &exchange)
            }),
        };
        told.unwrap_or_else(|refusal| Err(refused(refusal, &kind)))
    }
}

/// The result of a sent message: an awaitable or an exception, unless the message was not legal at all.
type Sent = Result<PyResult<Py<PyAny>>, Refusal>;

impl Send {
    fn accept(&self, message: &Bound<'_, PyDict>) -> PyResult<Sent> {
        let py = message.py();
        let subprotocol = message.get_item(intern!(py, "subprotocol"))?;
        let subprotocol = subprotocol.filter(|name| !name.is_none());
        let subprotocol: Option<String> = subprotocol
            .map(|name| {
                name.extract().map_err(|_| {
                    PyTypeError::new_err(format!("a subprotocol must be a str, not {name:?}"))
                })
            })
            .transpose()?;
        let mut acceptance = match self.conversation.acceptance(subprotocol.as_deref()) {
            Ok(acceptance) => acceptance,
            Err(refused) => return self.not_taken(refused, subprotocol.as_deref()),
        };
        if let Some(headers) = message.get_item(intern!(py, "headers"))? {
            for pair in headers.try_iter()? {
                http::field(&pair?, |name, value| {
                    Acceptance::field(&mut acceptance, name, value)
                })?;
            }
        }
        Ok(self
            .conversation
            .accept(acceptance)
            .map(|()| http::done(py)))
    }

    fn close(&self, message: &Bound<'_, PyDict>) -> PyResult<Sent> {
        let py = message.py();
        if self.conversation.reject() {
            return Ok(Ok(http::done(py)));
        }
        let code = match message.get_item(intern!(py, "code"))? {
            Some(code) if !code.is_none() => code.extract().map_err(|_| {
                PyTypeError::new_err(format!("a close code must be an int, not {code:?}"))
            })?,
            _ => 1000,
        };
        let reason = match message.get_item(intern!(py, "reason"))? {
            Some(reason) if !reason.is_none() => reason.extract().map_err(|_| {
                PyTypeError::new_err(format!("a close reason must be a str, not {reason:?}"))
            })?,
            _ => String::new(),
        };
        match self.conversation.close(code, reason) {
            Ok(()) => Ok(Ok(http::done(py))),
            Err(refused) => self.not_taken(refused, None),
        }
    }

    fn not_taken(&self, refused: WebSocketRefused, subprotocol: Option<&str>) -> PyResult<Sent> {
        match refused {
            WebSocketRefused::Message(refusal) => Ok(Err(refusal)),
            WebSocketRefused::Close(bad) => Err(PyValueError::new_err(bad.to_string())),
            WebSocketRefused::Subprotocol => Err(PyValueError::new_err(format!(
                "the client did not offer the subprotocol {:?}",
                subprotocol.unwrap_or_default()
            ))),
        }
    }

    fn send_data(&self, message: &Bound<'_, PyDict>) -> PyResult<Sent> {
        let py = message.py();
        let bytes = message.get_item(intern!(py, "bytes"))?;
        let bytes = bytes.filter(|bytes| !bytes.is_none());
        let text = message.get_item(intern!(py, "text"))?;
        let sent = match (bytes, text.filter(|text| !text.is_none())) {
            (Some(bytes), None) => self.send_bytes(&bytes)?,
            (None, Some(text)) => self.send_text(&text)?,
            (None, None) => {
                return Err(PyValueError::new_err(
                    "websocket.send has neither \"bytes\" nor \"text\"",
                ));
            }
            // Uvicorn's choice; the specification wants exactly one.
            (Some(bytes), Some(_)) => self.send_bytes(&bytes)?,
        };
        Ok(sent.map(|()| self.sent(py)))
    }

    fn send_bytes(&self, bytes: &Bound<'_, PyAny>) -> PyResult<Result<(), Refusal>> {
        Ok(match bytes.cast::<PyBytes>() {
            Ok(bytes) if bytes.as_bytes().len() >= SHARED_FROM => {
                let shared = Bytes::from_owner(SharedBytes::new(bytes));
                self.conversation.send(false, Piece::Shared(shared))
            }
            Ok(bytes) => self
                .conversation
                .send(false, Piece::Small(bytes.as_bytes())),
            Err(_) => self
                .conversation
                .send(false, Piece::Small(&http::buffer(bytes)?)),
        })
    }

    fn send_text(&self, text: &Bound<'_, PyAny>) -> PyResult<Result<(), Refusal>> {
        let text = text.cast::<PyString>().map_err(|_| {
            PyTypeError::new_err(format!("a text must be a str, not {:?}", text.get_type()))
        })?;
        // The string keeps its UTF-8; where it is ASCII, that is the string itself.
        let text = text.to_str()?;
        Ok(self.conversation.send(true, Piece::Small(text.as_bytes())))
    }

    /// The awaitable of a `send()` whose message is on its way.
    fn sent(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.conversation.has_room() {
            return http::done(py);
        }
        let conversation = Arc::clone(&self.conversation);
        let pending = Pending::new(move |py, waker| match waker {
            Some(waker) => conversation.poll_sent(waker).map(|()| Ok(py.None())),
            None if conversation.has_room() => Poll::Ready(Ok(py.None())),
            None => Poll::Pending,
        });
        Ok(Py::new(py, pending)?.into_any())
    }
}

fn unexpected(expected: &str, kind: &Bound<'_, PyAny>) -> PyErr {
    PyRuntimeError::new_err(format!(
        "Expected ASGI message {expected}, but got '{kind}'."
    ))
}

fn refused(refusal: Refusal, kind: &Bound<'_, PyAny>) -> PyErr {
    match refusal {
        Refusal::Expected(expected) => unexpected(expected, kind),
        Refusal::Closed => PyRuntimeError::new_err(format!(
            "Unexpected ASGI message '{kind}', after sending 'websocket.close'."
        )),
        Refusal::Disconnected => ClientDisconnected::new_err("the WebSocket is closed"),
    }
}

/// The message that `receive()` brings.
fn message(py: Python<'_>, received: WebSocketReceived) -> PyResult<Py<PyAny>> {
    let message = PyDict::new(py);
    let kind = intern!(py, "type");
    match received {
        WebSocketReceived::Connect => {
            message.set_item(kind, intern!(py, "websocket.connect"))?;
        }
        WebSocketReceived::Message(data) => {
            message.set_item(kind, intern!(py, "websocket.receive"))?;
            match data {
                Data::Text(text) => {
                    let text = PyString::from_bytes(py, &text)?;
                    message.set_item(intern!(py, "text"), text)?;
                }
                Data::Binary(bytes) => {
                    message.set_item(intern!(py, "bytes"), PyBytes::new(py, &bytes))?;
                }
            }
        }
        WebSocketReceived::Disconnect(close) => {
            message.set_item(kind, intern!(py, "websocket.disconnect"))?;
            message.set_item(intern!(py, "code"), close.code)?;
            message.set_item(intern!(py, "reason"), close.reason)?;
        }
    }
    Ok(message.into_any().unbind())
}
