//! Host and path of a request of HTTP/1.1, as soon as both are there.

use crate::server::head::Target;

/// The host and the path that a request names.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::server) struct Named<'a> {
    /// The host, with its port.
    pub(in crate::server) host: &'a [u8],
    /// The path, as it was sent.
    pub(in crate::server) path: &'a [u8],
}

/// Reads the lines of a head up to the one that names the host. `Ok(None)`: that has not come yet.
pub(in crate::server) fn read(bytes: &[u8]) -> Result<Option<Named<'_>>, &'static str> {
    // RFC 9112 section 2.2: an empty line before a request is passed over.
    let mut rest = bytes;
    while let Some((b"", after)) = line(rest) {
        rest = after;
    }
    let Some((first, mut rest)) = line(rest) else {
        return Ok(None);
    };
    let mut words = first.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("malformed request line");
    };
    if !version.starts_with(b"HTTP/1.") {
        return Err("not HTTP/1.1");
    }
    let method = std::str::from_utf8(method).map_err(|_| "malformed request line")?;
    let target = Target::parse(method, target).map_err(|refused| refused.reason())?;
    let path = target.path;
    if let Some(host) = target.authority {
        return Ok(Some(Named { host, path }));
    }
    while let Some((field, after)) = line(rest) {
        if field.is_empty() {
            return match version {
                b"HTTP/1.0" => Ok(Some(Named { host: b"", path })),
                _ => Err("a request without host"),
            };
        }
        let (name, value) = match memchr::memchr(b':', field) {
            Some(colon) => (&field[..colon], &field[colon + 1..]),
            None => return Err("malformed header field"),
        };
        if name.eq_ignore_ascii_case(b"host") {
            let host = value.trim_ascii();
            return Ok(Some(Named { host, path }));
        }
        rest = after;
    }
    Ok(None)
}

/// The first line without its end, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}
