//! A client as proxies name it, and the chain of hops that it is found in.

use std::fmt;
use std::net::IpAddr;

use httparse::Header;

use lowmem_base::config::Trusted;

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
}
