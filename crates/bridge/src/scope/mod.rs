//! Building an HTTP request's scope (ASGI "HTTP Connection Scope").

mod extensions;
mod names;
mod previous;

use std::cell::RefCell;
use std::net::IpAddr;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use lowmem_base::config::WorkerConfig;
use lowmem_base::percent;
use lowmem_http::asgi::http::Version;
use lowmem_http::peers::{Peers, ServerAddress, TlsFacts};
use lowmem_http::server::{Conversation, Forwarded, RequestHead};

use crate::shared_fields::SharedFields;
use crate::tls;
use extensions::Extensions;
use names::Names;
use previous::{Previous, Said};

/// The parts that all scopes of a worker share.
pub struct Scopes {
    asgi: Py<PyDict>,
    /// Those that every request has, and with each of those that its client takes.
    extensions: Extensions,
    root_path: Py<PyString>,
    root: String,
    http11: Py<PyString>,
    http10: Py<PyString>,
    methods: Vec<(&'static str, Py<PyString>)>,
    names: Names,
    state: Py<PyDict>,
    /// The extensions of a WebSocket.
    of_websockets: Py<PyDict>,
    /// The header fields that their handshakes have in common.
    shared: SharedFields,
    /// The last connection's `server`: it is that of most.
    server: RefCell<Option<(ServerAddress, Py<PyAny>)>>,
    /// The last client's address, which behind a proxy is that of all.
    client: RefCell<Option<(IpAddr, Py<PyString>)>>,
}

/// The part of a scope that stays the same for a connection.
pub struct Template {
    /// With the method, the path and the query of the previous request.
    scope: Py<PyDict>,
    previous: RefCell<Previous>,
    /// ASGI's TLS extension, where the connection is encrypted.
    tls: Option<Py<PyDict>>,
}

impl Scopes {
    /// `version` is that of ASGI which the application speaks; `state` is what lifespan startup left there.
    pub fn new(
        py: Python<'_>,
        version: &str,
        config: &WorkerConfig,
        state: Py<PyDict>,
    ) -> PyResult<Self> {
        let asgi = PyDict::new(py);
        asgi.set_item("version", version)?;
        asgi.set_item("spec_version", "2.3")?;
        let of_websockets = PyDict::new(py);
        // Its value has nothing to say: one for all WebSockets.
        of_websockets.set_item("websocket.http.response", PyDict::new(py))?;
        let methods = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"];
        Ok(Self {
            asgi: asgi.unbind(),
            extensions: Extensions::new(py, config.application.pathsend)?,
            root_path: PyString::new(py, &config.application.root_path).unbind(),
            root: config.application.root_path.clone(),
            http11: PyString::new(py, "1.1").unbind(),
            http10: PyString::new(py, "1.0").unbind(),
            methods: methods
                .map(|m| (m, PyString::intern(py, m).unbind()))
                .into(),
            names: Names::new(py),
            state,
            of_websockets: of_websockets.unbind(),
            shared: SharedFields::new(py),
            server: RefCell::default(),
            client: RefCell::default(),
        })
    }

    /// The part that a connection's requests share.
    pub fn template(
        &self,
        py: Python<'_>,
        peers: &Peers,
        tls: Option<&TlsFacts>,
    ) -> PyResult<Template> {
        let scope = PyDict::new(py);
        scope.set_item(intern!(py, "type"), intern!(py, "http"))?;
        scope.set_item(intern!(py, "http_version"), &self.http11)?;
        let scheme = match tls {
            Some(_) => intern!(py, "https"),
            None => intern!(py, "http"),
        };
        scope.set_item(intern!(py, "scheme"), scheme)?;
        scope.set_item(intern!(py, "root_path"), &self.root_path)?;
        let client = peers
            .client
            .map(|peer| (self.client(py, peer.ip()), peer.port()));
        scope.set_item(intern!(py, "client"), client)?;
        scope.set_item(intern!(py, "server"), self.server(py, &peers.server)?)?;
        // All keys of a request: a copy then has its full size, and no value makes it grow.
        let later = [
            intern!(py, "asgi"),
            intern!(py, "extensions"),
            intern!(py, "method"),
            intern!(py, "path"),
            intern!(py, "raw_path"),
            intern!(py, "query_string"),
            intern!(py, "headers"),
            intern!(py, "state"),
        ];
        for key in later {
            scope.set_item(key, py.None())?;
        }
        let tls = tls.map(|facts| tls::extension(py, facts)).transpose()?;
        Ok(Template {
            scope: scope.unbind(),
            previous: RefCell::default(),
            tls: tls.map(Bound::unbind),
        })
    }

    fn client(&self, py: Python<'_>, address: IpAddr) -> Py<PyString> {
        let last = self.client.borrow();
        if let Some((same, text)) = &*last
            && *same == address
        {
            return text.clone_ref(py);
        }
        drop(last);
        let text = PyString::new(py, &address.to_string()).unbind();
        self.client.replace(Some((address, text.clone_ref(py))));
        text
    }

    fn server(&self, py: Python<'_>, address: &ServerAddress) -> PyResult<Py<PyAny>> {
        let last = self.server.borrow();
        if let Some((same, pair)) = &*last
            && same == address
        {
            return Ok(pair.clone_ref(py));
        }
        drop(last);
        let pair = match address {
            ServerAddress::Tcp(address) => {
                (address.ip().to_string(), address.port()).into_pyobject(py)?
            }
            ServerAddress::Unix(path) => (path, py.None()).into_pyobject(py)?,
        };
        let pair = pair.into_any().unbind();
        self.server
            .replace(Some((address.clone(), pair.clone_ref(py))));
        Ok(pair)
    }

    /// The scope of one request. Everything that an application may change is its own.
    pub fn http<'py>(
        &self,
        py: Python<'py>,
        template: &Template,
        head: &RequestHead<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let value_of = |value: &[u8]| PyBytes::new(py, value);
        self.filled(py, template, head, self.extensions.of(head), value_of)
    }

    /// The template with what a request says: `extensions` are announced, and `value_of` makes the values
    /// of its headers.
    fn filled<'py>(
        &self,
        py: Python<'py>,
        template: &Template,
        head: &RequestHead<'_>,
        extensions: &Py<PyDict>,
        value_of: impl Fn(&[u8]) -> Bound<'py, PyBytes>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let mut previous = template.previous.borrow_mut();
        if let Err(error) = self.renew(template.scope.bind(py), &mut previous, head) {
            // Half of it may be this request's.
            *previous = Previous::default();
            return Err(error);
        }
        let scope = template.scope.bind(py).copy()?;
        scope.set_item(intern!(py, "asgi"), self.asgi.bind(py).copy()?)?;
        let extensions = extensions.bind(py).copy()?;
        if let Some(tls) = &template.tls {
            extensions.set_item(intern!(py, "tls"), tls.bind(py).copy()?)?;
        }
        scope.set_item(intern!(py, "extensions"), extensions)?;
        match head.version {
            Version::Http11 => {}
            Version::Http10 => scope.set_item(intern!(py, "http_version"), &self.http10)?,
            Version::Http2 => scope.set_item(intern!(py, "http_version"), intern!(py, "2"))?,
        }
        if let Some(forwarded) = &head.forwarded {
            see_through(&scope, forwarded)?;
        }
        let headers = previous.headers(py, &self.names, head, value_of)?;
        scope.set_item(intern!(py, "headers"), headers)?;
        scope.set_item(intern!(py, "state"), self.state.bind(py).copy()?)?;
        Ok(scope)
    }

    /// Brings a template to this request's method, path and query, where the previous one had others.
    fn renew(
        &self,
        template: &Bound<'_, PyDict>,
        previous: &mut Previous,
        head: &RequestHead<'_>,
    ) -> PyResult<()> {
        let py = template.py();
        if previous.method.replace(head.method.as_bytes()) {
            match self.methods.iter().find(|(name, _)| *name == head.method) {
                Some((_, method)) => template.set_item(intern!(py, "method"), method)?,
                None => {
                    template.set_item(intern!(py, "method"), head.method.to_ascii_uppercase())?;
                }
            }
        }
        if previous.root != head.root {
            previous.root = head.root;
            self.set_root(template, head)?;
            previous.path = Said::default();
        }
        if previous.path.replace(head.path) {
            self.set_path(template, head)?;
        }
        if previous.query.replace(head.query) {
            template.set_item(intern!(py, "query_string"), PyBytes::new(py, head.query))?;
        }
        Ok(())
    }

    /// The scope of one WebSocket.
    pub fn websocket<'py>(
        &self,
        py: Python<'py>,
        template: &Template,
        head: &RequestHead<'_>,
        conversation: &Conversation,
    ) -> PyResult<Bound<'py, PyDict>> {
        let value_of = |value: &[u8]| self.names.value(py, value);
        let scope = self.filled(py, template, head, &self.of_websockets, value_of)?;
        scope.del_item(intern!(py, "method"))?;
        scope.set_item(intern!(py, "type"), intern!(py, "websocket"))?;
        let scheme = scope.get_item(intern!(py, "scheme"))?;
        let scheme = match scheme {
            Some(scheme) if scheme.eq(intern!(py, "https"))? => intern!(py, "wss"),
            _ => intern!(py, "ws"),
        };
        scope.set_item(intern!(py, "scheme"), scheme)?;
        if let Some(asgi) = scope.get_item(intern!(py, "asgi"))? {
            asgi.set_item(intern!(py, "spec_version"), intern!(py, "2.4"))?;
        }
        if let Some(headers) = scope.get_item(intern!(py, "headers"))? {
            self.shared.share(headers.cast::<PyList>()?)?;
        }
        let subprotocols = PyList::new(py, conversation.subprotocols())?;
        scope.set_item(intern!(py, "subprotocols"), subprotocols)?;
        Ok(scope)
    }

    /// `root_path`, where that is a part of the request's own path.
    fn set_root(&self, scope: &Bound<'_, PyDict>, head: &RequestHead<'_>) -> PyResult<()> {
        let key = intern!(scope.py(), "root_path");
        if head.root == 0 {
            return scope.set_item(key, &self.root_path);
        }
        let decoded = percent::decoded(&head.path[..head.root]);
        scope.set_item(key, String::from_utf8_lossy(&decoded))
    }

    /// `path` and `raw_path`, behind `root_path` as Uvicorn has them since 0.26. A root that is a part of
    /// the request's own path is there already.
    fn set_path(&self, scope: &Bound<'_, PyDict>, head: &RequestHead<'_>) -> PyResult<()> {
        let py = scope.py();
        let raw = head.path;
        let decoded = percent::decoded(raw);
        // Bytes that are not UTF-8 become U+FFFD, as with `urllib.parse.unquote`.
        let decoded = String::from_utf8_lossy(&decoded);
        let raw_path;
        let path;
        if self.root.is_empty() || head.root > 0 {
            raw_path = PyBytes::new(py, raw);
            path = PyString::new(py, &decoded);
        } else {
            raw_path = PyBytes::new(py, &[self.root.as_bytes(), raw].concat());
            path = PyString::new(py, &[self.root.as_str(), &decoded].concat());
        }
        scope.set_item(intern!(py, "path"), path)?;
        scope.set_item(intern!(py, "raw_path"), raw_path)
    }
}

/// Sets the client and the scheme as a trusted proxy has told them.
fn see_through(scope: &Bound<'_, PyDict>, forwarded: &Forwarded) -> PyResult<()> {
    let py = scope.py();
    if let Some(client) = &forwarded.client {
        scope.set_item(intern!(py, "client"), (&client.host, client.port))?;
    }
    if let Some(is_secure) = forwarded.secure {
        let scheme = if is_secure {
            intern!(py, "https")
        } else {
            intern!(py, "http")
        };
        scope.set_item(intern!(py, "scheme"), scheme)?;
    }
    Ok(())
}
