//! Certificates and keys in files: which are taken, and what is said of the others.

use std::fs;
use std::path::{Path, PathBuf};

use lowmem_base::config::{ClientCertificates, HttpVersions, Tls};
use lowmem_http::tls::{self, Identity};
use rcgen::{CertificateParams, Issuer, KeyPair};

/// A key that protects nothing, made for this test; and the same encrypted with `secret`.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzZOMSNek30f6hYTq\n\
qv2Ew6F4D2JyqP/wyzGaM8XCRjehRANCAASe+40w7/2uoD4xLYyAHZN5OhKLZP5j\n\
Xr6qgcYNye5oRCR+iT+/yaI0tSUerBeHSyrQsmGZq+WQ6XyasGH+ATv5\n\
-----END PRIVATE KEY-----\n\
";
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjTrtCauCUg+gICCAAw\n\
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDP5ABO9EfqxP12sj07bMGwEgZAw\n\
TQ7jIbnviM19fGIw1ja/DxariSLwMapTG2ijzOwk1+WoD5ouo15v7BhTpuK/CePX\n\
oEjNUgbW3bDDwnmuOaLMfAORA3m9IQHg1pjeaqYOrehISKJTj5UUfnKwIqKVaK5u\n\
rl8isc4k4Uf+X7dFu0/L1Nj5AtG02Y5xIuRphzqXluqO83oBopSgKTWTDyBP4rc=\n\
-----END ENCRYPTED PRIVATE KEY-----\n\
";

/// A folder that is removed with its files.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let name = format!("lowmem-identity-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn files(certificate: &Path, key: Option<&Path>) -> Tls {
    Tls {
        certificate: certificate.to_owned(),
        key: key.map(Path::to_owned),
        password: None,
        client_roots: None,
        client_certificates: ClientCertificates::Ignored,
        handshake: std::time::Duration::from_secs(5),
    }
}

/// A certificate for [`KEY`].
fn certificate() -> String {
    let key = KeyPair::from_pem(KEY).unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    parameters.self_signed(&key).unwrap().pem()
}

/// An authority, and a certificate of it with its key, all in PEM.
pub fn authority() -> (String, String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = parameters.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(parameters, key);
    let client_key = KeyPair::generate().unwrap();
    let client = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let client = client.signed_by(&client_key, &issuer).unwrap().pem();
    (own, client, client_key.serialize_pem())
}

fn load(tls: &Tls) -> Result<Identity, String> {
    let loaded = tls::load(tls, HttpVersions::Auto.protocols());
    loaded.map_err(|bad| {
        let texts: Vec<_> = bad.iter().map(ToString::to_string).collect();
        texts.join("\n")
    })
}

#[test]
fn keys_are_taken_in_a_file_of_their_own_with_the_certificate_or_encrypted() {
    let folder = Folder::new("taken");
    let certificate = certificate();
    let own = folder.write("certificate.pem", &certificate);
    let both = folder.write("both.pem", format!("\u{feff}{certificate}{KEY}"));
    let key = folder.write("key.pem", KEY);
    let windows = ENCRYPTED.replace('\n', "\r\n");
    let encrypted = folder.write("encrypted.pem", format!("a comment\r\n{windows}"));
    let mut with_password = files(&own, Some(&encrypted));
    with_password.password = Some("secret".to_owned());
    for tls in [files(&own, Some(&key)), files(&both, None), with_password] {
        let identity = load(&tls).unwrap();
        assert_eq!(
            tls::pem(&identity.certificate),
            certificate.replace("\r\n", "\n")
        );
        assert!(tls::subject(&identity.certificate).is_some());
    }
    assert_eq!(tls::subject(b"no certificate"), None);
}

#[test]
fn what_is_wrong_with_a_key_is_said_with_its_remedy() {
    let folder = Folder::new("keys");
    let own = folder.write("certificate.pem", certificate());
    let other = KeyPair::generate().unwrap().serialize_pem();
    let legacy = KEY.replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\n\nM");
    for (text, password, part) in [
        ("nothing", None, "--ssl-keyfile: "),
        ("nothing", None, "has no private key in PEM"),
        (ENCRYPTED, None, "LOWMEM_SSL_KEYFILE_PASSWORD"),
        (
            ENCRYPTED,
            Some("wrong"),
            "the password does not open the key",
        ),
        (&ENCRYPTED[..200], None, "its last line is missing"),
        (
            &ENCRYPTED.replace("MIHs", "MIIs"),
            Some("secret"),
            "cannot be read",
        ),
        (&KEY.replace("MIGH", "????"), None, "cannot be read"),
        (&legacy, None, "openssl pkcs8 -topk8"),
        (&other, None, "is not the key of the first certificate"),
    ] {
        let key = folder.write("key.pem", text);
        let mut tls = files(&own, Some(&key));
        tls.password = password.map(str::to_owned);
        let why = load(&tls).unwrap_err();
        assert!(why.contains(part), "{part}: {why}");
    }
    let why = load(&files(&own, None)).unwrap_err();
    assert!(why.contains("name its file with --ssl-keyfile"), "{why}");
    let why = load(&files(&own, Some(Path::new("/does/not/exist")))).unwrap_err();
    assert!(why.contains("No such file"), "{why}");
}

#[test]
fn what_is_wrong_with_certificates_is_said_at_once() {
    let folder = Folder::new("certificates");
    let key = folder.write("key.pem", KEY);
    let broken = certificate().replace("MII", "???");
    for (text, part) in [
        ("nothing", "has no certificate in PEM"),
        (&broken, "cannot be read as PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be used",
        ),
    ] {
        let own = folder.write("certificate.pem", text);
        let why = load(&files(&own, Some(&key))).unwrap_err();
        assert!(why.contains(part), "{part}: {why}");
    }
    let missing = Path::new("/does/not/exist");
    let mut tls = files(missing, None);
    tls.client_roots = Some(missing.to_owned());
    // The missing file is reported once, though it is that of the certificate and of its key.
    assert_eq!(load(&tls).unwrap_err().lines().count(), 2);
    let own = folder.write("certificate.pem", certificate());
    for (text, part) in [
        ("nothing".to_owned(), "has no certificate in PEM"),
        (broken, "is not PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            "a certificate cannot be read",
        ),
    ] {
        let mut tls = files(&own, Some(&key));
        tls.client_roots = Some(folder.write("roots.pem", text));
        let why = load(&tls).unwrap_err();
        assert!(
            why.starts_with("--ssl-ca-certs: ") && why.contains(part),
            "{part}: {why}"
        );
    }
}

#[test]
fn clients_may_be_asked_for_certificates() {
    let folder = Folder::new("asked");
    let own = folder.write("certificate.pem", certificate());
    let key = folder.write("key.pem", KEY);
    let roots = folder.write("roots.pem", authority().0);
    for wanted in [
        ClientCertificates::Ignored,
        ClientCertificates::Optional,
        ClientCertificates::Required,
    ] {
        let mut tls = files(&own, Some(&key));
        (tls.client_roots, tls.client_certificates) = (Some(roots.clone()), wanted);
        let identity = load(&tls).unwrap();
        assert_eq!(identity.config.alpn_protocols[0], b"h2");
    }
}
