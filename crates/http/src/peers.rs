//! The two ends of a connection, and what is known of it when it is encrypted.

use std::sync::Arc;

pub use lowmem_base::control::{Peers, ServerAddress};

/// The facts of an encrypted connection, for ASGI's TLS extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    /// The certificate that the client was shown, in DER.
    pub certificate: Arc<[u8]>,
    /// The certificates that the client showed, its own first, in DER. They have been verified.
    pub client_chain: Vec<Vec<u8>>,
    /// The version's number on the wire (RFC 8446 section 4.2.1).
    pub version: Option<u16>,
    /// The cipher suite's number (RFC 8446 appendix B.4).
    pub cipher_suite: Option<u16>,
}
