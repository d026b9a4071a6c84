//! TLS.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::values;

/// Options about TLS.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "TLS")]
#[expect(missing_docs)]
pub struct Tls {
    /// Serve TLS with this certificate, in PEM, those that issued it after it
    #[arg(long, value_name = "FILE", env = "LOWMEM_SSL_CERTFILE")]
    pub ssl_certfile: Option<PathBuf>,
    /// The private key of --ssl-certfile [default: in the same file]
    #[arg(long, value_name = "FILE", env = "LOWMEM_SSL_KEYFILE")]
    pub ssl_keyfile: Option<PathBuf>,
    /// The password of the key; other users can see arguments, so prefer the variable
    #[arg(long, value_name = "TEXT", env = "LOWMEM_SSL_KEYFILE_PASSWORD")]
    pub ssl_keyfile_password: Option<String>,
    /// Roots of clients' certificates
    #[arg(long, value_name = "FILE", env = "LOWMEM_SSL_CA_CERTS")]
    pub ssl_ca_certs: Option<PathBuf>,
    /// Certificates of clients: not requested, optional or required (0, 1, 2)
    #[arg(
        long,
        value_name = "WORD",
        default_value = "none",
        env = "LOWMEM_SSL_CERT_REQS"
    )]
    pub ssl_cert_reqs: CertReqsWord,
    /// Seconds for a TLS handshake
    #[arg(long, value_name = "S", default_value = "10", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_SSL_HANDSHAKE")]
    pub timeout_ssl_handshake: Duration,
    #[arg(long, hide = true, env = "LOWMEM_SSL_VERSION")]
    pub ssl_version: Option<String>,
    #[arg(long, hide = true, env = "LOWMEM_SSL_CIPHERS")]
    pub ssl_ciphers: Option<String>,
}

/// `--ssl-cert-reqs`: Python's names and numbers, which Uvicorn takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
pub enum CertReqsWord {
    #[value(aliases = ["0", "CERT_NONE"])]
    None,
    #[value(aliases = ["1", "CERT_OPTIONAL"])]
    Optional,
    #[value(aliases = ["2", "CERT_REQUIRED"])]
    Required,
}
