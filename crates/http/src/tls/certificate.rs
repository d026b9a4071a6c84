//! Certificates as applications see them.

use pkcs8::der::pem::{LineEnding, encode_string};
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// A certificate in PEM, from DER.
#[must_use]
pub fn pem(der: &[u8]) -> String {
    // Only a label that is none, or a length beyond memory, is refused.
    encode_string("CERTIFICATE", LineEnding::LF, der).unwrap_or_default()
}

/// The subject of a certificate in DER, as RFC 4514 writes names. `None` where it cannot be read.
#[must_use]
pub fn subject(der: &[u8]) -> Option<String> {
    let certificate = Certificate::from_der(der).ok()?;
    Some(certificate.tbs_certificate().subject().to_string())
}
