//! The proxies whose statements about a client are believed: `--forwarded-allow-ips`.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A list of addresses, networks and names, or all peers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    all: bool,
    networks: Vec<Network>,
    /// Entries that are no addresses: `unix:`, or an obfuscated name of a proxy.
    names: Vec<String>,
}

/// An address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Trusted {
    /// Reads `127.0.0.1,10.0.0.0/8,::1`, `*`, or nothing, which trusts no peer.
    ///
    /// # Errors
    /// A network that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut trusted = Self::default();
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            match (entry, entry.parse(), entry.split_once('/')) {
                ("*", ..) => trusted.all = true,
                (_, Ok(address), _) => trusted.networks.push(Network::one(address)),
                (_, _, Some((address, bits))) => {
                    let network = Network::parse(address, bits);
                    let wrong = || format!("{entry:?} is no network like 10.0.0.0/8");
                    trusted.networks.push(network.ok_or_else(wrong)?);
                }
                _ => trusted.names.push(entry.to_owned()),
            }
        }
        Ok(trusted)
    }

    /// `*`
    #[must_use]
    pub fn trusts_all(&self) -> bool {
        self.all
    }

    /// Whether an address is on the list.
    #[must_use]
    pub fn has_address(&self, address: IpAddr) -> bool {
        // A socket for both families shows IPv4 as ::ffff:127.0.0.1.
        let address = address.to_canonical();
        self.all || self.networks.iter().any(|network| network.has(address))
    }

    /// Whether a name that is no address is on the list.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|own| own == name)
    }

    /// Whether peers that come through a Unix socket are: `unix:`, as nginx writes it, or `*`.
    #[must_use]
    pub fn has_unix(&self) -> bool {
        self.has_name("unix:")
    }
}

impl Network {
    fn one(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits }
    }

    fn parse(address: &str, bits: &str) -> Option<Self> {
        let address: IpAddr = address.parse().ok()?;
        let bits = bits.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (bits <= longest).then_some(Self { address, bits })
    }

    fn has(self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differs = u32::from(own) ^ u32::from(other);
                differs.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differs = u128::from(own) ^ u128::from(other);
                differs.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(list: &str, address: &str) -> bool {
        Trusted::parse(list)
            .unwrap()
            .has_address(address.parse().unwrap())
    }

    #[test]
    fn addresses_and_networks_of_both_families_match() {
        for (list, address, expected) in [
            ("127.0.0.1,::1", "127.0.0.1", true),
            ("127.0.0.1, ::1", "::1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "::ffff:127.0.0.1", true),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("*", "203.0.113.9", true),
            ("", "127.0.0.1", false),
        ] {
            assert_eq!(has(list, address), expected, "{list} {address}");
        }
    }

    #[test]
    fn what_is_no_address_is_a_name() {
        let trusted = Trusted::parse("unix:,_edge").unwrap();
        assert!(trusted.has_unix() && trusted.has_name("_edge") && !trusted.has_name("edge"));
    }

    #[test]
    fn a_network_that_is_none_is_refused() {
        for wrong in ["10.0.0.0/33", "10.0.0/8", "::1/129", "a/b", "10.0.0.0/-1"] {
            assert!(Trusted::parse(wrong).is_err(), "{wrong}");
        }
    }
}
