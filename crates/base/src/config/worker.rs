//! The part of the configuration that a worker receives, in its meaning.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ApplicationSettings, Growth, LogSettings, ServerSettings};

/// A worker's whole configuration, sent as the first message on its control socket. By default no time and
/// no size is allowed for anything: its maker says what is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerConfig {
    /// The text in place of the server's name in the titles of its processes.
    pub process_name: Option<String>,
    /// The application, and how it is called.
    pub application: ApplicationSettings,
    /// How it is served.
    pub server: ServerSettings,
    /// How log lines look and which are written.
    pub log: LogSettings,
    /// How the worker ends.
    pub stop: StopSettings,
    /// Tell the supervisor after so long without use.
    pub sleep_after: Option<Duration>,
    /// Its reports about itself.
    pub diagnosis: Diagnosis,
    /// The facts that are known when it starts.
    pub start: StartFacts,
}

/// The time that the end of a worker may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSettings {
    /// How long a stop may take, lifespan shutdown included.
    pub grace: Duration,
    /// How long the worker serves on after SIGTERM before it stops.
    pub delay: Duration,
}

/// The reports that a worker is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Where to write what its imports cost.
    pub imports_report: Option<PathBuf>,
    /// Whether `lowmem-serve growth` may ask.
    pub growth: Option<Growth>,
    /// A signal has it write the stacks of all its threads.
    pub tells_stacks: bool,
}

/// The facts that no setting has: the supervisor fills them in for the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFacts {
    /// The directory of our Python package, if it was found.
    pub package: Option<PathBuf>,
    /// The application's directory and environment, for a worker forked from a template of several applications.
    pub place: Option<Place>,
    /// Say what has been imported.
    pub tells_imports: TellsImports,
    /// The kind of each received listener, in the order of the descriptors.
    pub listeners: Vec<BoundListener>,
    /// The worker's place, which is no other's at the same time.
    pub slot: usize,
    /// No worker was started before it: it logs what should be logged once.
    pub is_first: bool,
    /// The last descriptor is where the worker counts.
    pub counts: bool,
    /// A descriptor is the way to the template of isolated calls: the last one, or the one before the counters.
    pub has_calls_socket: bool,
}

/// The directory and the environment that one of several applications has for itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The working directory.
    pub directory: PathBuf,
    /// Variables on top of those that all have.
    pub variables: Vec<(String, String)>,
    /// The `sys.executable` of its environment.
    pub python: PathBuf,
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
    /// The title that `ps` shows of a process: `lowmem-serve: worker main:app`, or `lowmem-serve: shop: worker` where several
    /// applications are served.
    #[must_use]
    pub fn title(&self, role: &str) -> String {
        match &self.log.application {
            Some(application) => self.called(&format!("{application}: {role}")),
            None => self.called(format!("{role} {}", self.application.path).trim_end()),
        }
    }

    /// The same of a process that runs one function: `lowmem-serve: isolated reports.draw`.
    #[must_use]
    pub fn called(&self, rest: &str) -> String {
        let name = self.process_name.as_deref().unwrap_or("lowmem-serve");
        format!("{name}: {rest}")
    }

    /// Whether something was asked for that is written in Python.
    pub fn needs_package(&self) -> bool {
        !self.application.lazy_imports.is_empty()
            || self.diagnosis.growth.is_some()
            || self.diagnosis.imports_report.is_some()
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
