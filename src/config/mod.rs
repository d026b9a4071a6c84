//! What the flags mean, after all mistakes in them have been reported together.

mod env_file;
mod header;
mod meaning;
mod surroundings;
mod worker;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub use meaning::{Mistake, meant};
pub use surroundings::Surroundings;
pub use worker::{BoundListener, Lifespan, LogFormat, LogLevel, LogSettings, Loop, WorkerConfig};

/// Everything the supervisor acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// How many connections may wait to be accepted.
    pub backlog: i32,
    /// How many workers serve.
    pub workers: NonZeroUsize,
    /// How long a worker may take to become ready; without it there is no limit.
    pub worker_startup: Option<Duration>,
    /// Variables that the workers get on top of the supervisor's own.
    pub environment: Vec<(String, String)>,
    /// The file they are from.
    pub env_file: Option<PathBuf>,
    /// What a worker is told, but for `listeners`, which are not bound yet.
    pub worker: WorkerConfig,
    /// What an operator should know about the flags, though nothing is wrong with them.
    pub notices: Vec<String>,
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Listen {
    /// On every address of a host; an empty one is every interface.
    Tcp { host: String, port: u16 },
    /// On a Unix socket with this path.
    Unix(PathBuf),
    /// On the listening socket that this process inherited under a number.
    Inherited(i32),
}
