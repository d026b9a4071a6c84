//! The meaning of the flags, after all mistakes in them have been reported together.

mod application;
mod cache;
mod env_file;
mod environment;
mod fleet;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod growth;
mod header;
mod hours;
mod http;
mod jobs;
mod lazy_imports;
mod limits;
mod listen;
mod logging;
mod meaning;
mod member;
mod mistakes;
mod mounts;
mod operator;
mod proxies;
mod reload;
mod routing;
mod sleeping;
mod status;
mod tls;
mod websockets;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::monitor;
use crate::net::Listen;
use crate::operator::OperatorSocket;

pub use crate::cli::MemoryBudget;
pub use fleet::{Fleet, fleet};
pub use hours::Hours;
pub use lowmem_base::config::{
    AccessFormat, AccessSettings, ApplicationSettings, BoundListener, ClientCertificates,
    Diagnosis, Field, ForwardedField, Growth, HttpSettings, HttpVersions, Interface, Lifespan,
    LimitSettings, LogConfig, LogFormat, LogLevel, LogSettings, Loop, Mount, Piece, Place,
    ProxySettings, ServerSettings, StartFacts, StopSettings, TellsImports, Tls, Trusted,
    WebSockets, WorkerConfig,
};
pub use meaning::meant;
pub use member::Application;
pub use mistakes::Mistake;
pub use reload::{Polling, Reload};
pub use routing::Shared;
pub use sleeping::Sleep;

/// Everything the supervisor acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen: one place or several.
    pub listen: Vec<Listen>,
    /// The mode of Unix sockets' files; without one, the mode of the file that is replaced stays.
    pub uds_mode: Option<u32>,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
    /// How many workers serve.
    pub workers: NonZeroUsize,
    /// How long a worker may take to become ready; without it there is no limit.
    pub worker_startup: Option<Duration>,
    /// Workers are forked from a process that has imported the application.
    pub preload: bool,
    /// Jobs and the queue.
    pub jobs: crate::jobs::Settings,
    /// When and how healthy workers are replaced.
    pub recycle: Recycle,
    /// When the application sleeps.
    pub sleep: Sleep,
    /// How much memory everything may take.
    pub memory_budget: Option<MemoryBudget>,
    /// Which changes of source files replace the worker.
    pub reload: Option<Reload>,
    /// Which workers are stalled.
    pub stall: Option<Stall>,
    /// Where it is seen over HTTP.
    pub status: Option<monitor::Settings>,
    /// Where operators reach the server.
    pub operator: Option<OperatorSocket>,
    /// Variables that the workers get on top of the supervisor's own.
    pub environment: Vec<(String, String)>,
    /// The file they are from.
    pub env_file: Option<PathBuf>,
    /// A worker's configuration, without `listeners`, which are not bound yet, and `package`.
    pub worker: WorkerConfig,
    /// Notices to the operator about flags that are no mistakes.
    pub notices: Vec<String>,
}

impl Config {
    /// Whether it differs only in the workers' configuration and in notices.
    #[must_use]
    pub fn is_like_but_for_workers(&self, other: &Self) -> bool {
        let like = Self {
            worker: self.worker.clone(),
            environment: self.environment.clone(),
            notices: self.notices.clone(),
            ..other.clone()
        };
        *self == like
    }
}

/// `--timeout-worker-stall`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// The time without a turn after which a worker is stalled.
    pub after: Duration,
    /// One that takes longer is replaced.
    pub recycles: bool,
}

/// When and how a healthy worker is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycle {
    /// The longest time to serve.
    pub ttl: Option<Duration>,
    /// By how many percent of it, at most, the time is shortened.
    pub ttl_jitter: u8,
    /// The most bytes of its own memory.
    pub max_rss: Option<u64>,
    /// Which comes first, the old one's end or the successor.
    pub mode: RecycleMode,
    /// How long the old one may take to end.
    pub grace: Duration,
}

/// `--recycle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecycleMode {
    /// Overlap where there is memory for two.
    Auto,
    /// The successor is ready before the old worker drains: no pause.
    Overlap,
    /// The old worker is gone before the successor starts: no second worker in memory.
    Sequential,
}

/// A pair of flags, `--x` and `--no-x`, that is on by default.
fn is_on(no: bool, yes: Option<bool>) -> bool {
    !no && yes.unwrap_or(true)
}
