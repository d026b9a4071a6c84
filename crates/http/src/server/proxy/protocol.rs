//! The PROXY protocol's header, versions 1 and 2, as a value (HAProxy's proxy-protocol.txt).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header that is read. Version 1 needs 107 bytes; version 2 could have 64 KiB of extensions,
/// of which senders use some hundred.
pub(in crate::server) const MAX_LENGTH: usize = 4096;

/// Longest header of version 1, with its CRLF.
const MAX_LINE: usize = 107;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The signature, version and command, family, length.
const FIXED: usize = 16;

/// A whole header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Preamble {
    /// The addresses of the client's connection to the proxy. `None` where the proxy speaks for itself (LOCAL,
    /// a health check) or in an unsupported address family.
    pub(in crate::server) ends: Option<Ends>,
    /// Bytes of the header.
    pub(in crate::server) length: usize,
}

/// Both ends of the connection to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Ends {
    pub(in crate::server) client: SocketAddr,
    pub(in crate::server) server: SocketAddr,
}

/// Why it is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Broken(pub(in crate::server) &'static str);

/// Reads the header at the start of what has arrived; nothing while it is not whole.
///
/// # Errors
/// There is none, or it is not as the specification writes it.
pub(in crate::server) fn parse(bytes: &[u8]) -> Result<Option<Preamble>, Broken> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    if begins(SIGNATURE) {
        binary(bytes)
    } else if begins(LINE_START) {
        line(bytes)
    } else {
        Err(Broken("no PROXY protocol header"))
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`.
fn line(bytes: &[u8]) -> Result<Option<Preamble>, Broken> {
    const MALFORMED: Broken = Broken("a malformed PROXY protocol line");
    let Some(lf) = memchr::memchr(b'\n', &bytes[..bytes.len().min(MAX_LINE)]) else {
        return if bytes.len() < MAX_LINE {
            Ok(None)
        } else {
            Err(Broken("a PROXY protocol line that is too long"))
        };
    };
    let line = bytes[..lf].strip_suffix(b"\r").ok_or(MALFORMED)?;
    let line = std::str::from_utf8(line).map_err(|_| MALFORMED)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().ok_or(MALFORMED)?;
    let length = lf + 1;
    if family == "UNKNOWN" {
        let ends = None;
        return Ok(Some(Preamble { ends, length }));
    }
    let mut word = || words.next().ok_or(MALFORMED);
    let (client, server) = (word()?, word()?);
    let (client_port, server_port) = (port(word()?)?, port(word()?)?);
    let address = |text: &str| -> Result<IpAddr, Broken> {
        match family {
            "TCP4" => text.parse().map(IpAddr::V4).map_err(|_| MALFORMED),
            "TCP6" => text.parse().map(IpAddr::V6).map_err(|_| MALFORMED),
            _ => Err(MALFORMED),
        }
    };
    let ends = Ends {
        client: SocketAddr::new(address(client)?, client_port),
        server: SocketAddr::new(address(server)?, server_port),
    };
    if words.next().is_some() {
        return Err(MALFORMED);
    }
    let ends = Some(ends);
    Ok(Some(Preamble { ends, length }))
}

fn port(text: &str) -> Result<u16, Broken> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    match text.parse() {
        Ok(port) if plain => Ok(port),
        _ => Err(Broken("a malformed port in a PROXY protocol line")),
    }
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Option<Preamble>, Broken> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = *fixed;
    let payload = usize::from(u16::from_be_bytes([high, low]));
    let length = FIXED + payload;
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => {
            return Err(Broken(
                "an unknown version or command of the PROXY protocol",
            ));
        }
    };
    if length > MAX_LENGTH {
        return Err(Broken("a PROXY protocol header that is too long"));
    }
    let Some(payload) = rest.get(..payload) else {
        return Ok(None);
    };
    let ends = match family {
        _ if is_local => None,
        0x11 => Some(ipv4(payload)?),
        0x21 => Some(ipv6(payload)?),
        // Unspecified, datagrams, Unix sockets: nothing that ASGI could show.
        _ => None,
    };
    Ok(Some(Preamble { ends, length }))
}

const SHORT: Broken = Broken("a PROXY protocol header without its addresses");

fn ipv4(payload: &[u8]) -> Result<Ends, Broken> {
    let ([c1, c2, c3, c4, s1, s2, s3, s4, ports @ ..], _) =
        payload.split_first_chunk::<12>().ok_or(SHORT)?;
    let (client, server) = both_ports(*ports);
    Ok(Ends {
        client: SocketAddr::new(Ipv4Addr::new(*c1, *c2, *c3, *c4).into(), client),
        server: SocketAddr::new(Ipv4Addr::new(*s1, *s2, *s3, *s4).into(), server),
    })
}

fn ipv6(payload: &[u8]) -> Result<Ends, Broken> {
    let (client, rest) = payload.split_first_chunk::<16>().ok_or(SHORT)?;
    let (server, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
    let (ports, _) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let (client_port, server_port) = both_ports(*ports);
    Ok(Ends {
        client: SocketAddr::new(Ipv6Addr::from(*client).into(), client_port),
        server: SocketAddr::new(Ipv6Addr::from(*server).into(), server_port),
    })
}

fn both_ports([c1, c2, s1, s2]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([c1, c2]), u16::from_be_bytes([s1, s2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, payload].concat()
    }

    fn ends(bytes: &[u8]) -> Option<(String, String)> {
        let preamble = parse(bytes).unwrap().unwrap();
        assert!(preamble.length <= bytes.len());
        preamble
            .ends
            .map(|ends| (ends.client.to_string(), ends.server.to_string()))
    }

    fn both(client: &str, server: &str) -> Option<(String, String)> {
        Some((client.to_owned(), server.to_owned()))
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 187];

    #[test]
    fn version_1_names_both_ends() {
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\nGET";
        assert_eq!(ends(line), both("192.0.2.1:56324", "192.0.2.2:443"));
        let line = b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";
        assert_eq!(ends(line), both("[2001:db8::1]:0", "[::1]:65535"));
        assert_eq!(ends(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(ends(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), None);
    }

    #[test]
    fn version_2_names_both_ends_whatever_extensions_follow() {
        let expected = both("192.0.2.1:56324", "192.0.2.2:443");
        assert_eq!(ends(&version_2(0x21, 0x11, &V4)), expected);
        let extended = [V4.as_slice(), &[4, 0, 2, 9, 9]].concat();
        assert_eq!(ends(&version_2(0x21, 0x11, &extended)), expected);
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 80, 81);
        assert_eq!(
            ends(&version_2(0x21, 0x21, &v6)),
            both("[::1]:80", "[::2]:81")
        );
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_names_no_client() {
        assert_eq!(ends(&version_2(0x20, 0x00, &[])), None);
        assert_eq!(ends(&version_2(0x20, 0x11, &V4)), None);
        for family in [0x00, 0x12, 0x31, 0x99] {
            assert_eq!(ends(&version_2(0x21, family, &[0; 216])), None);
        }
    }

    #[test]
    fn what_is_broken_is_refused() {
        let mut cases: Vec<Vec<u8>> = [
            "GET / HTTP/1.1\r\n",
            "PROXY\r\n\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        ]
        .map(|text| text.as_bytes().to_vec())
        .into();
        cases.push([LINE_START, &[b'x'; MAX_LINE]].concat());
        cases.push(version_2(0x21, 0x11, &V4[..11]));
        cases.push(version_2(0x21, 0x21, &[0; 35]));
        cases.push(version_2(0x22, 0x11, &V4));
        cases.push(version_2(0x11, 0x11, &V4));
        cases.push(version_2(0x21, 0x11, &[0; MAX_LENGTH]));
        for case in cases {
            assert!(
                parse(&case).is_err(),
                "{:?}",
                String::from_utf8_lossy(&case)
            );
        }
    }

    #[test]
    fn a_header_in_pieces_is_waited_for() {
        for whole in [
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(),
            version_2(0x21, 0x11, &V4),
        ] {
            for cut in 0..whole.len() {
                assert_eq!(parse(&whole[..cut]), Ok(None), "{cut}");
            }
            assert_eq!(parse(&whole).unwrap().unwrap().length, whole.len());
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_take_more_than_there_is() {
        // xorshift64: every run the same.
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let seeds = [
            version_2(0x21, 0x11, &V4),
            version_2(0x21, 0x21, &[7; 40]),
            b"PROXY TCP6 2001:db8::1 ::1 10 65535\r\n".to_vec(),
        ];
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..=random() % 3 {
                let at = random() as usize % bytes.len();
                bytes[at] = random() as u8;
            }
            bytes.truncate(random() as usize % (bytes.len() + 1));
            if let Ok(Some(preamble)) = parse(&bytes) {
                assert!(preamble.length <= bytes.len());
            }
        }
    }
}
