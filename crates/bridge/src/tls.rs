//! ASGI's TLS extension.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use lowmem_http::peers::TlsFacts;
use lowmem_http::tls;

/// `scope["extensions"]["tls"]` (ASGI "TLS Extension" 0.2).
pub fn extension<'py>(py: Python<'py>, facts: &TlsFacts) -> PyResult<Bound<'py, PyDict>> {
    let extension = PyDict::new(py);
    let server = tls::pem(&facts.certificate);
    extension.set_item(intern!(py, "server_cert"), server)?;
    let chain = facts.client_chain.iter().map(|der| tls::pem(der));
    extension.set_item(intern!(py, "client_cert_chain"), PyList::new(py, chain)?)?;
    let own = facts.client_chain.first();
    let name = own.and_then(|der| tls::subject(der));
    extension.set_item(intern!(py, "client_cert_name"), name)?;
    // One that cannot be verified ends the handshake.
    extension.set_item(intern!(py, "client_cert_error"), py.None())?;
    extension.set_item(intern!(py, "tls_version"), facts.version)?;
    extension.set_item(intern!(py, "cipher_suite"), facts.cipher_suite)?;
    Ok(extension)
}
