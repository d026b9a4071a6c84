//! Both ends of a connection, as an environ names them.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use lowmem_http::peers::ServerAddress;

use super::request::Request;

/// The texts of addresses. Those of the last request are kept: the server's are hardly ever others,
/// and behind a proxy the client's are not, either.
#[derive(Default)]
pub struct Peers {
    server: Mutex<Option<(SocketAddr, Texts)>>,
    client: Mutex<Option<(IpAddr, Py<PyString>)>>,
}

/// A host's name, and a port.
struct Texts {
    name: Py<PyString>,
    port: Py<PyString>,
}

impl Peers {
    /// Both ends of the connection, as they are or as a trusted proxy has told them.
    pub fn set(&self, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let py = environ.py();
        let forwarded = request.forwarded.as_deref();
        let told = forwarded.and_then(|forwarded| forwarded.secure);
        let (scheme, default_port) = if told.unwrap_or(request.link.secure) {
            (intern!(py, "https"), intern!(py, "443"))
        } else {
            (intern!(py, "http"), intern!(py, "80"))
        };
        environ.set_item(intern!(py, "wsgi.url_scheme"), scheme)?;
        match &request.link.peers.server {
            ServerAddress::Tcp(address) => self.set_server(environ, *address)?,
            // They must be there, and a URL is made of `HTTP_HOST` first.
            ServerAddress::Unix(_) => {
                environ.set_item(intern!(py, "SERVER_NAME"), intern!(py, "localhost"))?;
                environ.set_item(intern!(py, "SERVER_PORT"), default_port)?;
            }
        }
        let client = forwarded.and_then(|forwarded| forwarded.client.as_ref());
        let (address, port) = match (client, request.link.peers.client) {
            (Some(client), _) => (PyString::new(py, &client.host), client.port),
            (None, Some(client)) => (self.client(py, client.ip()), client.port()),
            (None, None) => (intern!(py, "").clone(), 0),
        };
        environ.set_item(intern!(py, "REMOTE_ADDR"), address)?;
        if port > 0 {
            environ.set_item(intern!(py, "REMOTE_PORT"), port.to_string())?;
        }
        Ok(())
    }

    fn set_server(&self, environ: &Bound<'_, PyDict>, address: SocketAddr) -> PyResult<()> {
        let py = environ.py();
        let (name, port) = self.server(py, address);
        environ.set_item(intern!(py, "SERVER_NAME"), name)?;
        environ.set_item(intern!(py, "SERVER_PORT"), port)
    }

    fn server<'py>(
        &self,
        py: Python<'py>,
        address: SocketAddr,
    ) -> (Bound<'py, PyString>, Bound<'py, PyString>) {
        let mut kept = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let texts = match &mut *kept {
            Some((before, texts)) if *before == address => texts,
            other => {
                let texts = Texts {
                    name: PyString::new(py, &address.ip().to_string()).unbind(),
                    port: PyString::new(py, &address.port().to_string()).unbind(),
                };
                &mut other.insert((address, texts)).1
            }
        };
        (texts.name.bind(py).clone(), texts.port.bind(py).clone())
    }

    fn client<'py>(&self, py: Python<'py>, address: IpAddr) -> Bound<'py, PyString> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((before, text)) if *before == address => text.bind(py).clone(),
            _ => {
                let text = PyString::new(py, &address.to_string());
                *kept = Some((address, text.clone().unbind()));
                text
            }
        }
    }
}
