//! A response's head as a block of fields.

use crate::asgi::http::Framing;
use crate::server::head::is_connections;
use crate::server::hpack::encode;
use crate::server::request_id;
use crate::server::response::{Defaults, ResponseHead, with_date};

/// The size of a usual head, in bytes.
const USUAL: usize = 256;

/// The head with what the server adds, its own fields first, as in HTTP/1.1; and what the request is
/// called, unless the application has said it.
pub(in crate::server) fn encode(
    head: ResponseHead,
    framing: Framing,
    defaults: &Defaults,
    id: Option<&[u8]>,
) -> Vec<u8> {
    let told = head.take_apart();
    let mut block = Vec::with_capacity(USUAL);
    // A final status, which has been checked when it was taken.
    encode::status(&mut block, u16::try_from(told.status).unwrap_or(500));
    if defaults.date && !told.has_date {
        with_date(|line| add(&mut block, line));
    }
    if defaults.server && !told.has_server {
        encode::field(&mut block, b"server", b"lowmem-serve");
    }
    add(&mut block, &defaults.fields);
    let lines = told.lines();
    if let Some(id) = id.filter(|_| !request_id::is_named(lines)) {
        encode::field(&mut block, request_id::NAME.as_bytes(), id);
    }
    add(&mut block, lines);
    if let Framing::Length(length) | Framing::Bodiless(Some(length)) = framing {
        let length = itoa::Buffer::new().format(length).to_owned();
        encode::field(&mut block, b"content-length", length.as_bytes());
    }
    block
}

/// `100 Continue` (RFC 9110 section 15.2.1).
pub(in crate::server) fn interim() -> Vec<u8> {
    let mut block = Vec::new();
    encode::status(&mut block, 100);
    block
}

/// `103 Early Hints` (RFC 8297).
pub(super) fn hint(head: ResponseHead) -> Vec<u8> {
    let mut block = Vec::new();
    encode::status(&mut block, 103);
    add(&mut block, head.take_apart().lines());
    block
}

/// Fields behind a body.
pub(super) fn trailers(lines: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    add(&mut block, lines);
    block
}

/// Adds fields that have been written as HTTP/1.1 has them: their names are tokens and their values
/// have no line ends.
fn add(block: &mut Vec<u8>, mut lines: &[u8]) {
    while let Some(end) = memchr::memchr(b'\n', lines) {
        let line = &lines[..end - 1];
        lines = &lines[end + 1..];
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], &line[colon + 2..]);
        if !std::str::from_utf8(name).is_ok_and(is_connections) {
            encode::field(block, name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::hpack::{Decoder, FieldList};

    fn encoded(fields: &[(&str, &str)], id: Option<&[u8]>) -> Vec<(String, String)> {
        let mut head = ResponseHead::new(Vec::new(), 201);
        for (name, value) in fields {
            head.field(name.as_bytes(), value.as_bytes()).unwrap();
        }
        let defaults = Defaults {
            server: true,
            date: false,
            fields: b"x-own: y\r\n".to_vec(),
            closing: false.into(),
        };
        let block = encode(head, Framing::Length(3), &defaults, id);
        let mut list = FieldList::default();
        list.reset(10_000);
        Decoder::default().decode(&block, &mut list).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let pairs = list.iter();
        pairs
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn fields_keep_their_order_and_lose_what_is_the_connections() {
        let told = [
            ("X-A", "1"),
            ("Upgrade", "x"),
            ("keep-alive", "1"),
            ("x-a", ""),
        ];
        let expected = [
            (":status", "201"),
            ("server", "lowmem-serve"),
            ("x-own", "y"),
            ("x-a", "1"),
            ("x-a", ""),
            ("content-length", "3"),
        ];
        assert_eq!(encoded(&told, None), owned(&expected));
    }

    #[test]
    fn a_request_is_named_once() {
        let named = encoded(&[], Some(b"abc"));
        assert!(named.contains(&("x-request-id".to_owned(), "abc".to_owned())));
        let named = encoded(&[("X-Request-ID", "own")], Some(b"abc"));
        let names = named.iter().filter(|(name, _)| name == "x-request-id");
        assert_eq!(names.count(), 1);
    }
}
