//! The client, as a request's header fields describe it.

use std::cell::Cell;
use std::net::SocketAddr;

use httparse::Header;

use super::client::Forwarded;
use super::{forwarded, x_forwarded};
use crate::peers::Peers;
use lowmem_base::config::{ForwardedField, ProxySettings, Trusted};

/// Whether a field, by its name in any case, may describe the client. Used when heads are read: only
/// requests with such a field are looked at again.
#[must_use]
pub fn is_proxy_field(name: &str) -> bool {
    match name.len() {
        9 => name.eq_ignore_ascii_case("forwarded"),
        15 => name.eq_ignore_ascii_case("x-forwarded-for"),
        17 => name.eq_ignore_ascii_case("x-forwarded-proto"),
        _ => false,
    }
}

/// How a worker reads such fields.
#[derive(Debug)]
pub(in crate::server) struct Proxies {
    believed: Option<(ForwardedField, Trusted)>,
    /// It was said that a peer is not believed: once, because strangers may write such fields, too.
    is_told: Cell<bool>,
}

impl Proxies {
    pub(in crate::server) fn new(settings: &ProxySettings) -> Self {
        let believed = settings
            .field
            .map(|field| (field, settings.trusted.clone()));
        let is_told = Cell::new(false);
        Self { believed, is_told }
    }

    /// The statements in the fields of a request, if its peer is trusted.
    pub(in crate::server) fn read(
        &self,
        peers: &Peers,
        headers: &[Header<'_>],
    ) -> Option<Forwarded> {
        let (field, trusted) = self.believed.as_ref()?;
        if !is_trusted(trusted, peers.client) {
            if !self.is_told.replace(true) {
                warn_of(*field, peers.client, headers);
            }
            return None;
        }
        let told = match field {
            ForwardedField::XForwarded => x_forwarded::read(headers, trusted),
            ForwardedField::Forwarded => forwarded::read(headers, trusted),
        };
        (told != Forwarded::default()).then_some(told)
    }
}

/// Warns that a peer's fields about its client are ignored, and names the flag that trusts it.
fn warn_of(field: ForwardedField, peer: Option<SocketAddr>, headers: &[Header<'_>]) {
    let (name, other) = match field {
        ForwardedField::XForwarded => ("X-Forwarded-", false),
        ForwardedField::Forwarded => ("Forwarded", true),
    };
    let is_read = |header: &Header<'_>| header.name.eq_ignore_ascii_case("forwarded") == other;
    if !headers
        .iter()
        .any(|header| is_proxy_field(header.name) && is_read(header))
    {
        return;
    }
    let (from, value) = match peer {
        Some(peer) => (peer.ip().to_string(), peer.ip().to_string()),
        None => ("a Unix socket".to_owned(), "unix:".to_owned()),
    };
    tracing::warn!(
        "{name} fields from {from} are ignored, because it is no trusted proxy. If it is yours: \
         --forwarded-allow-ips {value}. This is said once."
    );
}

/// Whether a peer is on the list; one without an address came through a Unix socket.
pub(in crate::server) fn is_trusted(trusted: &Trusted, peer: Option<SocketAddr>) -> bool {
    match peer {
        Some(peer) => trusted.has_address(peer.ip()),
        None => trusted.has_unix(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::ServerAddress;

    fn peers(client: Option<&str>) -> Peers {
        Peers {
            client: client.map(|client| client.parse().unwrap()),
            server: ServerAddress::Unix(String::new()),
            routed: false,
        }
    }

    fn read(allowed: &str, peer: Option<&str>) -> Option<Forwarded> {
        let proxies = Proxies::new(&ProxySettings {
            trusted: Trusted::parse(allowed).unwrap(),
            field: Some(ForwardedField::XForwarded),
            protocol: false,
        });
        let headers = [Header {
            name: "X-Forwarded-For",
            value: b"9.9.9.9",
        }];
        proxies.read(&peers(peer), &headers)
    }

    #[test]
    fn only_trusted_peers_speak_for_others() {
        assert!(read("127.0.0.1", Some("127.0.0.1:5")).is_some());
        assert!(read("127.0.0.1", Some("127.0.0.2:5")).is_none());
        assert!(read("127.0.0.1", None).is_none());
        assert!(read("127.0.0.1,unix:", None).is_some());
        assert!(read("*", None).is_some());
        assert!(read("", Some("127.0.0.1:5")).is_none());
        let none = Proxies::new(&ProxySettings::default());
        assert_eq!(none.read(&peers(None), &[]), None);
    }

    #[test]
    fn the_names_of_the_fields_are_known_in_any_case() {
        for name in ["forwarded", "X-Forwarded-For", "X-FORWARDED-PROTO"] {
            assert!(is_proxy_field(name));
        }
        assert!(!is_proxy_field("x-forwarded-host") && !is_proxy_field("if-range1"));
    }
}
