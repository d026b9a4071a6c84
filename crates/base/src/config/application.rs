//! The application, and how it is called.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The application of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationSettings {
    /// `module:attribute[.attribute…]`, as typed; the worker checks and imports it.
    pub path: String,
    /// Call the attribute to obtain the application.
    pub factory: bool,
    /// Put first on `sys.path`; absolute.
    pub directory: PathBuf,
    /// Its `sys.argv`: the arguments of lowmem-serve.
    pub argv: Vec<String>,
    /// The event loop that serves.
    pub event_loop: Loop,
    /// Its interface.
    pub interface: Interface,
    /// The largest number of threads that a WSGI application is called on.
    pub wsgi_threads: usize,
    /// Whether the lifespan protocol is spoken.
    pub lifespan: Lifespan,
    /// ASGI `root_path`, prefixed to `path` as Uvicorn does; no trailing slash.
    pub root_path: String,
    /// Announce the ASGI extension `http.response.pathsend`.
    pub pathsend: bool,
    /// Take what startup left out of the garbage collector's sight.
    pub gc_freeze: bool,
    /// Let the kernel merge its pages with others that have the same contents.
    pub merges_pages: bool,
    /// The packages whose imports wait for their first use: the words of `--lazy-imports`, none for `off`.
    pub lazy_imports: Vec<String>,
    /// Requests that a worker makes to itself before it is ready.
    pub warm_up: Vec<String>,
    /// The modules that the template of isolated calls imports; without any there is none.
    pub isolated_template: Vec<String>,
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
