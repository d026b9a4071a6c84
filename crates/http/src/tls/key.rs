//! The server's private key.

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::{self, PemObject};

use super::{BadFile, Key};
use lowmem_base::config::Tls;

const BEGIN_ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const END_ENCRYPTED: &str = "-----END ENCRYPTED PRIVATE KEY-----";

/// The key in the key file, or in the certificate's.
pub(super) fn load(tls: &Tls) -> Result<Key, BadFile> {
    let (option, path) = match &tls.key {
        Some(path) => ("--ssl-keyfile", path),
        None => ("--ssl-certfile", &tls.certificate),
    };
    let text = super::read(path).map_err(|error| BadFile::new(option, path, error))?;
    match decode(&String::from_utf8_lossy(&text), tls.password.as_deref()) {
        Ok(key) => Ok(key),
        Err(NoKey::None) if tls.key.is_none() => {
            let why = "has no private key; name its file with --ssl-keyfile";
            Err(BadFile::new(option, path, why))
        }
        Err(NoKey::Password(why)) => Err(BadFile::new("--ssl-keyfile-password", path, why)),
        Err(other) => Err(BadFile::new(option, path, other.why())),
    }
}

/// Why there is no key in a text.
#[derive(Debug, PartialEq, Eq)]
enum NoKey {
    None,
    /// Encrypted as OpenSSL did before PKCS#8.
    Legacy,
    Password(String),
    Malformed(String),
}

impl NoKey {
    fn why(&self) -> String {
        match self {
            Self::None => "has no private key in PEM (-----BEGIN PRIVATE KEY-----)".to_owned(),
            Self::Legacy => {
                "is encrypted in the old way of OpenSSL (Proc-Type, DEK-Info), whose key \
                             derivation is one round of MD5; change it by: \
                             openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out FILE.new"
                    .to_owned()
            }
            Self::Password(why) => why.clone(),
            Self::Malformed(why) => format!("the private key cannot be read: {why}"),
        }
    }
}

/// The first private key of a PEM text: PKCS#8, encrypted or not, PKCS#1 or SEC1.
fn decode(text: &str, password: Option<&str>) -> Result<Key, NoKey> {
    if let Some(start) = text.find(BEGIN_ENCRYPTED) {
        let section = &text[start..];
        let end = section
            .find(END_ENCRYPTED)
            .ok_or_else(|| NoKey::Malformed("its last line is missing".to_owned()))?;
        return decrypt(&section[..end + END_ENCRYPTED.len()], password);
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(NoKey::Legacy);
    }
    Key::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => NoKey::None,
        other => NoKey::Malformed(other.to_string()),
    })
}

/// RFC 5958 section 3: a key encrypted with a password (PBES2).
fn decrypt(section: &str, password: Option<&str>) -> Result<Key, NoKey> {
    let malformed = |error: &dyn std::fmt::Display| NoKey::Malformed(error.to_string());
    let Some(password) = password else {
        let why = "is encrypted; give its password by LOWMEM_SSL_KEYFILE_PASSWORD or this flag";
        return Err(NoKey::Password(why.to_owned()));
    };
    // The lines of one section, whatever ends them.
    let lines: Vec<&str> = section.lines().map(str::trim_end).collect();
    let (_, document) =
        SecretDocument::from_pem(&lines.join("\n")).map_err(|error| malformed(&error))?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| malformed(&error))?;
    match encrypted.decrypt(password) {
        Ok(key) => Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into()),
        Err(pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed)) => Err(
            NoKey::Password("the password does not open the key".to_owned()),
        ),
        Err(error) => Err(NoKey::Malformed(format!(
            "{error}; encrypt it anew by: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out FILE.new"
        ))),
    }
}

/// A key that rustls has no use for.
pub(super) fn unusable(error: &rustls::Error) -> String {
    format!(
        "cannot be used ({error}); keys may be RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, \
         or Ed25519"
    )
}
