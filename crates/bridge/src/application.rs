//! An ASGI application, as the server calls it.

use std::sync::Arc;

use pyo3::exceptions::PyGeneratorExit;
use pyo3::exceptions::asyncio::CancelledError;
use pyo3::prelude::*;

use tokio::io::ReadBuf;

use lowmem_http::own_body::OwnBody;
use lowmem_http::peers::{Peers, TlsFacts};
use lowmem_http::server::application::Application;
use lowmem_http::server::{Conversation, Exchange, Finish, RequestHead};

use crate::callable;
use crate::done::{Done, Request, WhenDone};
use crate::event_loop;
use crate::http;
use crate::own_body;
use crate::report;
use crate::request_names::RequestNames;
use crate::scope::{Scopes, Template};
use crate::tasks::{self, Why};
use crate::websocket::{self, ClientDisconnected};

/// An ASGI 3 application, and what its requests share.
pub struct Asgi {
    app: Py<PyAny>,
    scopes: Scopes,
    names: Option<RequestNames>,
}

impl Asgi {
    pub fn new(app: Py<PyAny>, scopes: Scopes, names: Option<RequestNames>) -> Self {
        Self { app, scopes, names }
    }

    /// Has the request's context know its name, with `--request-id`.
    fn name(&self, py: Python<'_>, head: &RequestHead<'_>) -> PyResult<()> {
        let Some(names) = &self.names else {
            return Ok(());
        };
        let fields = head.headers.iter();
        names.set(py, fields.map(|field| (field.name.as_bytes(), field.value)))
    }

    /// Calls the application and starts what it returns.
    fn start(
        &self,
        py: Python<'_>,
        template: &Template,
        head: &RequestHead<'_>,
        exchange: &Arc<Exchange>,
    ) -> PyResult<()> {
        let scope = self.scopes.http(py, template, head)?;
        let (receive, send) = http::callables(py, exchange)?;
        let make = || {
            self.name(py, head)?;
            callable::call(self.app.bind(py), [scope.as_any(), &receive, &send])
        };
        tasks::start(py, make, Arc::clone(exchange) as Done)?;
        event_loop::nudge(py)
    }

    /// The same for a WebSocket.
    fn converse(
        &self,
        py: Python<'_>,
        template: &Template,
        head: &RequestHead<'_>,
        conversation: &Arc<Conversation>,
    ) -> PyResult<()> {
        let scope = self.scopes.websocket(py, template, head, conversation)?;
        let (receive, send) = websocket::callables(py, conversation)?;
        let make = || {
            self.name(py, head)?;
            self.app.bind(py).call1((scope, receive, send))
        };
        tasks::start(py, make, Arc::clone(conversation) as Done)?;
        event_loop::nudge(py)
    }
}

impl Application for Asgi {
    type Connection = Option<Template>;

    fn connect(&self, peers: &Peers, tls: Option<&TlsFacts>) -> Option<Template> {
        Python::attach(|py| match self.scopes.template(py, peers, tls) {
            Ok(template) => Some(template),
            Err(error) => {
                report::exception(py, "Cannot describe the connection", &error);
                None
            }
        })
    }

    fn request(
        &self,
        connection: &Option<Template>,
        head: &RequestHead<'_>,
        exchange: Arc<Exchange>,
    ) {
        Python::attach(|py| {
            // Without a template the operator has been told why; the client gets a 500.
            let started = connection
                .as_ref()
                .map(|t| self.start(py, t, head, &exchange));
            match started {
                Some(Ok(())) => {}
                Some(Err(error)) => finish(py, &exchange, Err(error)),
                None => finish(py, &exchange, Ok(py.None().into_bound(py))),
            }
        });
    }

    fn own_body(&self, size: usize, fill: &mut dyn FnMut(&mut ReadBuf<'_>)) -> Option<OwnBody> {
        Python::attach(|py| own_body::filled(py, size, fill))
    }

    fn cancel(&self, exchange: &Exchange) {
        Python::attach(|py| tasks::cancel(py, Request::of(exchange), Why::RequestTimeout));
    }

    fn cancel_websocket(&self, conversation: &Conversation) {
        Python::attach(|py| tasks::cancel(py, Request::of(conversation), Why::RequestTimeout));
    }

    fn takes_websockets(&self) -> bool {
        true
    }

    fn websocket(
        &self,
        connection: &Option<Template>,
        head: &RequestHead<'_>,
        conversation: Arc<Conversation>,
    ) {
        Python::attach(|py| {
            let started = connection
                .as_ref()
                .map(|t| self.converse(py, t, head, &conversation));
            match started {
                Some(Ok(())) => {}
                Some(Err(error)) => finish_conversation(py, &conversation, Err(error)),
                None => finish_conversation(py, &conversation, Ok(py.None().into_bound(py))),
            }
        });
    }
}

/// A WebSocket whose application has returned or raised.
impl WhenDone for Conversation {
    fn done(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
        finish_conversation(py, self, result);
    }

    fn holds_up_drain(&self) -> bool {
        true
    }
}

/// A request whose application has returned or raised.
impl WhenDone for Exchange {
    fn done(&self, py: Python<'_>, result: PyResult<Bound<'_, PyAny>>) {
        finish(py, self, result);
    }

    fn holds_up_drain(&self) -> bool {
        true
    }

    fn give_up_stream(&self) -> bool {
        self.give_up()
    }
}

/// Ends the response here, and logs why.
fn finish(py: Python<'_>, exchange: &Exchange, result: PyResult<Bound<'_, PyAny>>) {
    let finish = exchange.finish();
    let cancelled = tasks::was_cancelled(Request::of(exchange));
    match (result, finish) {
        (Err(error), _) if cancelled.is_some() && is_cancellation(py, &error) => {
            if cancelled == Some(Why::RequestTimeout) {
                tell_where(py, &error);
            }
        }
        (Err(error), _) if tasks::is_cancelling() && is_cancellation(py, &error) => {
            tracing::error!("Task cancelled, timeout graceful shutdown exceeded");
        }
        (Err(error), _) => report::exception(py, "Exception in ASGI application", &error),
        (Ok(_), Finish::NotStarted) => {
            tracing::error!("ASGI callable returned without starting response.");
        }
        (Ok(_), Finish::Incomplete) => {
            tracing::error!("ASGI callable returned without completing response.");
        }
        (Ok(value), Finish::Complete) if !value.is_none() => {
            tracing::error!("ASGI callable should return None, but returned '{value}'.");
        }
        (Ok(_), Finish::Complete) => {}
    }
}

/// Ends the WebSocket here, if it has not ended, and logs why.
fn finish_conversation(
    py: Python<'_>,
    conversation: &Conversation,
    result: PyResult<Bound<'_, PyAny>>,
) {
    let finish = conversation.finish(result.is_err());
    let cancelled = tasks::was_cancelled(Request::of(conversation));
    match (result, finish) {
        (Err(error), _) if cancelled.is_some() && is_cancellation(py, &error) => {
            if cancelled == Some(Why::RequestTimeout) {
                tell_where(py, &error);
            }
        }
        // ASGI: a server does not log the exception that its own send() raised.
        (Err(error), _) if error.is_instance_of::<ClientDisconnected>(py) => {}
        (Err(error), _) if tasks::is_cancelling() && is_cancellation(py, &error) => {
            tracing::error!("Task cancelled, timeout graceful shutdown exceeded");
        }
        (Err(error), _) => report::exception(py, "Exception in ASGI application", &error),
        (Ok(_), Finish::NotStarted | Finish::Incomplete) => {
            tracing::error!("ASGI callable returned without completing handshake.");
        }
        (Ok(value), Finish::Complete) if !value.is_none() => {
            tracing::error!("ASGI callable should return None, but returned '{value}'.");
        }
        (Ok(_), Finish::Complete) => {}
    }
}

/// Logs where a coroutine was that took too long: its traceback ends there. One that was
/// closed, without asyncio, has none.
fn tell_where(py: Python<'_>, error: &PyErr) {
    let what = "Task cancelled, timeout request exceeded";
    match error.traceback(py) {
        Some(_) => report::exception(py, what, error),
        None => tracing::error!("{what}"),
    }
}

/// Whether a coroutine ended because it was cancelled, or closed. Does not import asyncio to tell.
fn is_cancellation(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyGeneratorExit>(py)
        || event_loop::is_installed(py) && error.is_instance_of::<CancelledError>(py)
}
