//! Statements of proxies, as the fuzz targets see them.

use std::net::SocketAddr;

use httparse::Header;

use super::client::Forwarded;
use super::fields::Proxies;
use super::protocol;
use crate::peers::{Peers, ServerAddress};
use lowmem_base::config::{ForwardedField, ProxySettings, Trusted};

/// A whole header of the PROXY protocol.
#[derive(Debug, PartialEq, Eq)]
pub struct Preamble {
    /// The client and the server that it names, if it names any.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// Its bytes.
    pub length: usize,
}

/// The header at the start of `bytes`; nothing while it is not whole.
///
/// # Errors
/// Why it is no header.
pub fn preamble(bytes: &[u8]) -> Result<Option<Preamble>, &'static str> {
    let parsed = protocol::parse(bytes).map_err(|broken| broken.0)?;
    Ok(parsed.map(|it| Preamble {
        ends: it.ends.map(|ends| (ends.client, ends.server)),
        length: it.length,
    }))
}

/// The client that header fields name, where the peer is trusted.
#[must_use]
pub fn forwarded(
    fields: &[(&str, &[u8])],
    field: ForwardedField,
    trusted: &Trusted,
) -> Option<Forwarded> {
    let proxies = Proxies::new(&ProxySettings {
        trusted: trusted.clone(),
        field: Some(field),
        protocol: false,
    });
    let peers = Peers {
        client: None,
        server: ServerAddress::Unix(String::new()),
        routed: false,
    };
    let headers: Vec<_> = fields
        .iter()
        .map(|(name, value)| Header { name, value })
        .collect();
    proxies.read(&peers, &headers)
}
