//! Taking a request's target apart.

use super::Refused;
use super::host::check_host;

/// A request target, taken apart.
pub(in crate::server) struct Target<'a> {
    pub(in crate::server) authority: Option<&'a [u8]>,
    pub(in crate::server) path: &'a [u8],
    pub(in crate::server) query: &'a [u8],
}

impl<'a> Target<'a> {
    /// RFC 9112 section 3.2: origin-form, absolute-form, or `*` for OPTIONS.
    pub(in crate::server) fn parse(method: &str, target: &'a [u8]) -> Result<Self, Refused> {
        // RFC 3986 section 2: what is not ASCII is percent-encoded.
        if !target.is_ascii() {
            return Err(Refused::Malformed("a request target that is not ASCII"));
        }
        let (authority, rest) = match target {
            [b'/', ..] => (None, target),
            b"*" if method == "OPTIONS" => (None, target),
            _ => {
                let (authority, rest) = absolute_form(target)?;
                (Some(authority), rest)
            }
        };
        // A fragment is never sent; Uvicorn's parser drops one that is.
        let rest = memchr::memchr(b'#', rest).map_or(rest, |end| &rest[..end]);
        let (path, query) = match memchr::memchr(b'?', rest) {
            Some(mark) => (&rest[..mark], &rest[mark + 1..]),
            None => (rest, &[][..]),
        };
        let path = if path.is_empty() { b"/" } else { path };
        Ok(Self {
            authority,
            path,
            query,
        })
    }
}

fn absolute_form(target: &[u8]) -> Result<(&[u8], &[u8]), Refused> {
    const MALFORMED: Refused = Refused::Malformed("malformed request target");
    let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    });
    let rest = after_scheme.ok_or(MALFORMED)?;
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // RFC 9110 section 4.2.4: user information in an http URI must not be trusted.
    if authority.is_empty() || check_host(authority).is_err() {
        return Err(MALFORMED);
    }
    Ok((authority, path))
}
