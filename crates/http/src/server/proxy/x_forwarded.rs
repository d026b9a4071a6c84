//! `X-Forwarded-For` and `X-Forwarded-Proto`, as Uvicorn reads them.

use httparse::Header;

use super::client::{Client, Forwarded, client, joined};
use lowmem_base::config::Trusted;

/// The client according to these fields.
pub(super) fn read(headers: &[Header<'_>], trusted: &Trusted) -> Forwarded {
    let chain = joined(headers, "x-forwarded-for");
    let hops = chain
        .split(',')
        .map(str::trim)
        .filter(|hop| !hop.is_empty());
    Forwarded {
        client: client(hops, |hop| Some(*hop), trusted).map(Client::parse),
        secure: proto(headers),
    }
}

/// The last field counts: the nearest proxy has set it.
fn proto(headers: &[Header<'_>]) -> Option<bool> {
    let mut fields = headers.iter().rev();
    let last = fields.find(|h| h.name.eq_ignore_ascii_case("x-forwarded-proto"))?;
    match last.value.trim_ascii().to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => Some(true),
        b"http" | b"ws" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        fields: &[(&'static str, &'static str)],
        allowed: &str,
    ) -> (Option<String>, Option<bool>) {
        let headers: Vec<_> = fields
            .iter()
            .map(|(name, value)| Header {
                name,
                value: value.as_bytes(),
            })
            .collect();
        let told = read(&headers, &Trusted::parse(allowed).unwrap());
        (told.client.map(|client| client.to_string()), told.secure)
    }

    fn client_of(chain: &'static str, allowed: &str) -> Option<String> {
        told(&[("x-forwarded-for", chain)], allowed).0
    }

    #[test]
    fn the_rightmost_untrusted_address_is_the_client() {
        for (chain, allowed, expected) in [
            ("9.9.9.9", "127.0.0.1", "9.9.9.9:0"),
            ("1.1.1.1, 9.9.9.9", "127.0.0.1", "9.9.9.9:0"),
            (
                "1.1.1.1, 9.9.9.9, 10.0.0.7",
                "127.0.0.1,10.0.0.0/8",
                "9.9.9.9:0",
            ),
            ("10.0.0.1, 10.0.0.2", "10.0.0.0/8", "10.0.0.1:0"),
            ("1.1.1.1, 9.9.9.9", "*", "1.1.1.1:0"),
            ("9.9.9.9:4711", "127.0.0.1", "9.9.9.9:4711"),
            ("[2001:db8::9]:80", "127.0.0.1", "[2001:db8::9]:80"),
            ("1.1.1.1, [::1]:5", "::1", "1.1.1.1:0"),
            ("1.1.1.1, unknown", "127.0.0.1", "unknown:0"),
            ("1.1.1.1, edge", "127.0.0.1,edge", "1.1.1.1:0"),
            (" , 9.9.9.9 ,, ", "127.0.0.1", "9.9.9.9:0"),
        ] {
            assert_eq!(
                client_of(chain, allowed).as_deref(),
                Some(expected),
                "{chain}"
            );
        }
    }

    #[test]
    fn several_fields_are_one_chain() {
        let fields = [
            ("X-Forwarded-For", "1.1.1.1"),
            ("x-forwarded-for", "9.9.9.9"),
        ];
        assert_eq!(told(&fields, "127.0.0.1").0.as_deref(), Some("9.9.9.9:0"));
    }

    #[test]
    fn an_empty_field_changes_nothing() {
        assert_eq!(client_of("", "127.0.0.1"), None);
        assert_eq!(client_of(" , ", "*"), None);
    }

    #[test]
    fn the_last_scheme_counts_and_only_a_known_one() {
        let proto = |values: &[&'static str]| {
            let fields: Vec<_> = values.iter().map(|v| ("x-forwarded-proto", *v)).collect();
            told(&fields, "*").1
        };
        assert_eq!(proto(&["https"]), Some(true));
        assert_eq!(proto(&["http", " WSS "]), Some(true));
        assert_eq!(proto(&["https", "ws"]), Some(false));
        for wrong in ["ftp", "https,http", ""] {
            assert_eq!(proto(&["https", wrong]), None, "{wrong}");
        }
    }
}
