//! A request's head, from its fields (RFC 9113 section 8).

#[cfg(test)]
mod tests;

use httparse::Header;

use crate::asgi::http::Version;
use crate::server::head::{
    BodyLength, HeadLimits, Refused, RequestHead, check_host, content_length, is_connections,
};
use crate::server::hpack::FieldList;
use crate::server::proxy::is_proxy_field;
use crate::server::response::{is_text, is_token};

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// It is malformed, which is a stream error (section 8.1.1).
    Malformed(&'static str),
    /// It is answered.
    Refused(Refused),
}

impl From<Refused> for Bad {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The facts about a request's stream that its head has in HTTP/2 only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Framing<'a> {
    /// The length of its body, if it was announced.
    pub(super) length: Option<u64>,
    /// The protocol that the stream should carry (RFC 8441 section 4).
    pub(super) protocol: Option<&'a [u8]>,
}

/// Hands the head to `then` while it is borrowed.
///
/// A request that could not be made over HTTP/1.1 is refused, so that an application sees the same
/// with either version.
pub(super) fn read<R>(
    fields: &FieldList,
    limits: HeadLimits,
    then: impl FnOnce(&mut RequestHead<'_>, Framing<'_>) -> R,
) -> Result<R, Bad> {
    if fields.is_too_large() || fields.len() > limits.fields {
        return Err(Refused::TooLarge.into());
    }
    let (control, regular, mut headers) = sort(fields)?;
    let target = control.check(limits)?;
    let host = control.host(&regular)?;
    // ASGI: the authority comes first, as `host`, or replaces it.
    let host = Header {
        name: "host",
        value: host,
    };
    headers.insert(0, host);
    let cookies = regular.cookies(fields);
    if regular.crumbs > 1 {
        join(&mut headers, &cookies);
    }
    let mut head = RequestHead {
        method: control.method()?,
        path: target.path,
        root: 0,
        query: target.query,
        version: Version::Http2,
        authority: None,
        headers: &headers,
        // Frames say where the body ends; what is announced is held to it.
        body: BodyLength::Sized(regular.length.unwrap_or(0)),
        expects_continue: regular.expects_continue,
        keep_alive: true,
        upgrade: false,
        proxied: regular.proxied,
        trailers: regular.trailers,
        hints: true,
        forwarded: None,
    };
    let framing = Framing {
        length: regular.length,
        protocol: control.protocol,
    };
    Ok(then(&mut head, framing))
}

/// The pseudo-headers, the facts for the server, and the fields for the application.
fn sort(fields: &FieldList) -> Result<(Control<'_>, Regular<'_>, Vec<Header<'_>>), Bad> {
    let mut headers = Vec::with_capacity(fields.len() + 1);
    let mut control = Control::default();
    let mut regular = Regular::default();
    for (name, value) in fields.iter() {
        if name.first() == Some(&b':') {
            if !headers.is_empty() || regular.hosts > 0 {
                return Err(Bad::Malformed("a pseudo-header behind a field"));
            }
            control.take(name, value)?;
        } else {
            let field = field(name, value)?;
            if regular.notice(&field)? {
                headers.push(field);
            }
        }
    }
    Ok((control, regular, headers))
}

/// Whether a list holds what may stand behind a body: no pseudo-headers (section 8.1).
pub(super) fn are_trailers(fields: &FieldList) -> bool {
    fields
        .iter()
        .all(|(name, value)| field(name, value).is_ok())
}

/// Whether the response has no body, even if the rest of the request makes no sense.
pub(super) fn is_head_only(fields: &FieldList) -> bool {
    fields.iter().any(|field| field == (b":method", b"HEAD"))
}

/// Whether the client takes trailers.
pub(super) fn takes_trailers(fields: &FieldList) -> bool {
    fields.iter().any(|field| field == (b"te", b"trailers"))
}

/// Section 8.2.1.
fn field<'a>(name: &'a [u8], value: &'a [u8]) -> Result<Header<'a>, Bad> {
    let is_name = |byte: &u8| is_token(*byte) && !byte.is_ascii_uppercase();
    if name.is_empty() || !name.iter().all(is_name) {
        return Err(Bad::Malformed("a field's name"));
    }
    let is_space = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    if !value.iter().all(|byte| is_text(*byte)) || is_space(value.first()) || is_space(value.last())
    {
        return Err(Bad::Malformed("a field's value"));
    }
    let name = std::str::from_utf8(name).map_err(|_| Bad::Malformed("a field's name"))?;
    Ok(Header { name, value })
}

/// The pseudo-headers (section 8.3.1).
#[derive(Debug, Default)]
struct Control<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    protocol: Option<&'a [u8]>,
}

struct Target<'a> {
    path: &'a [u8],
    query: &'a [u8],
}

impl<'a> Control<'a> {
    fn take(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Bad> {
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":path" => &mut self.path,
            b":authority" => &mut self.authority,
            b":protocol" => &mut self.protocol,
            _ => return Err(Bad::Malformed("an unknown pseudo-header")),
        };
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(Bad::Malformed("a pseudo-header twice")),
        }
    }

    fn method(&self) -> Result<&'a str, Bad> {
        let method = self.method.filter(|method| !method.is_empty());
        let method = method.filter(|method| method.iter().all(|byte| is_token(*byte)));
        method
            .and_then(|method| std::str::from_utf8(method).ok())
            .ok_or(Bad::Malformed("no method"))
    }

    /// All of them that have to be there, and no others.
    fn check(&self, limits: HeadLimits) -> Result<Target<'a>, Bad> {
        let method = self.method()?;
        match (method, self.protocol) {
            // Section 8.5: a tunnel has neither scheme nor path.
            ("CONNECT", None) => {
                let is_tunnel = self.authority.is_some();
                return Err(
                    match is_tunnel && self.scheme.is_none() && self.path.is_none() {
                        true => Refused::Method.into(),
                        false => Bad::Malformed("CONNECT with a scheme or a path"),
                    },
                );
            }
            ("CONNECT", Some(_)) | (_, None) => {}
            _ => return Err(Bad::Malformed(":protocol without CONNECT")),
        }
        if !self
            .scheme
            .is_some_and(|it| it.iter().all(|byte| byte.is_ascii_graphic()))
        {
            return Err(Bad::Malformed("no scheme"));
        }
        let path = self.path.unwrap_or_default();
        let is_origin_form = path.first() == Some(&b'/') || path == b"*" && method == "OPTIONS";
        if !is_origin_form || path.iter().any(|byte| *byte <= b' ' || *byte >= 0x7f) {
            return Err(Bad::Malformed("no path"));
        }
        if path.len() > limits.target {
            return Err(Refused::TargetTooLong.into());
        }
        // As in HTTP/1.1: a fragment is never sent, and dropped.
        let path = memchr::memchr(b'#', path).map_or(path, |end| &path[..end]);
        Ok(match memchr::memchr(b'?', path) {
            Some(mark) => Target {
                path: &path[..mark],
                query: &path[mark + 1..],
            },
            None => Target { path, query: b"" },
        })
    }

    /// The authority, or else the host field; both must not differ.
    fn host(&self, regular: &Regular<'a>) -> Result<&'a [u8], Bad> {
        if regular.hosts > 1 {
            return Err(Refused::Malformed("more than one host").into());
        }
        let host = match (self.authority, regular.host) {
            (Some(authority), Some(field)) if !authority.eq_ignore_ascii_case(field) => {
                return Err(Refused::Malformed("the host is not the authority").into());
            }
            (Some(host), _) | (None, Some(host)) => host,
            (None, None) => return Err(Refused::Malformed("no host").into()),
        };
        check_host(host)?;
        Ok(host)
    }
}

/// The fields that concern the server itself.
#[derive(Debug, Default)]
struct Regular<'a> {
    host: Option<&'a [u8]>,
    hosts: usize,
    length: Option<u64>,
    crumbs: usize,
    expects_continue: bool,
    proxied: bool,
    trailers: bool,
}

impl<'a> Regular<'a> {
    /// Returns whether the application receives the field unchanged.
    fn notice(&mut self, field: &Header<'a>) -> Result<bool, Bad> {
        let Header { name, value } = *field;
        // The length tells most fields apart without comparing them.
        match name.len() {
            2 if name == "te" && value != b"trailers" => {
                return Err(Bad::Malformed("te is not trailers"));
            }
            2 if name == "te" => self.trailers = true,
            4 if name == "host" => {
                self.hosts += 1;
                self.host = Some(value);
                return Ok(false);
            }
            6 if name == "cookie" => self.crumbs += 1,
            6 if name == "expect" => {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
            14 if name == "content-length" => {
                let length = content_length(value).map_err(|_| Bad::Malformed("content-length"))?;
                if self.length.replace(length).is_some() {
                    return Err(Bad::Malformed("more than one content-length"));
                }
            }
            7 | 10 | 16 | 17 if is_connections(name) => {
                return Err(Bad::Malformed("a field about the connection"));
            }
            _ => {}
        }
        self.proxied |= matches!(name.len(), 9 | 15 | 17) && is_proxy_field(name);
        Ok(true)
    }

    /// Section 8.2.3: cookies come in crumbs, and are one field everywhere else.
    fn cookies(&self, fields: &FieldList) -> Vec<u8> {
        if self.crumbs < 2 {
            return Vec::new();
        }
        let crumbs = fields.iter().filter(|(name, _)| *name == b"cookie");
        let crumbs: Vec<&[u8]> = crumbs.map(|(_, value)| value).collect();
        crumbs.join(&b"; "[..])
    }
}

/// Puts all cookies where the first of them stands.
fn join<'a>(headers: &mut Vec<Header<'a>>, cookies: &'a [u8]) {
    let mut is_first = true;
    headers.retain_mut(|header| {
        if header.name != "cookie" {
            return true;
        }
        header.value = cookies;
        std::mem::take(&mut is_first)
    });
}
