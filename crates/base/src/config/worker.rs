//! The part of the configuration that a worker receives, in its meaning.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AccessFormat, Mount, Tls, Trusted, WebSockets};
use crate::routes::Routes;

/// Everything a worker is told, sent as the first message on its control socket. By default no time and
/// no size is allowed for anything: its maker says what is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerConfig {
    /// `module:attribute[.attribute…]`, as typed; the worker checks and imports it.
    pub app: String,
    /// What stands in place of the server's name in the titles of its processes.
    pub process_name: Option<String>,
    /// Call the attribute to obtain the application.
    pub factory: bool,
    /// Put first on `sys.path`; absolute.
    pub app_dir: PathBuf,
    /// The application's `sys.argv`: the arguments of lowmem-serve.
    pub argv: Vec<String>,
    /// Which event loop serves.
    pub event_loop: Loop,
    /// The application's interface.
    pub interface: Interface,
    /// How many threads a WSGI application is called on, at most.
    pub wsgi_threads: usize,
    /// Whether the lifespan protocol is spoken.
    pub lifespan: Lifespan,
    /// Take what startup left out of the garbage collector's sight.
    pub gc_freeze: bool,
    /// Let the kernel merge its pages with others that have the same contents.
    pub merges_pages: bool,
    /// Where to write what its imports cost.
    pub imports_report: Option<PathBuf>,
    /// Whether `lowmem-serve growth` may ask.
    pub growth: Option<super::Growth>,
    /// ASGI `root_path`, prefixed to `path` as Uvicorn does; no trailing slash.
    pub root_path: String,
    /// Write a line for each response.
    pub access_log: bool,
    /// How that line looks, and where it goes.
    pub access: AccessSettings,
    /// How log lines look and which are written.
    pub log: LogSettings,
    /// Python's logging writes them instead.
    pub log_config: Option<LogConfig>,
    /// Send a `server` header unless the application does.
    pub server_header: bool,
    /// Send a `date` header unless the application does.
    pub date_header: bool,
    /// Headers added to each response, in order.
    pub headers: Vec<(String, String)>,
    /// Give each request a name.
    pub request_id: bool,
    /// The modules that the template of isolated calls imports; without any there is none.
    pub isolated_template: Vec<String>,
    /// A descriptor is the way to that template: the last one, or the one before the counters.
    pub has_calls_socket: bool,
    /// Announce the ASGI extension `http.response.pathsend`.
    pub pathsend: bool,
    /// How long an idle keep-alive connection is held.
    pub keep_alive: Duration,
    /// How long a request head may take, from its first byte or from the connection's start.
    pub header_read: Duration,
    /// How long a stop may take, lifespan shutdown included.
    pub graceful_shutdown: Duration,
    /// How long the worker serves on after SIGTERM before it stops.
    pub drain_delay: Duration,
    /// Answer 503 while this many requests are in flight.
    pub limit_concurrency: Option<usize>,
    /// Largest accepted request head in bytes; beyond it the answer is 431.
    pub max_head_size: usize,
    /// Other limits on a client's costs.
    pub limits: LimitSettings,
    /// Directories that are served without the application.
    pub mounts: Vec<Mount>,
    /// The proxies that are trusted, and the header fields that they are trusted with.
    pub proxies: ProxySettings,
    /// How WebSockets are served; not at all without it.
    pub websockets: Option<WebSockets>,
    /// Answered without the application, and no use of it.
    pub health_path: Option<String>,
    /// Tell the supervisor after so long without use.
    pub sleep_after: Option<Duration>,
    /// Tell the supervisor after so many requests.
    pub max_requests: Option<u64>,
    /// Up to so many requests more, another number for each worker.
    pub max_requests_jitter: u64,
    /// Which versions of HTTP are spoken.
    pub http: HttpVersions,
    /// Requests that one HTTP/2 connection may have open.
    pub http2_max_streams: u32,
    /// Serve TLS.
    pub tls: Option<Tls>,
    /// The packages whose imports wait for their first use: the words of `--lazy-imports`, none for `off`.
    pub lazy_imports: Vec<String>,
    /// Requests that a worker makes to itself before it is ready.
    pub warm_up: Vec<String>,
    /// The application's directory and environment, for a worker forked from a template of several applications.
    pub place: Option<Place>,
    /// Say what has been imported.
    pub tells_imports: TellsImports,
    /// The directory of our Python package, if it was found; filled in like the listeners.
    pub package: Option<PathBuf>,
    /// The kind of each received listener, in the order of the descriptors.
    pub listeners: Vec<BoundListener>,
    /// Which application answers on the places that several share.
    pub routes: Routes,
    /// A signal has it write the stacks of all its threads.
    pub tells_stacks: bool,
    /// The worker's place, which is no other's at the same time.
    pub slot: usize,
    /// No worker was started before it: what is worth telling once, it tells.
    pub is_first: bool,
    /// The last descriptor is where the worker counts.
    pub counts: bool,
}

/// The directory and the environment that one of several applications has for itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The working directory.
    pub directory: PathBuf,
    /// Variables on top of those that all have.
    pub variables: Vec<(String, String)>,
}

/// The values of variables stay out of whatever a configuration is printed to.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl WorkerConfig {
    /// What `ps` shows of a process: `lowmem-serve: worker main:app`, or `lowmem-serve: shop: worker` where several
    /// applications are served.
    #[must_use]
    pub fn title(&self, role: &str) -> String {
        match &self.log.application {
            Some(application) => self.called(&format!("{application}: {role}")),
            None => self.called(format!("{role} {}", self.app).trim_end()),
        }
    }

    /// The same of a process that runs one function: `lowmem-serve: isolated reports.draw`.
    #[must_use]
    pub fn called(&self, rest: &str) -> String {
        let name = self.process_name.as_deref().unwrap_or("lowmem-serve");
        format!("{name}: {rest}")
    }

    /// The scheme of the URLs that it serves.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Whether something was asked for that is written in Python.
    pub fn needs_package(&self) -> bool {
        !self.lazy_imports.is_empty() || self.growth.is_some() || self.imports_report.is_some()
    }
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

/// When a worker says what it has imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TellsImports {
    /// It does not.
    #[default]
    Never,
    /// When it is ready.
    WhenReady,
    /// When it is told to sleep: with what was imported while it served.
    BeforeSleep,
}

/// An inherited listening socket, as the worker must know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundListener {
    /// A TCP socket.
    Tcp,
    /// A Unix socket and its path (ASGI `server` is `[path, None]`).
    Unix(String),
    /// An end of the pair over which the router sends connections.
    Routed,
}

/// Limits on a client's costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitSettings {
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

/// `--loop`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loop {
    /// asyncio with its hot queue in Rust, turned by the worker itself.
    #[default]
    Auto,
    /// The standard library's loop, unchanged.
    Asyncio,
    /// uvloop, which must be installed.
    Uvloop,
    /// `module:factory`, called without arguments.
    Factory(String),
}

/// `--interface`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interface {
    /// Found out from the application's parameters.
    #[default]
    Auto,
    /// One call with `scope`, `receive` and `send`.
    Asgi3,
    /// A call with `scope`, and one of its result with `receive` and `send`.
    Asgi2,
    /// PEP 3333.
    Wsgi,
}

/// As it is typed.
impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Asyncio => "asyncio",
            Self::Uvloop => "uvloop",
            Self::Factory(path) => path,
        })
    }
}

/// `--lifespan`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifespan {
    /// Speak it; an application that raises does not support it.
    #[default]
    Auto,
    /// Speak it; an exception during startup is fatal.
    On,
    /// Do not speak it.
    Off,
}

/// How log lines look and which are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Human lines or JSON objects.
    pub format: LogFormat,
    /// Colour on stderr (decided by the supervisor: flag, `NO_COLOR`, tty).
    pub stderr_colors: bool,
    /// The application's name, where there are several: every line says it.
    pub application: Option<String>,
    /// stderr is systemd's journal, which reads a line's priority from its beginning.
    pub journal: bool,
}

/// The access log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessSettings {
    /// The parts of a line.
    pub format: AccessFormat,
    /// Colour on stdout.
    pub colors: bool,
    /// Where it goes, unless to stdout; absolute. Each worker opens it anew.
    pub file: Option<PathBuf>,
}

/// `--log-config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// The file, absolute.
    pub file: PathBuf,
    /// The level, if it was asked for: it wins over the file's.
    pub level: Option<LogLevel>,
}

/// Uvicorn's level names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs)]
pub enum LogLevel {
    Critical,
    Error,
    Warning,
    #[default]
    Info,
    Debug,
    Trace,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `INFO:     Started server process [123]`, as Uvicorn writes.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}
