//! The `Forwarded` field (RFC 7239).

use httparse::Header;

use super::client::{Client, Forwarded, client, joined};
use crate::server::response::is_token;
use lowmem_base::config::Trusted;

/// The element that one proxy has appended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Element {
    /// `for`
    node: Option<String>,
    proto: Option<String>,
}

/// The client according to this field. A malformed field is ignored: it is unknown how the proxies before
/// this one have read it.
pub(super) fn read(headers: &[Header<'_>], trusted: &Trusted) -> Forwarded {
    let text = joined(headers, "forwarded");
    let Some(elements) = elements(&text) else {
        return Forwarded::default();
    };
    let hop = client(elements.iter(), |element| element.node.as_deref(), trusted);
    let Some(Element { node, proto }) = hop else {
        return Forwarded::default();
    };
    Forwarded {
        client: node.as_deref().map(Client::parse),
        secure: match proto.as_deref() {
            Some("https" | "wss") => Some(true),
            Some("http" | "ws") => Some(false),
            _ => None,
        },
    }
}

/// RFC 7239 section 4: elements between commas, pairs between semicolons.
fn elements(text: &str) -> Option<Vec<Element>> {
    let mut rest = text.trim();
    let mut elements = Vec::new();
    let mut element = Element::default();
    let mut filled = false;
    while !rest.is_empty() {
        match rest.as_bytes()[0] {
            b',' | b';' => {
                if rest.starts_with(',') && std::mem::take(&mut filled) {
                    elements.push(std::mem::take(&mut element));
                }
                rest = rest[1..].trim_start();
            }
            _ => {
                let (name, value, after) = pair(rest)?;
                filled = true;
                match name.to_ascii_lowercase().as_str() {
                    "for" => element.node.replace(value).is_none().then_some(())?,
                    "proto" => {
                        let value = value.to_ascii_lowercase();
                        element.proto.replace(value).is_none().then_some(())?;
                    }
                    _ => {}
                }
                rest = after.trim_start();
                if !(rest.is_empty() || rest.starts_with([',', ';'])) {
                    return None;
                }
            }
        }
    }
    if filled {
        elements.push(element);
    }
    Some(elements)
}

/// `name=token` or `name="quoted"`; and what follows it.
fn pair(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    if name.is_empty() || !name.bytes().all(is_token) {
        return None;
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, after) = unquoted(quoted)?;
        return Some((name, value, after));
    }
    let end = rest
        .bytes()
        .position(|b| !is_token(b))
        .unwrap_or(rest.len());
    let (value, after) = rest.split_at(end);
    (!value.is_empty()).then(|| (name, value.to_owned(), after))
}

/// The rest of a quoted string (RFC 9110 section 5.6.4), and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &str, allowed: &str) -> (Option<String>, Option<bool>) {
        let headers = [Header {
            name: "Forwarded",
            value: value.as_bytes(),
        }];
        let told = read(&headers, &Trusted::parse(allowed).unwrap());
        (told.client.map(|client| client.to_string()), told.secure)
    }

    #[test]
    fn the_elements_of_the_rfc_are_read() {
        for (value, client, secure) in [
            ("for=192.0.2.43", "192.0.2.43:0", None),
            (
                "For=192.0.2.60;proto=HTTPS;by=203.0.113.43",
                "192.0.2.60:0",
                Some(true),
            ),
            (
                "for=\"[2001:db8:cafe::17]:4711\"",
                "[2001:db8:cafe::17]:4711",
                None,
            ),
            (
                "for=1.1.1.1, for=9.9.9.9 ; proto=http",
                "9.9.9.9:0",
                Some(false),
            ),
            ("for=_hidden;host=\"a;b,c\"", "_hidden:0", None),
            ("for=\"a\\\"b\"", "a\"b:0", None),
            (",,for=9.9.9.9,", "9.9.9.9:0", None),
        ] {
            assert_eq!(
                told(value, "127.0.0.1"),
                (Some(client.to_owned()), secure),
                "{value}"
            );
        }
    }

    #[test]
    fn trusted_proxies_are_passed_over_with_their_schemes() {
        let chain = "for=9.9.9.9;proto=https, for=10.0.0.1;proto=http";
        let told = told(chain, "10.0.0.0/8");
        assert_eq!(told, (Some("9.9.9.9:0".to_owned()), Some(true)));
    }

    #[test]
    fn an_element_that_hides_its_client_ends_the_chain() {
        let told = told("for=9.9.9.9, by=10.0.0.1;proto=https", "10.0.0.0/8");
        assert_eq!(told, (None, Some(true)));
    }

    #[test]
    fn what_is_malformed_says_nothing() {
        for value in [
            "",
            "for",
            "for=",
            "=x",
            "for=\"x",
            "for=\"x\\",
            "for=\"x\"y",
            "for=1.1.1.1 for=2.2.2.2",
            "for=1.1.1.1;for=2.2.2.2",
            "f or=x",
            "for=[::1]",
        ] {
            assert_eq!(told(value, "127.0.0.1"), (None, None), "{value}");
        }
    }
}
