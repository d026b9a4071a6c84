//! What the `--ssl-…` flags mean.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mistakes::Mistakes;
use crate::cli::{CertReqsWord, Tls as Typed};

/// Serve TLS, with these files. They are read by each worker when it starts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The certificate and those between it and a root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, unless that is in the same file.
    pub key: Option<PathBuf>,
    /// What the key is encrypted with.
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

/// Whether TLS is served, and how.
pub(super) fn meant(
    typed: &Typed,
    notices: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Option<Tls> {
    let client_certificates = match typed.ssl_cert_reqs {
        CertReqsWord::None => ClientCertificates::Ignored,
        CertReqsWord::Optional => ClientCertificates::Optional,
        CertReqsWord::Required => ClientCertificates::Required,
    };
    let Some(certificate) = typed.ssl_certfile.clone() else {
        for option in without_certificate(typed, client_certificates) {
            mistakes.add(option, "needs --ssl-certfile with the server's certificate");
        }
        return None;
    };
    let asks = client_certificates != ClientCertificates::Ignored;
    if asks && typed.ssl_ca_certs.is_none() {
        let why = "needs --ssl-ca-certs with the roots that clients' certificates come from";
        mistakes.add("--ssl-cert-reqs", why);
    }
    if !asks && typed.ssl_ca_certs.is_some() {
        let notice = "--ssl-ca-certs has no effect without --ssl-cert-reqs 1 or 2";
        notices.push(notice.to_owned());
    }
    if typed.ssl_version.is_some() {
        let notice = "--ssl-version is ignored: clients get TLS 1.3, or 1.2 if they have no better";
        notices.push(notice.to_owned());
    }
    if typed.ssl_ciphers.is_some() {
        let notice = "--ssl-ciphers is ignored: rustls has none that are known to be weak";
        notices.push(notice.to_owned());
    }
    Some(Tls {
        certificate,
        key: typed.ssl_keyfile.clone(),
        password: typed.ssl_keyfile_password.clone(),
        client_roots: typed.ssl_ca_certs.clone(),
        client_certificates,
        handshake: typed.timeout_ssl_handshake,
    })
}

/// What makes no sense without a certificate.
fn without_certificate(typed: &Typed, client: ClientCertificates) -> Vec<&'static str> {
    let given = [
        ("--ssl-keyfile", typed.ssl_keyfile.is_some()),
        ("--ssl-ca-certs", typed.ssl_ca_certs.is_some()),
        ("--ssl-cert-reqs", client != ClientCertificates::Ignored),
    ];
    let given = given.into_iter().filter(|(_, is_given)| *is_given);
    given.map(|(option, _)| option).collect()
}
