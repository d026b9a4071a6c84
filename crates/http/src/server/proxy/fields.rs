//! The client that a request's header fields tell of.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use httparse::Header;

use super::{forwarded, x_forwarded};
use crate::peers::Peers;
use lowmem_base::config::{ForwardedField, ProxySettings, Trusted};

/// A trusted proxy's statements about the client behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// The client's address; the proxy's own, if it does not say.
    pub client: Option<Client>,
    /// Whether the client came through TLS, if the proxy says so.
    pub secure: Option<bool>,
}

/// A client, as its proxy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// An address, or a name that is none.
    pub host: String,
    /// 0 where the proxy names none.
    pub port: u16,
}

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

/// Says that what a peer tells of its client does not count, and how it would.
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

/// The values of all fields with this name, as one list (RFC 9110 section 5.3).
pub(super) fn joined(headers: &[Header<'_>], name: &str) -> String {
    let mut all = String::new();
    for header in headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)) {
        if !all.is_empty() {
            all.push(',');
        }
        // Latin-1, as header fields are read where nothing says otherwise.
        all.extend(header.value.iter().map(|byte| char::from(*byte)));
    }
    all
}

/// The client in a chain of hops, each appended by the proxy it came to: the rightmost that is not
/// trusted, because only trusted proxies have written what is right of it. Where all are, the first.
pub(super) fn client<'a, T>(
    hops: impl DoubleEndedIterator<Item = T> + Clone,
    node: impl Fn(&T) -> Option<&'a str>,
    trusted: &Trusted,
) -> Option<T> {
    let first = hops.clone().next();
    if trusted.trusts_all() {
        return first;
    }
    let untrusted = hops.rev().find(|hop| {
        !node(hop).is_some_and(|node| {
            let Client { host, .. } = Client::parse(node);
            let address = host.parse::<IpAddr>();
            address.map_or_else(|_| trusted.has_name(&host), |a| trusted.has_address(a))
        })
    });
    untrusted.or(first)
}

impl Client {
    /// `ip`, `ip:port`, `[v6]` or `[v6]:port`; anything else is a name.
    pub(super) fn parse(node: &str) -> Self {
        let bracketed = node.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match (bracketed, node.split_once(':')) {
            (Some((host, "")), _) => (host, ""),
            (Some((host, rest)), _) => (host, rest.strip_prefix(':').unwrap_or("")),
            (None, Some((host, port))) if host.parse::<IpAddr>().is_ok() => (host, port),
            _ => (node, ""),
        };
        Self {
            host: host.to_owned(),
            port: port.parse().unwrap_or(0),
        }
    }
}

/// `9.9.9.9:0` or `[::1]:0`, as the access log has it.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
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
    fn a_node_is_an_address_with_or_without_a_port_or_a_name() {
        for (node, host, port) in [
            ("9.9.9.9", "9.9.9.9", 0),
            ("9.9.9.9:80", "9.9.9.9", 80),
            ("9.9.9.9:x", "9.9.9.9", 0),
            ("::1", "::1", 0),
            ("[::1]", "::1", 0),
            ("[::1]:80", "::1", 80),
            ("unknown", "unknown", 0),
            ("_a:b", "_a:b", 0),
        ] {
            let host = host.to_owned();
            assert_eq!(Client::parse(node), Client { host, port }, "{node}");
        }
    }

    #[test]
    fn the_names_of_the_fields_are_known_in_any_case() {
        for name in ["forwarded", "X-Forwarded-For", "X-FORWARDED-PROTO"] {
            assert!(is_proxy_field(name));
        }
        assert!(!is_proxy_field("x-forwarded-host") && !is_proxy_field("if-range1"));
    }
}
