//! The parts of a request that matter to a file.

use super::conditions::Conditions;
use super::target::Target;
use crate::server::RequestHead;

/// It outlives the head, because a cold file is looked for on another thread.
#[derive(Debug)]
pub(super) struct Asked {
    /// Nothing for a path that is never a file's.
    pub(super) target: Option<Target>,
    pub(super) method: Method,
    pub(super) conditions: Conditions,
    pub(super) range: Option<String>,
    pub(super) accept_encoding: String,
    /// The last segment of the path and the query, as they came.
    pub(super) last: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

impl Asked {
    /// `rest` is the path below the mount.
    pub(super) fn of(head: &RequestHead<'_>, rest: &[u8]) -> Self {
        let method = match head.method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        };
        let field = |name| field(head, name);
        Self {
            target: Target::parse(rest),
            method,
            conditions: Conditions {
                if_match: field("if-match"),
                if_none_match: field("if-none-match"),
                if_modified_since: field("if-modified-since"),
                if_unmodified_since: field("if-unmodified-since"),
                if_range: field("if-range"),
            },
            // RFC 9110 section 14.2: defined for GET only.
            range: field("range").filter(|_| method == Method::Get),
            accept_encoding: field("accept-encoding").unwrap_or_default(),
            last: last(head),
        }
    }

    /// Where the directory of this path is: relative, so that it holds behind any proxy, and with a
    /// dot, so that it can't be taken for a host or a scheme.
    pub(super) fn as_directory(&self) -> String {
        match self.last.split_once('?') {
            Some((last, query)) => format!("./{last}/?{query}"),
            None => format!("./{}/", self.last),
        }
    }
}

fn last(head: &RequestHead<'_>) -> String {
    let start = memchr::memrchr(b'/', head.path).map_or(0, |slash| slash + 1);
    let mut last = head.path[start..].to_vec();
    if !head.query.is_empty() {
        last.push(b'?');
        last.extend_from_slice(head.query);
    }
    last.into_iter().map(char::from).collect()
}

/// All fields with a name as one list (RFC 9110 section 5.3).
fn field(head: &RequestHead<'_>, name: &str) -> Option<String> {
    let mut fields = head
        .headers
        .iter()
        .filter(|h| h.name.eq_ignore_ascii_case(name));
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let first = text(fields.next()?.value);
    Some(fields.fold(first, |all, next| all + ", " + &text(next.value)))
}
