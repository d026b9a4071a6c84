//! The authorities that may certify clients.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};

use super::BadFile;
use lowmem_base::config::{ClientCertificates, Tls};

/// How clients' certificates are looked at.
pub(super) fn verifier(tls: &Tls) -> Result<Arc<dyn ClientCertVerifier>, BadFile> {
    let Some(path) = &tls.client_roots else {
        return Ok(Arc::new(NoClientAuth));
    };
    // Read even where they are not used: a wrong file is reported now.
    let roots = Arc::new(roots(path)?);
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
    let verifier = match tls.client_certificates {
        ClientCertificates::Ignored => return Ok(Arc::new(NoClientAuth)),
        ClientCertificates::Optional => builder.allow_unauthenticated().build(),
        ClientCertificates::Required => builder.build(),
    };
    match verifier {
        Ok(verifier) => Ok(verifier),
        Err(error) => Err(BadFile::new("--ssl-ca-certs", path, error)),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, BadFile> {
    let bad = |why: String| BadFile::new("--ssl-ca-certs", path, why);
    let text = super::read(path).map_err(|error| bad(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| bad(format!("is not PEM: {error}")))?;
        roots
            .add(certificate)
            .map_err(|error| bad(format!("a certificate cannot be read: {error}")))?;
    }
    if roots.is_empty() {
        return Err(bad("has no certificate in PEM".to_owned()));
    }
    Ok(roots)
}
