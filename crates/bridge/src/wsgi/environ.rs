//! Building a request's environ (PEP 3333).
//!
//! Text is the request's bytes as Latin-1, which keeps every byte: frameworks undo it. Fields whose
//! name has an underscore are left out: an application could not distinguish `X_Forwarded_For` from
//! `X-Forwarded-For`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use lowmem_base::config::WorkerConfig;
use lowmem_base::percent;
use lowmem_http::asgi::http::Version;

use super::file_wrapper::FileWrapper;
use super::peers::Peers;
use super::request::Request;

/// Names of fields, as sent, whose keys are kept; clients send some thirty.
const MOST_KEYS: usize = 64;

/// The parts that the environs of a worker share.
pub struct Environs {
    base: Py<PyDict>,
    http11: Py<PyString>,
    http10: Py<PyString>,
    http2: Py<PyString>,
    peers: Peers,
    keys: Mutex<Keys>,
}

/// The key of each field's name, as sent; none for one that is left out.
type Keys = HashMap<Box<[u8]>, Option<Py<PyString>>>;

impl Environs {
    pub fn new(py: Python<'_>, config: &WorkerConfig) -> PyResult<Self> {
        let base = PyDict::new(py);
        let sys = py.import("sys")?;
        let software = concat!("lowmem-serve/", env!("CARGO_PKG_VERSION"));
        base.set_item("SERVER_SOFTWARE", software)?;
        base.set_item(
            "SCRIPT_NAME",
            latin1(py, config.application.root_path.as_bytes())?,
        )?;
        base.set_item("wsgi.version", (1, 0))?;
        base.set_item("wsgi.errors", sys.getattr("stderr")?)?;
        base.set_item("wsgi.multithread", config.application.wsgi_threads > 1)?;
        // Even a single worker has a second one beside it while it is replaced.
        base.set_item("wsgi.multiprocess", true)?;
        base.set_item("wsgi.run_once", false)?;
        base.set_item("wsgi.input_terminated", true)?;
        base.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
        // Set for every request: a copy then has its full size, and no value makes it grow.
        for key in [
            "REQUEST_METHOD",
            "PATH_INFO",
            "QUERY_STRING",
            "REQUEST_URI",
            "RAW_URI",
            "SERVER_PROTOCOL",
            "SERVER_NAME",
            "SERVER_PORT",
            "REMOTE_ADDR",
            "wsgi.input",
            "wsgi.url_scheme",
        ] {
            base.set_item(key, py.None())?;
        }
        Ok(Self {
            base: base.unbind(),
            http11: PyString::new(py, "HTTP/1.1").unbind(),
            http10: PyString::new(py, "HTTP/1.0").unbind(),
            // RFC 3875 section 4.1.16 has a minor version, as nginx and Apache write it.
            http2: PyString::new(py, "HTTP/2.0").unbind(),
            peers: Peers::default(),
            keys: Mutex::default(),
        })
    }

    /// The environ of one request.
    pub fn environ<'py>(
        &self,
        py: Python<'py>,
        request: &Request,
        input: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let environ = self.base.bind(py).copy()?;
        environ.set_item(intern!(py, "REQUEST_METHOD"), latin1(py, request.method())?)?;
        if request.root > 0 {
            let root = percent::decoded(&request.path()[..request.root]);
            environ.set_item(intern!(py, "SCRIPT_NAME"), latin1(py, &root)?)?;
        }
        let path = percent::decoded(&request.path()[request.root..]);
        environ.set_item(intern!(py, "PATH_INFO"), latin1(py, &path)?)?;
        environ.set_item(intern!(py, "QUERY_STRING"), latin1(py, request.query())?)?;
        let uri = if request.query().is_empty() {
            latin1(py, request.path())?
        } else {
            latin1(py, &[request.path(), b"?", request.query()].concat())?
        };
        environ.set_item(intern!(py, "REQUEST_URI"), &uri)?;
        environ.set_item(intern!(py, "RAW_URI"), uri)?;
        let protocol = match request.version {
            Version::Http10 => &self.http10,
            Version::Http11 => &self.http11,
            Version::Http2 => &self.http2,
        };
        environ.set_item(intern!(py, "SERVER_PROTOCOL"), protocol)?;
        environ.set_item(intern!(py, "wsgi.input"), input)?;
        self.peers.set(&environ, request)?;
        self.set_fields(&environ, request)?;
        Ok(environ)
    }

    fn set_fields(&self, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let py = environ.py();
        for (name, value) in request.fields() {
            let Some(key) = self.key(py, name)? else {
                continue;
            };
            let value = latin1(py, value)?;
            match environ.get_item(&key)? {
                None => environ.set_item(key, value)?,
                Some(before) => {
                    // RFC 9110 section 5.3, and RFC 6265 section 5.4 for cookies.
                    let between = if name.eq_ignore_ascii_case(b"cookie") {
                        "; "
                    } else {
                        ","
                    };
                    environ.set_item(key, format!("{before}{between}{value}"))?;
                }
            }
        }
        Ok(())
    }

    /// The key of a field's name; none for one that is left out.
    fn key<'py>(&self, py: Python<'py>, name: &[u8]) -> PyResult<Option<Bound<'py, PyString>>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = keys.get(name) {
            return Ok(known.as_ref().map(|key| key.bind(py).clone()));
        }
        let key = key_of(name).map(|key| latin1(py, &key)).transpose()?;
        if keys.len() < MOST_KEYS {
            keys.insert(name.into(), key.as_ref().map(|key| key.clone().unbind()));
        }
        Ok(key)
    }
}

fn key_of(name: &[u8]) -> Option<Vec<u8>> {
    if name.contains(&b'_') {
        return None;
    }
    let bare =
        name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"content-length");
    let mut key: Vec<u8> = if bare { Vec::new() } else { b"HTTP_".to_vec() };
    key.extend(name.iter().map(|byte| match byte {
        b'-' => b'_',
        other => other.to_ascii_uppercase(),
    }));
    Some(key)
}

/// Each byte as the character with its number (PEP 3333, "Unicode issues").
fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let length = ffi::Py_ssize_t::try_from(bytes.len()).unwrap_or(ffi::Py_ssize_t::MAX);
    // SAFETY: attached, and `length` bytes can be read; null for the strict handling of errors, of
    // which Latin-1 knows none.
    let text = unsafe {
        Bound::from_owned_ptr_or_err(
            py,
            ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length, std::ptr::null()),
        )?
    };
    Ok(text.cast_into::<PyString>()?)
}
