//! The fields of a request that the server itself reads.

use httparse::Header;

use super::host::check_host;
use super::{BodyLength, Refused};
use crate::server::proxy::is_proxy_field;

/// The fields that concern the server itself.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) body: BodyLength,
    pub(super) expects_continue: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    pub(super) proxied: bool,
    pub(super) trailers: bool,
    pub(super) hints: bool,
}

impl Fields {
    pub(super) fn read(headers: &[Header<'_>], http10: bool) -> Result<Self, Refused> {
        let mut hosts = 0;
        let mut length = None;
        let mut chunked = None;
        let mut fields = Self {
            body: BodyLength::Sized(0),
            expects_continue: false,
            close: false,
            keep_alive: false,
            upgrade: false,
            proxied: false,
            trailers: false,
            hints: false,
        };
        for Header { name, value } in headers {
            // The length tells most fields apart without comparing them.
            match name.len() {
                2 if name.eq_ignore_ascii_case("te") => {
                    let mut options = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
                    fields.trailers |= options.any(|o| o.eq_ignore_ascii_case(b"trailers"));
                }
                4 if name.eq_ignore_ascii_case("host") => {
                    hosts += 1;
                    check_host(value)?;
                }
                6 if name.eq_ignore_ascii_case("expect") => {
                    fields.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                        fields.close |= option.eq_ignore_ascii_case(b"close");
                        fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                        fields.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
                    }
                }
                14 if name.eq_ignore_ascii_case("content-length") => {
                    let first = length.replace(content_length(value)?).is_none();
                    if !first {
                        return Err(Refused::Malformed("more than one content-length"));
                    }
                }
                14 if name.eq_ignore_ascii_case("sec-fetch-mode") => {
                    fields.hints = *value == b"navigate";
                }
                9 | 15 | 17 if is_proxy_field(name) => fields.proxied = true,
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    if chunked.is_some() {
                        return Err(Refused::Malformed("more than one transfer-encoding"));
                    }
                    chunked = Some(transfer_coding(value)?);
                }
                _ => {}
            }
        }
        match hosts {
            1 => {}
            0 if http10 => {}
            0 => return Err(Refused::Malformed("no host")),
            _ => return Err(Refused::Malformed("more than one host")),
        }
        fields.body = framing(length, chunked.is_some(), http10)?;
        Ok(fields)
    }
}

/// RFC 9112 section 6.1: a body that is framed twice may be an attempt at smuggling, and HTTP/1.0
/// knows no codings.
fn framing(length: Option<u64>, chunked: bool, http10: bool) -> Result<BodyLength, Refused> {
    match (length, chunked) {
        (Some(_), true) => Err(Refused::Malformed(
            "both content-length and transfer-encoding",
        )),
        (None, true) if http10 => Err(Refused::Malformed(
            "transfer-encoding in an HTTP/1.0 request",
        )),
        (None, true) => Ok(BodyLength::Chunked),
        (length, false) => Ok(BodyLength::Sized(length.unwrap_or(0))),
    }
}

/// RFC 9110 section 8.6: `1*DIGIT`, nothing else; a list is refused.
pub(in crate::server) fn content_length(value: &[u8]) -> Result<u64, Refused> {
    const MALFORMED: Refused = Refused::Malformed("malformed content-length");
    // 19 digits are beyond any body and cannot overflow.
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    Ok(value
        .iter()
        .fold(0, |length, digit| length * 10 + u64::from(digit - b'0')))
}

/// The one coding we implement is `chunked`, once and alone.
fn transfer_coding(value: &[u8]) -> Result<(), Refused> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let chunked = codings
        .clone()
        .filter(|c| c.eq_ignore_ascii_case(b"chunked"))
        .count();
    match (chunked, codings.next_back()) {
        (1, Some(last)) if last.eq_ignore_ascii_case(b"chunked") => Err(Refused::UnknownCoding),
        (0, Some(last)) if !last.is_empty() => Err(Refused::UnknownCoding),
        _ => Err(Refused::Malformed("malformed transfer-encoding")),
    }
}

/// RFC 9113 section 8.2.2: fields about a connection, which HTTP/2 has frames for.
pub(in crate::server) fn is_connections(name: &str) -> bool {
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ]
    .iter()
    .any(|own| name.eq_ignore_ascii_case(own))
}
