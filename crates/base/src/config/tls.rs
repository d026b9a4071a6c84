//! How TLS is served.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Serve TLS, with these files. They are read by each worker when it starts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The certificate and those between it and a root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, unless that is in the same file.
    pub key: Option<PathBuf>,
    /// The password that the key is encrypted with.
    pub password: Option<String>,
    /// The roots of clients' certificates.
    pub client_roots: Option<PathBuf>,
    /// Whether clients show certificates.
    pub client_certificates: ClientCertificates,
    /// How long a handshake may take.
    pub handshake: Duration,
}

/// `--ssl-cert-reqs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificates {
    /// They are not asked for.
    Ignored,
    /// A client may show one, which must then be right.
    Optional,
    /// A client without one is refused.
    Required,
}

/// The password stays out of whatever a configuration is printed to.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .field("client_roots", &self.client_roots)
            .field("client_certificates", &self.client_certificates)
            .finish_non_exhaustive()
    }
}
