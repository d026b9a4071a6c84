//! Which file a request's path stands for.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use lowmem_base::percent;

/// The one hidden directory that is served (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// A path below a mounted directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Relative; empty for the directory itself. No segment of it leads upwards.
    path: PathBuf,
    /// It ends with a slash.
    pub(super) is_directory: bool,
}

/// The rest of a request's path below a prefix, which is `/a/b` or, for everything, empty.
/// `None` where the path is not below it.
pub(super) fn below<'a>(path: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    percent::prefix(path, prefix).map(|end| &path[end..])
}

impl Target {
    /// Takes apart what is left below the prefix. Nothing for what is never a file: segments that
    /// are empty or lead upwards, hidden names, slashes and NULs that were encoded.
    pub(super) fn parse(rest: &[u8]) -> Option<Self> {
        let mut path = PathBuf::new();
        let Some(rest) = rest.strip_prefix(b"/") else {
            let is_directory = false;
            return rest.is_empty().then_some(Self { path, is_directory });
        };
        let mut segments = rest.split(|byte| *byte == b'/').peekable();
        while let Some(raw) = segments.next() {
            if raw.is_empty() && segments.peek().is_none() {
                let is_directory = true;
                return Some(Self { path, is_directory });
            }
            let name = percent::decoded(raw);
            let is_hidden = name.first() == Some(&b'.') && *name != *WELL_KNOWN;
            if name.is_empty() || is_hidden || name.iter().any(|b| matches!(b, b'/' | 0)) {
                return None;
            }
            path.push(OsString::from_vec(name.into_owned()));
        }
        let is_directory = false;
        Some(Self { path, is_directory })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(rest: &str) -> Option<(String, bool)> {
        let target = Target::parse(rest.as_bytes())?;
        Some((target.path.to_str()?.to_owned(), target.is_directory))
    }

    #[test]
    fn a_prefix_ends_with_a_segment() {
        let rest = |path: &'static str, prefix| {
            below(path.as_bytes(), prefix).map(|rest| std::str::from_utf8(rest).unwrap())
        };
        assert_eq!(rest("/static/a.css", "/static"), Some("/a.css"));
        assert_eq!(rest("/static", "/static"), Some(""));
        assert_eq!(rest("/static/", "/static"), Some("/"));
        assert_eq!(rest("/staticx/a", "/static"), None);
        assert_eq!(rest("/sta%74ic/a%62", "/static"), Some("/a%62"));
        assert_eq!(rest("/a/b/c", "/a/b"), Some("/c"));
        assert_eq!(rest("/a%2fb/c", "/a/b"), None);
        assert_eq!(rest("/x", ""), Some("/x"));
        assert_eq!(rest("*", "/static"), None);
    }

    #[test]
    fn segments_are_decoded_one_by_one() {
        let file = |path: &str| Some((path.to_owned(), false));
        let directory = |path: &str| Some((path.to_owned(), true));
        assert_eq!(parsed("/a/b.css"), file("a/b.css"));
        assert_eq!(parsed("/a%20b/%C3%A9"), file("a b/é"));
        assert_eq!(parsed("/a..b/..."), None);
        assert_eq!(parsed("/a..b"), file("a..b"));
        assert_eq!(parsed(""), file(""));
        assert_eq!(parsed("/"), directory(""));
        assert_eq!(parsed("/a/"), directory("a"));
        assert_eq!(parsed("/.well-known/x"), file(".well-known/x"));
    }

    #[test]
    fn nothing_leads_out_or_to_what_is_hidden() {
        for path in [
            "/..",
            "/../a",
            "/a/../b",
            "/%2e%2e/a",
            "/.%2e/a",
            "/./a",
            "/a/..%2f..%2fb",
            "/%2fetc/passwd",
            "//etc/passwd",
            "/a//b",
            "/a%00.txt",
            "/.env",
            "/.git/config",
            "/a/.htaccess",
            "/.well-known2",
            "*",
        ] {
            assert_eq!(parsed(path), None, "{path}");
        }
    }
}
