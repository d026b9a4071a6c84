//! A request's head, from the fields that h2 has decoded and checked (RFC 9113 section 8).

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST};
use http::request::Parts;
use httparse::Header;

use crate::worker::asgi::http::Version;
use crate::worker::server::head::{BodyLength, HeadLimits, Refused, RequestHead, check_host};
use crate::worker::server::proxy::is_proxy_field;

/// Hands the head to `then` while it is borrowed.
///
/// What h2 lets pass and a request over HTTP/1.1 could not be is refused, so that an application
/// sees the same whatever its clients speak.
pub(super) fn read<R>(
    parts: &Parts,
    limits: HeadLimits,
    then: impl FnOnce(&mut RequestHead<'_>) -> R,
) -> Result<R, Refused> {
    if parts.method == http::Method::CONNECT {
        return Err(Refused::Method);
    }
    let target = parts.uri.path_and_query().map_or(0, |it| it.as_str().len());
    if target > limits.target {
        return Err(Refused::TargetTooLong);
    }
    let host = host(parts)?;
    let cookies = cookies(parts);
    let mut headers = Vec::with_capacity(parts.headers.len() + 1);
    // ASGI: the authority comes first, as `host`, or replaces it.
    headers.push(Header {
        name: "host",
        value: host,
    });
    let mut proxied = false;
    for (name, value) in &parts.headers {
        if name == HOST {
            continue;
        }
        let mut value = value.as_bytes();
        if name == COOKIE && !cookies.is_empty() {
            if headers.iter().any(|header| header.name == "cookie") {
                continue;
            }
            value = &cookies;
        }
        proxied |= is_proxy_field(name.as_str());
        headers.push(Header {
            name: name.as_str(),
            value,
        });
    }
    if headers.len() > limits.fields {
        return Err(Refused::TooLarge);
    }
    Ok(then(&mut RequestHead {
        method: parts.method.as_str(),
        path: path(parts),
        query: parts.uri.query().unwrap_or_default().as_bytes(),
        version: Version::Http2,
        authority: None,
        headers: &headers,
        body: length(parts),
        expects_continue: parts
            .headers
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")),
        keep_alive: true,
        upgrade: false,
        proxied,
        forwarded: None,
    }))
}

fn path(parts: &Parts) -> &[u8] {
    match parts.uri.path() {
        "" => b"/",
        path => path.as_bytes(),
    }
}

/// RFC 9113 section 8.3.1: the authority, or else the host field; both must not differ.
fn host(parts: &Parts) -> Result<&[u8], Refused> {
    let authority = parts.uri.authority().map(|it| it.as_str().as_bytes());
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = fields.next().map(http::HeaderValue::as_bytes);
    if fields.next().is_some() {
        return Err(Refused::Malformed("more than one host"));
    }
    let host = match (authority, field) {
        (Some(authority), Some(field)) if !authority.eq_ignore_ascii_case(field) => {
            return Err(Refused::Malformed("the host is not the authority"));
        }
        (Some(authority), _) => authority,
        (None, Some(field)) => field,
        (None, None) => return Err(Refused::Malformed("no host")),
    };
    check_host(host)?;
    Ok(host)
}

/// RFC 9113 section 8.2.3: cookies come in crumbs, and are one field everywhere else. Empty where
/// there is one at most.
fn cookies(parts: &Parts) -> Vec<u8> {
    let mut crumbs = parts.headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return Vec::new();
    };
    let mut cookies = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        cookies.extend_from_slice(b"; ");
        cookies.extend_from_slice(crumb.as_bytes());
    }
    cookies
}

/// What is announced; frames say where the body ends, and h2 that both agree.
fn length(parts: &Parts) -> BodyLength {
    let announced = parts.headers.get(CONTENT_LENGTH);
    let length = announced.and_then(|value| value.to_str().ok()?.parse().ok());
    BodyLength::Sized(length.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        size: 65_536,
        target: 20,
        fields: 4,
    };

    fn parts(uri: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn fields(uri: &str, sent: &[(&str, &str)]) -> Result<Vec<(String, String)>, Refused> {
        read(&parts(uri, sent), LIMITS, |head| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let fields = head.headers.iter();
            fields
                .map(|field| (field.name.to_owned(), text(field.value)))
                .collect()
        })
    }

    fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn the_authority_becomes_the_host_and_comes_first() {
        let read = fields("https://a:1/", &[("x", "1"), ("host", "A:1")]);
        assert_eq!(read, Ok(owned(&[("host", "a:1"), ("x", "1")])));
        let read = fields("/", &[("x", "1"), ("host", "b")]);
        assert_eq!(read, Ok(owned(&[("host", "b"), ("x", "1")])));
    }

    #[test]
    fn cookie_crumbs_are_joined_where_the_first_stood() {
        let sent = [("cookie", "a=1"), ("x", "2"), ("cookie", "b=2")];
        let joined = owned(&[("host", "a"), ("cookie", "a=1; b=2"), ("x", "2")]);
        assert_eq!(fields("https://a/", &sent), Ok(joined));
    }

    #[test]
    fn what_http1_would_refuse_is_refused() {
        for (uri, sent) in [
            ("/", &[][..]),
            ("https://a/", &[("host", "b")]),
            ("https://a/", &[("host", "a"), ("host", "a")]),
            ("https://user@a/", &[]),
        ] {
            let refused = fields(uri, sent).map_err(Refused::status);
            assert_eq!(refused, Err(400), "{uri} {sent:?}");
        }
    }

    #[test]
    fn long_targets_and_many_fields_are_refused() {
        let long = fields("https://a/bbbbbbbbbbbbbbbbbbbb", &[]);
        assert_eq!(long, Err(Refused::TargetTooLong));
        let many = fields("https://a/", &[("a", ""), ("b", ""), ("c", ""), ("d", "")]);
        assert_eq!(many, Err(Refused::TooLarge));
    }

    #[test]
    fn targets_are_taken_apart() {
        let target = |uri: &str| {
            read(&parts(uri, &[]), LIMITS, |head| {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                (text(head.path), text(head.query))
            })
        };
        let of = |path: &str, query: &str| Ok((path.to_owned(), query.to_owned()));
        assert_eq!(target("https://a/b%20c?d=1?"), of("/b%20c", "d=1?"));
        assert_eq!(target("https://a"), of("/", ""));
    }
}
