//! A response's head as h2 sends it.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, DATE, HeaderName, HeaderValue, SERVER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Response, StatusCode};

use crate::worker::asgi::http::Framing;
use crate::worker::server::request_id;
use crate::worker::server::response::{Defaults, ResponseHead, date_value};

/// The head with what the server adds, its own fields first, as in HTTP/1.1.
pub(in crate::worker::server) fn encode(
    head: ResponseHead,
    framing: Framing,
    defaults: &Defaults,
) -> Response<()> {
    let told = head.take_apart();
    let mut response = Response::new(());
    // A final status, which has been checked when it was taken.
    *response.status_mut() = u16::try_from(told.status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fields = response.headers_mut();
    if defaults.date
        && !told.has_date
        && let Ok(date) = HeaderValue::from_maybe_shared(date_value())
    {
        fields.insert(DATE, date);
    }
    if defaults.server && !told.has_server {
        fields.insert(SERVER, HeaderValue::from_static("lowmem-serve"));
    }
    add(fields, Bytes::copy_from_slice(&defaults.fields));
    add(fields, Bytes::from(told.lines));
    if let Framing::Length(length) | Framing::Bodiless(Some(length)) = framing {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// Adds the request's name, unless the application has said one.
pub(in crate::worker::server) fn announce(response: &mut Response<()>, id: &[u8]) {
    if let Ok(id) = HeaderValue::from_bytes(id) {
        response.headers_mut().entry(request_id::NAME).or_insert(id);
    }
}

/// Adds fields that have been written as HTTP/1.1 has them: their names are tokens and their values
/// have no line ends.
fn add(fields: &mut HeaderMap, lines: Bytes) {
    let mut start = 0;
    while let Some(found) = memchr::memchr(b'\n', &lines[start..]) {
        let line = start..start + found - 1;
        start += found + 1;
        let Some(colon) = memchr::memchr(b':', &lines[line.clone()]) else {
            continue;
        };
        let name = HeaderName::from_bytes(&lines[line.start..line.start + colon]);
        let value = lines.slice(line.start + colon + 2..line.end);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_maybe_shared(value))
            && !is_connections(&name)
        {
            // Beyond 32,768 fields no client would read them.
            let _ = fields.try_append(name, value);
        }
    }
}

/// RFC 9113 section 8.2.2: fields about a connection, which HTTP/2 has frames for.
fn is_connections(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | TRANSFER_ENCODING | UPGRADE)
        || name == "keep-alive"
        || name == "proxy-connection"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_lose_what_is_the_connections() {
        let mut head = ResponseHead::new(Vec::new(), 201);
        for (name, value) in [
            ("X-A", "1"),
            ("Upgrade", "x"),
            ("keep-alive", "1"),
            ("x-a", ""),
        ] {
            head.field(name.as_bytes(), value.as_bytes()).unwrap();
        }
        let defaults = Defaults {
            server: true,
            date: false,
            fields: b"x-own: y\r\n".to_vec(),
            closing: false.into(),
        };
        let response = encode(head, Framing::Length(3), &defaults);
        assert_eq!(response.status(), 201);
        let fields: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        let expected = [
            ("server", "lowmem-serve"),
            ("x-own", "y"),
            ("x-a", "1"),
            ("x-a", ""),
            ("content-length", "3"),
        ];
        assert_eq!(fields, expected);
    }
}
