//! The application that a connection is for, as far as its first bytes say: HTTP/1.1's `host` and target, HTTP/2's
//! `:authority` and `:path`, or the name in TLS' ClientHello.
//!
//! For the router, which looks and takes nothing. It reads no more than it needs: what is wrong with a
//! request otherwise, the worker says that reads it properly.

mod http2;
pub(super) mod request;
#[cfg(test)]
mod tests;
mod tls;

/// The content of the first bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    /// Not enough yet.
    Unfinished,
    /// A request without TLS.
    Request {
        /// The host, as it was sent; empty where a request of HTTP/1.0 names none.
        host: Vec<u8>,
        /// The path, as it was sent.
        path: Vec<u8>,
        /// It is HTTP/2's.
        is_http2: bool,
    },
    /// A TLS handshake, for this name if the client says one.
    Tls(Option<String>),
    /// Nothing that could be served.
    Bad(&'static str),
}

/// The first byte of a TLS record with a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Looks at what a connection, or its next request, begins with.
#[must_use]
pub fn look(bytes: &[u8]) -> Beginning {
    match bytes {
        [] => Beginning::Unfinished,
        [TLS_HANDSHAKE, ..] => tls::look(bytes),
        _ if http2::may_be(bytes) => http2::look(bytes),
        _ => match request::read(bytes) {
            Ok(Some(named)) => Beginning::Request {
                host: named.host.to_vec(),
                path: named.path.to_vec(),
                is_http2: false,
            },
            Ok(None) => Beginning::Unfinished,
            Err(why) => Beginning::Bad(why),
        },
    }
}
