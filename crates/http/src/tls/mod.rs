//! From files to what a TLS server works with. The supervisor looks whether the files are good,
//! each worker loads them.
//!
//! The cryptography is ring's (Cargo.toml says why). Nothing here speaks to a client.

mod certificate;
mod key;
mod roots;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{InconsistentKeys, ServerConfig};

use lowmem_base::config::Tls;

pub use certificate::{pem, subject};

/// The TLS configuration and the certificate that every connection of a worker is made with.
#[derive(Debug, Clone)]
pub struct Identity {
    /// How rustls serves.
    pub config: Arc<ServerConfig>,
    /// The certificate that clients see, in DER.
    pub certificate: Arc<[u8]>,
}

/// Why TLS cannot be served with these files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// The flag that named the file.
    pub option: &'static str,
    /// The fault, and the remedy.
    pub why: String,
}

impl BadFile {
    fn new(option: &'static str, path: &Path, why: impl fmt::Display) -> Self {
        let why = format!("{}: {why}", path.display());
        Self { option, why }
    }
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.option, self.why)
    }
}

/// Reads the files and makes what connections are made with.
///
/// # Errors
/// Everything that is wrong with them.
pub fn load(tls: &Tls, protocols: &[&str]) -> Result<Identity, Vec<BadFile>> {
    let certificates = certificates(&tls.certificate);
    let key = key::load(tls);
    let clients = roots::verifier(tls);
    let (certificates, key, clients) = match (certificates, key, clients) {
        (Ok(certificates), Ok(key), Ok(clients)) => (certificates, key, clients),
        (certificates, key, clients) => {
            let bad = [certificates.err(), key.err(), clients.err()];
            let mut bad: Vec<BadFile> = bad.into_iter().flatten().collect();
            // Certificate and key may be of one file, which is missing for both.
            bad.dedup();
            return Err(bad);
        }
    };
    let certificate = Arc::from(certificates[0].as_ref());
    let provider = Arc::new(ring::default_provider());
    let refused = |why| vec![BadFile::new("--ssl-certfile", &tls.certificate, why)];
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates, key)
        .map_err(|error| mismatch(tls, error))?;
    // Tickets that the clients keep, instead of sessions that the worker would.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new().map_err(|error| refused(error.to_string()))?;
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().into())
        .collect();
    Ok(Identity {
        config: Arc::new(config),
        certificate,
    })
}

/// The text of a file in PEM, without the byte order mark that editors on Windows put before it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = fs::read(path)?;
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(text)
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadFile> {
    let bad = |why: String| BadFile::new("--ssl-certfile", path, why);
    let text = read(path).map_err(|error| bad(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(bad(
            "has no certificate in PEM (-----BEGIN CERTIFICATE-----); for one in DER: \
             openssl x509 -inform der -in FILE -out FILE.pem"
                .to_owned(),
        )),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(bad(format!("cannot be read as PEM: {error}"))),
    }
}

/// rustls refuses a certificate and a key that it cannot use, or that are not of one pair.
fn mismatch(tls: &Tls, error: rustls::Error) -> Vec<BadFile> {
    let key = tls.key.as_ref().unwrap_or(&tls.certificate);
    let bad = match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let certificate = tls.certificate.display();
            let why = format!(
                "is not the key of the first certificate in {certificate}; \
                 the server's own certificate comes first, those that issued it follow"
            );
            BadFile::new("--ssl-keyfile", key, why)
        }
        rustls::Error::InvalidCertificate(error) => {
            let why = format!("its first certificate cannot be used: {error:?}");
            BadFile::new("--ssl-certfile", &tls.certificate, why)
        }
        other => BadFile::new("--ssl-keyfile", key, key::unusable(&other)),
    };
    vec![bad]
}

/// The content of a key file.
type Key = PrivateKeyDer<'static>;
