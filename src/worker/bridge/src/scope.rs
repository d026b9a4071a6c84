//! Building an HTTP request's scope (ASGI "HTTP Connection Scope").

use std::cell::RefCell;
use std::net::IpAddr;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use lowmem_serve::worker::application::{Peers, ServerAddress, TlsFacts};
use lowmem_serve::worker::asgi::http::Version;
use lowmem_serve::worker::server::{Conversation, Forwarded, RequestHead, percent};

use crate::shared_fields::SharedFields;
use crate::tls;

/// What all scopes of a worker share.
pub struct Scopes {
    asgi: Py<PyDict>,
    extensions: Py<PyDict>,
    root_path: Py<PyString>,
    root: String,
    http11: Py<PyString>,
    http10: Py<PyString>,
    methods: Vec<(&'static str, Py<PyString>)>,
    names: Names,
    state: Py<PyDict>,
    /// The value of an extension that has nothing to say: one for all WebSockets.
    nothing: Py<PyDict>,
    /// What their handshakes have alike.
    shared: SharedFields,
    /// The last connection's `server`: it is that of most.
    server: RefCell<Option<(ServerAddress, Py<PyAny>)>>,
    /// The last client's address, which behind a proxy is that of all.
    client: RefCell<Option<(IpAddr, Py<PyString>)>>,
}

/// What stays the same for a connection.
pub struct Template {
    scope: Py<PyDict>,
    /// ASGI's TLS extension, where the connection is encrypted.
    tls: Option<Py<PyDict>>,
}

impl Scopes {
    /// `version` is that of ASGI which the application speaks; `state` is what lifespan startup left there.
    pub fn new(
        py: Python<'_>,
        version: &str,
        root_path: &str,
        state: Py<PyDict>,
    ) -> PyResult<Self> {
        let asgi = PyDict::new(py);
        asgi.set_item("version", version)?;
        asgi.set_item("spec_version", "2.3")?;
        let extensions = PyDict::new(py);
        extensions.set_item("http.response.pathsend", PyDict::new(py))?;
        let methods = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"];
        Ok(Self {
            asgi: asgi.unbind(),
            extensions: extensions.unbind(),
            root_path: PyString::new(py, root_path).unbind(),
            root: root_path.to_owned(),
            http11: PyString::new(py, "1.1").unbind(),
            http10: PyString::new(py, "1.0").unbind(),
            methods: methods
                .map(|m| (m, PyString::intern(py, m).unbind()))
                .into(),
            names: Names::new(py),
            state,
            nothing: PyDict::new(py).unbind(),
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
            tls: tls.map(Bound::unbind),
        })
    }

    fn client(&self, py: Python<'_>, address: IpAddr) -> Py<PyString> {
        let mut last = self.client.borrow_mut();
        match &*last {
            Some((same, text)) if *same == address => text.clone_ref(py),
            _ => {
                let text = PyString::new(py, &address.to_string()).unbind();
                *last = Some((address, text.clone_ref(py)));
                text
            }
        }
    }

    fn server(&self, py: Python<'_>, address: &ServerAddress) -> PyResult<Py<PyAny>> {
        let mut last = self.server.borrow_mut();
        if let Some((same, pair)) = &*last
            && same == address
        {
            return Ok(pair.clone_ref(py));
        }
        let pair = match address {
            ServerAddress::Tcp(address) => {
                (address.ip().to_string(), address.port()).into_pyobject(py)?
            }
            ServerAddress::Unix(path) => (path, py.None()).into_pyobject(py)?,
        };
        let pair = pair.into_any().unbind();
        *last = Some((address.clone(), pair.clone_ref(py)));
        Ok(pair)
    }

    /// The scope of one request. Everything that an application may change is its own.
    pub fn http<'py>(
        &self,
        py: Python<'py>,
        template: &Template,
        head: &RequestHead<'_>,
    ) -> PyResult<Bound<'py, PyDict>> {
        self.filled(py, template, head, |value| PyBytes::new(py, value))
    }

    /// The template with what a request says; `value_of` makes the values of its headers.
    fn filled<'py>(
        &self,
        py: Python<'py>,
        template: &Template,
        head: &RequestHead<'_>,
        value_of: impl Fn(&[u8]) -> Bound<'py, PyBytes>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let scope = template.scope.bind(py).copy()?;
        scope.set_item(intern!(py, "asgi"), self.asgi.bind(py).copy()?)?;
        let extensions = self.extensions.bind(py).copy()?;
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
        match self.methods.iter().find(|(name, _)| *name == head.method) {
            Some((_, method)) => scope.set_item(intern!(py, "method"), method)?,
            None => scope.set_item(intern!(py, "method"), head.method.to_ascii_uppercase())?,
        }
        self.set_path(&scope, head.path)?;
        scope.set_item(intern!(py, "query_string"), PyBytes::new(py, head.query))?;
        scope.set_item(intern!(py, "headers"), self.headers(py, head, value_of)?)?;
        scope.set_item(intern!(py, "state"), self.state.bind(py).copy()?)?;
        Ok(scope)
    }

    /// The scope of one WebSocket.
    pub fn websocket<'py>(
        &self,
        py: Python<'py>,
        template: &Template,
        head: &RequestHead<'_>,
        conversation: &Conversation,
    ) -> PyResult<Bound<'py, PyDict>> {
        let scope = self.filled(py, template, head, |value| self.names.value(py, value))?;
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
        if let Some(extensions) = scope.get_item(intern!(py, "extensions"))? {
            extensions.del_item(intern!(py, "http.response.pathsend"))?;
            extensions.set_item(intern!(py, "websocket.http.response"), &self.nothing)?;
        }
        if let Some(headers) = scope.get_item(intern!(py, "headers"))? {
            self.shared.share(headers.cast::<PyList>()?)?;
        }
        let subprotocols = PyList::new(py, conversation.subprotocols())?;
        scope.set_item(intern!(py, "subprotocols"), subprotocols)?;
        Ok(scope)
    }

    /// `path` and `raw_path`, behind `root_path` as Uvicorn has them since 0.26.
    fn set_path(&self, scope: &Bound<'_, PyDict>, raw: &[u8]) -> PyResult<()> {
        let py = scope.py();
        let decoded = percent::decoded(raw);
        // What is not UTF-8 becomes U+FFFD, as `urllib.parse.unquote` has it.
        let decoded = String::from_utf8_lossy(&decoded);
        let raw_path;
        let path;
        if self.root.is_empty() {
            raw_path = PyBytes::new(py, raw);
            path = PyString::new(py, &decoded);
        } else {
            raw_path = PyBytes::new(py, &[self.root.as_bytes(), raw].concat());
            path = PyString::new(py, &[self.root.as_str(), &decoded].concat());
        }
        scope.set_item(intern!(py, "path"), path)?;
        scope.set_item(intern!(py, "raw_path"), raw_path)
    }

    fn headers<'py>(
        &self,
        py: Python<'py>,
        head: &RequestHead<'_>,
        value_of: impl Fn(&[u8]) -> Bound<'py, PyBytes>,
    ) -> PyResult<Bound<'py, PyList>> {
        let pairs = head.headers.iter().map(|field| {
            let value = match head.authority {
                Some(authority) if field.name.eq_ignore_ascii_case("host") => authority,
                _ => field.value.trim_ascii(),
            };
            (self.names.get(py, field.name), value_of(value))
        });
        PyList::new(py, pairs)
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

/// Names that most requests carry, as bytes objects made once. Found by length first.
struct Names {
    by_length: Vec<Vec<(&'static str, Py<PyBytes>)>>,
    /// `websocket`, `Upgrade` and `13`.
    values: [Py<PyBytes>; 3],
}

impl Names {
    const COMMON: [&'static str; 51] = [
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "connection",
        "content-disposition",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "dnt",
        "expect",
        "forwarded",
        "from",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "origin",
        "pragma",
        "priority",
        "range",
        "referer",
        "sec-ch-ua",
        "sec-ch-ua-mobile",
        "sec-ch-ua-platform",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-fetch-user",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "te",
        "traceparent",
        "transfer-encoding",
        "upgrade",
        "upgrade-insecure-requests",
        "user-agent",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    ];

    fn new(py: Python<'_>) -> Self {
        let longest = Self::COMMON
            .iter()
            .map(|name| name.len())
            .max()
            .unwrap_or(0);
        let mut by_length: Vec<Vec<_>> = (0..=longest).map(|_| Vec::new()).collect();
        for name in Self::COMMON {
            by_length[name.len()].push((name, PyBytes::new(py, name.as_bytes()).unbind()));
        }
        let values = [&b"websocket"[..], b"Upgrade", b"13"];
        Self {
            by_length,
            values: values.map(|value| PyBytes::new(py, value).unbind()),
        }
    }

    /// A value of a WebSocket's handshake, which lasts as long as it: those that all have are made
    /// once.
    fn value<'py>(&self, py: Python<'py>, value: &[u8]) -> Bound<'py, PyBytes> {
        let known = match value {
            b"websocket" => &self.values[0],
            b"Upgrade" => &self.values[1],
            b"13" => &self.values[2],
            _ => return PyBytes::new(py, value),
        };
        known.bind(py).clone()
    }

    /// The name in lower case.
    fn get<'py>(&self, py: Python<'py>, name: &str) -> Bound<'py, PyBytes> {
        let common = self.by_length.get(name.len()).into_iter().flatten();
        for (known, bytes) in common {
            if name.eq_ignore_ascii_case(known) {
                return bytes.bind(py).clone();
            }
        }
        PyBytes::new(py, name.to_ascii_lowercase().as_bytes())
    }
}
