//! The part of the configuration that the HTTP server takes.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AccessFormat, Mount, Tls, Trusted, WebSockets};
use crate::routes::Routes;

/// How a worker serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSettings {
    /// HTTP itself.
    pub http: HttpSettings,
    /// Limits on a client's costs.
    pub limits: LimitSettings,
    /// The proxies that are trusted, and the header fields that they are trusted with.
    pub proxies: ProxySettings,
    /// How WebSockets are served; not at all without it.
    pub websockets: Option<WebSockets>,
    /// Serve TLS.
    pub tls: Option<Tls>,
    /// The access log.
    pub access: AccessSettings,
    /// Directories that are served without the application.
    pub mounts: Vec<Mount>,
    /// Answered without the application, and no use of it.
    pub health_path: Option<String>,
    /// Tell the supervisor after so many requests.
    pub max_requests: Option<u64>,
    /// Up to so many requests more, another number for each worker.
    pub max_requests_jitter: u64,
    /// The application's name, where there are several.
    pub application: Option<String>,
    /// The application that answers on each of the places that several share.
    pub routes: Routes,
}

impl ServerSettings {
    /// The scheme of the URLs that it serves.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// HTTP, without its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSettings {
    /// Which versions are spoken.
    pub versions: HttpVersions,
    /// Requests that one HTTP/2 connection may have open.
    pub max_streams: u32,
    /// Send a `server` header unless the application does.
    pub server_header: bool,
    /// Send a `date` header unless the application does.
    pub date_header: bool,
    /// Headers added to each response, in order.
    pub headers: Vec<(String, String)>,
    /// Give each request an id.
    pub request_id: bool,
}

/// `--http`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersions {
    /// The version that each client chooses, by ALPN or by its first bytes.
    #[default]
    Auto,
    /// HTTP/1.1 and HTTP/1.0.
    Http1,
    /// HTTP/2.
    Http2,
}

impl HttpVersions {
    /// The protocols that clients are offered (RFC 7301), the best first. `curl --http1.0` asks for `http/1.0`
    /// only.
    #[must_use]
    pub fn protocols(self) -> &'static [&'static str] {
        match self {
            Self::Auto => &["h2", "http/1.1", "http/1.0"],
            Self::Http1 => &["http/1.1", "http/1.0"],
            Self::Http2 => &["h2"],
        }
    }
}

/// Limits on a client's costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSettings {
    /// How long an idle keep-alive connection is held.
    pub keep_alive: Duration,
    /// How long a request head may take, from its first byte or from the connection's start.
    pub header_read: Duration,
    /// Answer 503 while this many requests are in flight.
    pub concurrency: Option<usize>,
    /// Largest accepted request head in bytes; beyond it the answer is 431.
    pub head: usize,
    /// Most header fields of a request; beyond it the answer is 431.
    pub fields: usize,
    /// Longest request target in bytes; beyond it the answer is 414.
    pub target: usize,
    /// Largest request body in bytes; beyond it the answer is 413.
    pub body: Option<u64>,
    /// How long a body may stay away that the worker waits for; then the answer is 408.
    pub body_read: Option<Duration>,
    /// How long an application may take to begin a response; then the answer is 504.
    pub request: Option<Duration>,
    /// How long a client may take no byte of what is sent to it; then it is cut.
    pub write: Option<Duration>,
    /// Most connections of a worker; without it the descriptors that it may have decide.
    pub connections: Option<usize>,
}

/// The trusted proxies, and the statements that are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxySettings {
    /// The trusted peers.
    pub trusted: Trusted,
    /// The header fields that describe the client; none are read without it.
    pub field: Option<ForwardedField>,
    /// Connections of trusted peers begin with the PROXY protocol.
    pub protocol: bool,
}

/// `--forwarded-header`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedField {
    /// `X-Forwarded-For` and `X-Forwarded-Proto`.
    XForwarded,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The access log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessSettings {
    /// Write a line for each response.
    pub enabled: bool,
    /// The parts of a line.
    pub format: AccessFormat,
    /// Colour on stdout.
    pub colors: bool,
    /// Where it goes, unless to stdout; absolute. Each worker opens it anew.
    pub file: Option<PathBuf>,
}
