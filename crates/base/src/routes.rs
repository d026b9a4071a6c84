//! Which application answers a request on places that several share: by host, then by path.
//!
//! The most specific host that matches decides: a name before `*.example.com`, the longer of those
//! before the shorter, and `*` last. Of its paths the longest counts, segment by segment. A pure
//! table: the router and every worker have the same one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::percent;

/// RFC 1035 section 2.3.4; what is longer is no host of ours.
const LONGEST_HOST: usize = 255;

/// The form of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Host {
    /// This one, in lower case; an IPv6 address has its brackets.
    Named(String),
    /// One below `.example.com`, written `*.example.com`.
    Below(String),
    /// Any, written `*`.
    Any,
}

impl Host {
    /// # Errors
    /// The mistake in the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if !text.is_ascii() {
            return Err("write the name as clients send it, beginning with xn--".to_owned());
        }
        let (name, is_below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.is_empty() || name.len() > LONGEST_HOST {
            return Err("not a host name".to_owned());
        }
        if name.starts_with('[') && !is_below {
            let inner = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            return match inner.map(str::parse::<std::net::Ipv6Addr>) {
                Some(Ok(_)) => Ok(Self::Named(name)),
                _ => Err("an IPv6 address is written [::1], without a port".to_owned()),
            };
        }
        if name.contains(':') {
            return Err(
                "a host without scheme and port: a request's port does not matter".to_owned(),
            );
        }
        if name.contains('*') {
            return Err("* stands for all names below one: *.example.com, or alone".to_owned());
        }
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.chars().all(is_allowed) || name.split('.').any(str::is_empty) {
            return Err("not a host name".to_owned());
        }
        Ok(match is_below {
            true => Self::Below(format!(".{name}")),
            false => Self::Named(name),
        })
    }
}

/// As it is written.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// A path as applications are found by it: `/a/b`, and empty for `/`.
///
/// # Errors
/// The mistake in the text.
pub fn path(text: &str) -> Result<String, String> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err("a path begins with /".to_owned());
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.is_empty() {
        return Ok(String::new());
    }
    if rest.contains('%') {
        return Err("write the characters themselves, not percent-encoded".to_owned());
    }
    if rest.contains(['?', '#', '\\']) || rest.chars().any(char::is_control) {
        return Err("a path has no query and no fragment".to_owned());
    }
    if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a path has no empty segment, and none that is . or ..".to_owned());
    }
    Ok(format!("/{rest}"))
}

/// Requests for this host, at or below this path, are this application's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The host.
    pub host: Host,
    /// The path, as [`path`] makes it.
    pub path: String,
    /// The application's name.
    pub application: String,
}

/// `example.com/admin`
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Route>", into = "Vec<Route>")]
pub struct Routes {
    /// Sorted: the most specific host first, and of one host the longest path.
    routes: Vec<Route>,
}

/// Where a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// To an application.
    Application {
        /// Its name.
        name: &'a str,
        /// How many bytes of the request's path the application is mounted at.
        root: usize,
    },
    /// Nowhere: the host has applications, but none at this path.
    NoPath,
    /// Nowhere: no application has this host.
    NoHost,
}

impl From<Vec<Route>> for Routes {
    fn from(mut routes: Vec<Route>) -> Self {
        let specificity = |host: &Host| match host {
            Host::Named(_) => usize::MAX,
            Host::Below(suffix) => suffix.len(),
            Host::Any => 0,
        };
        routes.sort_by(|one, other| {
            let (rank, others) = (specificity(&one.host), specificity(&other.host));
            others
                .cmp(&rank)
                .then_with(|| one.host.cmp(&other.host))
                .then_with(|| other.path.len().cmp(&one.path.len()))
                .then_with(|| one.path.cmp(&other.path))
        });
        Self { routes }
    }
}

impl From<Routes> for Vec<Route> {
    fn from(routes: Routes) -> Self {
        routes.routes
    }
}

impl Routes {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// All of them, the most specific host first, and of one host the longest path.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Where a request belongs: by what its `host` field says, and its path as it was sent.
    #[must_use]
    pub fn find(&self, host: &[u8], path: &[u8]) -> Found<'_> {
        let of_host = self.of_host(host);
        if of_host.is_empty() {
            return Found::NoHost;
        }
        let mut found = of_host.iter().filter_map(|route| {
            let root = percent::prefix(path, &route.path)?;
            Some((route, root))
        });
        match found.next() {
            Some((route, root)) => Found::Application {
                name: &route.application,
                root,
            },
            None => Found::NoPath,
        }
    }

    /// The application of a host whose paths are not known: the one that has all of them.
    #[must_use]
    pub fn of_name(&self, host: &str) -> Option<&str> {
        let of_host = self.of_host(host.as_bytes());
        of_host.first().map(|route| route.application.as_str())
    }

    /// The routes of the most specific host that matches.
    fn of_host(&self, host: &[u8]) -> &[Route] {
        let mut space = [0; LONGEST_HOST];
        let host = normalized(host, &mut space);
        let named = self.range(|own| match own {
            Host::Named(name) => name.as_str().cmp(host),
            Host::Below(_) | Host::Any => std::cmp::Ordering::Greater,
        });
        if !named.is_empty() {
            return named;
        }
        let matches = |own: &Host| match own {
            Host::Named(_) => false,
            Host::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            Host::Any => true,
        };
        let Some(first) = self.routes.iter().position(|own| matches(&own.host)) else {
            return &[];
        };
        let of_it = &self.routes[first..];
        let own = &of_it[0].host;
        let count = of_it.iter().take_while(|other| other.host == *own).count();
        &of_it[..count]
    }

    fn range(&self, compare: impl Fn(&Host) -> std::cmp::Ordering) -> &[Route] {
        let begin = self
            .routes
            .partition_point(|own| compare(&own.host).is_lt());
        let rest = &self.routes[begin..];
        &rest[..rest.partition_point(|own| compare(&own.host).is_eq())]
    }
}

/// A host without its port and a last dot, in lower case; empty where it is none.
fn normalized<'a>(host: &[u8], space: &'a mut [u8; LONGEST_HOST]) -> &'a str {
    let end = match host.first() {
        Some(b'[') => host.iter().position(|byte| *byte == b']').map(|at| at + 1),
        _ => host.iter().position(|byte| *byte == b':'),
    };
    let host = &host[..end.unwrap_or(host.len())];
    let host = host.strip_suffix(b".").unwrap_or(host);
    let Some(space) = space.get_mut(..host.len()) else {
        return "";
    };
    space.copy_from_slice(host);
    space.make_ascii_lowercase();
    std::str::from_utf8(space).unwrap_or_default()
}

#[cfg(test)]
mod tests;
