//! The meaning of the `--ssl-…` flags.

use super::mistakes::Mistakes;
use super::{ClientCertificates, Tls};
use crate::cli::{CertReqsWord, Tls as Typed};

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

/// The flags that make no sense without a certificate.
fn without_certificate(typed: &Typed, client: ClientCertificates) -> Vec<&'static str> {
    let given = [
        ("--ssl-keyfile", typed.ssl_keyfile.is_some()),
        ("--ssl-ca-certs", typed.ssl_ca_certs.is_some()),
        ("--ssl-cert-reqs", client != ClientCertificates::Ignored),
    ];
    let given = given.into_iter().filter(|(_, is_given)| *is_given);
    given.map(|(option, _)| option).collect()
}
