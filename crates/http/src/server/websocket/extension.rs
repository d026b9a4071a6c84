//! Negotiating permessage-deflate (RFC 6455 section 9, RFC 7692 section 7.1).
//!
//! The agreed parameters never allow context takeover, in either direction, so that a connection
//! between two messages holds no compression state; and sent messages need a window of 4 KiB at
//! most to inflate.

use std::fmt;

use super::deflate::SENT_WINDOW_BITS;
use crate::server::response::is_token;

/// The parameters that both sides have agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreement {
    /// The window of what is sent, in bits.
    pub(super) sent: u8,
    /// The window of what the client sends, if it lets the server say so.
    received: Option<u8>,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("permessage-deflate; server_no_context_takeover; client_no_context_takeover")?;
        write!(f, "; server_max_window_bits={}", self.sent)?;
        match self.received {
            Some(bits) => write!(f, "; client_max_window_bits={bits}"),
            None => Ok(()),
        }
    }
}

/// Takes the first offer in the values of `sec-websocket-extensions` that can be met:
/// `Some(None)` if none can, `None` if a value is malformed.
pub(super) fn negotiate<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<Option<Agreement>> {
    let mut agreement = None;
    for value in values {
        for offer in split(value, b',') {
            let mut parts = split(offer, b';');
            let name = parts.next()?.trim_ascii();
            if !is_name(name) {
                return None;
            }
            let parameters: Vec<_> = parts.map(parameter).collect::<Option<_>>()?;
            if agreement.is_none() && name == b"permessage-deflate" {
                agreement = accept(&parameters);
            }
        }
    }
    Some(agreement)
}

/// Splits at a separator that is not in a quoted string.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == separator && !quoted
    })
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().copied().all(is_token)
}

/// `name`, `name=value` or `name="value"`, where the value is a token either way.
fn parameter(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut halves = text.splitn(2, |byte| *byte == b'=');
    let name = halves.next()?.trim_ascii();
    let value = halves.next().map(<[u8]>::trim_ascii);
    let value = value.map(|value| {
        let inner = value
            .strip_prefix(b"\"")
            .and_then(|v| v.strip_suffix(b"\""));
        inner.unwrap_or(value)
    });
    (is_name(name) && value.is_none_or(is_name)).then_some((name, value))
}

/// Takes one offer, unless its parameters are not those of the RFC, or come twice, or ask for a
/// window of 8 bits, which zlib does not have.
fn accept(parameters: &[(&[u8], Option<&[u8]>)]) -> Option<Agreement> {
    let mut agreement = Agreement {
        sent: SENT_WINDOW_BITS,
        received: None,
    };
    for (index, (name, value)) in parameters.iter().enumerate() {
        if parameters[..index].iter().any(|(other, _)| other == name) {
            return None;
        }
        match (*name, value) {
            (b"server_no_context_takeover" | b"client_no_context_takeover", None) => {}
            (b"server_max_window_bits", Some(bits)) => {
                agreement.sent = window(bits).filter(|bits| *bits > 8)?.min(SENT_WINDOW_BITS);
            }
            (b"client_max_window_bits", None) => agreement.received = Some(SENT_WINDOW_BITS),
            (b"client_max_window_bits", Some(bits)) => {
                agreement.received = Some(window(bits)?.min(SENT_WINDOW_BITS));
            }
            _ => return None,
        }
    }
    Some(agreement)
}

/// Section 7.1.2: 8 to 15, without leading zeros.
fn window(bits: &[u8]) -> Option<u8> {
    let bits: u8 = match bits {
        [digit @ b'8'..=b'9'] => digit - b'0',
        [b'1', digit @ b'0'..=b'5'] => 10 + digit - b'0',
        _ => return None,
    };
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(value: &str) -> Option<String> {
        let agreement = negotiate([value.as_bytes()].into_iter()).expect("well-formed");
        agreement.map(|agreement| agreement.to_string())
    }

    fn with(more: &str) -> Option<String> {
        let fixed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        Some(format!("{fixed}; {more}"))
    }

    #[test]
    fn an_offer_is_answered_with_what_we_do() {
        for (offer, more) in [
            ("", "server_max_window_bits=12"),
            (
                "; client_max_window_bits",
                "server_max_window_bits=12; client_max_window_bits=12",
            ),
            (
                "; client_max_window_bits=\"15\"; server_max_window_bits=15",
                "server_max_window_bits=12; client_max_window_bits=12",
            ),
            (
                "; client_max_window_bits=9; server_max_window_bits=9",
                "server_max_window_bits=9; client_max_window_bits=9",
            ),
        ] {
            assert_eq!(answer(&format!("permessage-deflate{offer}")), with(more));
        }
    }

    #[test]
    fn an_offer_that_cannot_be_met_is_passed_over() {
        for bad in [
            "x-webkit-deflate-frame",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=08",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; what",
        ] {
            assert_eq!(answer(bad), None, "{bad}");
        }
        let second = "permessage-deflate; server_max_window_bits=8, permessage-deflate";
        assert_eq!(answer(second), with("server_max_window_bits=12"));
    }

    #[test]
    fn what_is_no_list_of_extensions_is_malformed() {
        for bad in ["", "a,,b", "a; ", "a; =1", "a; b=\"c d\"", "a b"] {
            assert_eq!(negotiate([bad.as_bytes()].into_iter()), None, "{bad}");
        }
        assert_eq!(answer("a; b=\"c\", d"), None);
    }
}
