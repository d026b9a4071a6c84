//! One request on a thread of the pool: the application is called and its pieces are sent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use lowmem_http::server::{Exchange, Finish, Piece, ResponseHead};

use super::input::Input;
use super::request::Request;
use super::response::{Flow, Response};
use super::shared::Shared;
use crate::event_loop::context;
use crate::report;

const NO_SOCKET: &str = "WebSockets over WSGI are not served";

/// Answers a request. Its connection learns of the end in any case.
pub fn answer(py: Python<'_>, shared: &Arc<Shared>, request: &Request) {
    let answered = catch_unwind(AssertUnwindSafe(|| {
        // Requests do not see what an earlier one on this thread has set.
        let context = context::copy(shared.context.bind(py))?;
        context::run(&context, || respond(py, shared, request))
    }));
    let exchange = &request.exchange;
    if let Ok(Err(error)) = &answered
        && wants_socket(py, request, error)
        && refuse_socket(shared, exchange)
    {
        let (_, waker) = exchange.finish_apart();
        return shared.tell(waker);
    }
    let (finish, waker) = exchange.finish_apart();
    shared.tell(waker);
    match answered {
        Ok(result) => tell(py, exchange, result, finish),
        Err(_) => tracing::error!("A request was given up: the server itself failed in it"),
    }
}

/// Whether a WebSocket was asked for, and simple-websocket found no socket in the environ. Flask-SocketIO lets its
/// error through.
fn wants_socket(py: Python<'_>, request: &Request, error: &PyErr) -> bool {
    let is_upgrade = |(name, value): (&[u8], &[u8])| {
        name.eq_ignore_ascii_case(b"upgrade") && value.eq_ignore_ascii_case(b"websocket")
    };
    error.is_instance_of::<PyRuntimeError>(py)
        && request.fields().any(is_upgrade)
        && error
            .value(py)
            .to_string()
            .starts_with("Cannot obtain socket from WSGI environment")
}

/// Answers 501, unless a response has begun.
fn refuse_socket(shared: &Shared, exchange: &Exchange) -> bool {
    let Ok(buffer) = exchange.begin() else {
        return false;
    };
    let mut head = ResponseHead::new(buffer, 501);
    let fields = head
        .field(b"content-type", b"text/plain; charset=utf-8")
        .and_then(|()| head.field(b"content-length", NO_SOCKET.len().to_string().as_bytes()));
    if fields.is_err() || exchange.start(head).is_err() {
        return false;
    }
    let Ok(waker) = exchange.body_apart(Piece::Small(NO_SOCKET.as_bytes()), false) else {
        return false;
    };
    shared.tell(waker);
    tracing::warn!(
        "A WebSocket was asked for, which a WSGI application cannot have here: answered 501 (docs/wsgi.md)"
    );
    true
}

fn respond(py: Python<'_>, shared: &Arc<Shared>, request: &Request) -> PyResult<()> {
    if let Some(names) = &shared.names {
        names.set(py, request.fields())?;
    }
    let input = Bound::new(
        py,
        Input::new(Arc::clone(shared), Arc::clone(&request.exchange)),
    )?;
    let environ = shared.environs.environ(py, request, input.into_any())?;
    let response = Bound::new(
        py,
        Response::new(Arc::clone(shared), Arc::clone(&request.exchange)),
    )?;
    let pieces = shared.app.bind(py).call1((environ, &response))?;
    let sent = send_all(&pieces, response.get());
    let closed = close(&pieces);
    match (sent, closed) {
        (Err(error), Err(second)) => {
            report::exception(py, "Exception in close() of a WSGI response", &second);
            Err(error)
        }
        (sent, closed) => sent.and(closed),
    }
}

/// A body of one piece is sent with its length; any other as it is made.
fn send_all(pieces: &Bound<'_, PyAny>, response: &Response) -> PyResult<()> {
    let only = if let Ok(list) = pieces.cast_exact::<PyList>() {
        (list.len() == 1).then(|| list.get_item(0))
    } else if let Ok(tuple) = pieces.cast_exact::<PyTuple>() {
        (tuple.len() == 1).then(|| tuple.get_item(0))
    } else {
        None
    };
    if let Some(only) = only {
        response.send(&only?, true)?;
        return response.end();
    }
    for piece in pieces.try_iter()? {
        if response.send(&piece?, false)? == Flow::Stop {
            break;
        }
    }
    response.end()
}

/// PEP 3333: `close()` is called however the iteration ended.
fn close(pieces: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = pieces.py();
    if pieces.hasattr(intern!(py, "close"))? {
        pieces.call_method0(intern!(py, "close"))?;
    }
    Ok(())
}

/// Logs the failure once.
fn tell(py: Python<'_>, exchange: &Exchange, result: PyResult<()>, finish: Finish) {
    match (result, finish) {
        (Err(error), _)
            if !exchange.wants_more() && error.is_instance_of::<PyConnectionError>(py) =>
        {
            tracing::debug!("A client went away: {error}");
        }
        (Err(error), _) => report::exception(py, "Exception in WSGI application", &error),
        (Ok(()), Finish::NotStarted) => {
            tracing::error!("WSGI application returned without calling start_response().");
        }
        (Ok(()), Finish::Incomplete) => {
            tracing::error!("WSGI application returned without completing its response.");
        }
        (Ok(()), Finish::Complete) => {}
    }
}
