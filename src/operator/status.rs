//! How a server is, as `lowmem-serve status --json` shows it.
//!
//! The form has a version. Fields are added without a new one; a field that goes or changes its
//! meaning makes one. Sizes are bytes, times seconds.

use serde::{Deserialize, Serialize};

use super::work::{CacheStatus, JobStatus, QueueStatus};

/// The version of this form.
pub const VERSION: u32 = 1;

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this form, 1.
    pub version: u32,
    /// The version of lowmem-serve.
    pub server: String,
    /// The supervisor.
    pub pid: u32,
    /// How long it has run.
    pub uptime: f64,
    /// The supervisor's own memory.
    pub memory: Option<u64>,
    /// The memory budget, if there is one.
    #[serde(default)]
    pub budget: Option<BudgetStatus>,
    /// The applications that it serves.
    pub applications: Vec<ApplicationStatus>,
    /// It serves what a settings file has in `[apps]`, be it one application or several.
    #[serde(default)]
    pub is_fleet: bool,
    /// Its jobs.
    #[serde(default)]
    pub jobs: Vec<JobStatus>,
    /// Its queue, if it has one.
    #[serde(default)]
    pub queue: Option<QueueStatus>,
}

/// A memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// The memory that all processes together may take.
    pub limit: u64,
    /// The memory that they took when they were last weighed.
    pub used: u64,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplicationStatus {
    /// Its name: `module:attribute`, where it has no other.
    pub name: String,
    /// How it is.
    pub state: Serving,
    /// Its part of all pages that its workers have: one that several processes share counts in parts.
    #[serde(default)]
    pub pss: Option<u64>,
    /// How often a worker of it has died.
    #[serde(default)]
    pub deaths: u64,
    /// The most memory of its own that a worker may have.
    #[serde(default)]
    pub memory_limit: Option<u64>,
    /// So many seconds ago it last answered a request, where it is counted.
    #[serde(default)]
    pub last_use: Option<f64>,
    /// Where it is reached: `http://127.0.0.1:8000`.
    pub places: Vec<String>,
    /// How many workers it should have.
    pub workers_wanted: usize,
    /// Those that it has.
    pub workers: Vec<WorkerStatus>,
    /// The counts, with `--status-bind`.
    pub served: Option<Served>,
    /// Its caches on disk, with `--status-bind`.
    #[serde(default)]
    pub caches: Vec<CacheStatus>,
}

/// The work of all workers of an application, including those that have ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Served {
    /// Requests that were answered.
    pub requests: u64,
    /// Those with a status of 500 or above.
    pub failed: u64,
    /// Requests that are being answered.
    pub active_requests: u64,
    /// Connections that are served, WebSockets among them.
    pub active: u64,
    /// Connections that are held as descriptors.
    pub parked: u64,
    /// WebSockets.
    pub websockets: u64,
    /// Connections that have moved to a successor.
    pub handed_over: u64,
    /// Workers that were replaced.
    pub recycles: u64,
    /// Workers that ended and should not have.
    pub crashes: u64,
    /// Workers that were found stalled.
    pub stalls: u64,
}

/// How an application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// No worker has been ready yet.
    Starting,
    /// It is served, or a worker that died is being replaced.
    Serving,
    /// It has no worker, because it was not used.
    Asleep,
    /// It gets one, because it is used.
    Waking,
    /// The server ends.
    Stopping,
    /// Others start first; it is one of several.
    Waiting,
    /// It could not be served, is tried again, and its places answer 503; it is one of several.
    Failed,
    /// Its operator has stopped it; it is one of several.
    Stopped,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its process, once it has one.
    pub pid: Option<i32>,
    /// Its place, `LOWMEM_WORKER_SLOT`: the lowest number that no other worker has.
    pub slot: Option<usize>,
    /// How far it has come.
    pub stage: Stage,
    /// How long it has been ready, or has been starting.
    pub age: Option<f64>,
    /// The memory that it has written to and shares with no other process.
    pub memory: Option<u64>,
    /// Requests that it has answered, with `--status-bind`.
    pub requests: Option<u64>,
    /// Connections that it has.
    pub connections: Option<u64>,
    /// It is stalled.
    pub is_stalled: bool,
}

/// How far a worker has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It has no process yet.
    Waiting,
    /// The application is imported, or lifespan startup runs.
    Starting,
    /// It serves.
    Ready,
    /// It finishes the requests that it has.
    Draining,
    /// It has been told to end at once, or was killed.
    Ending,
}

impl Status {
    /// Whether every application is served, could be at once, or has been stopped by its operator.
    ///
    /// # Errors
    /// One is not, and why.
    pub fn readiness(&self) -> Result<(), String> {
        for application in &self.applications {
            let name = &application.name;
            let mut workers = application.workers.iter();
            let is_served = workers.any(|worker| worker.stage == Stage::Ready);
            if application.state == Serving::Stopping {
                return Err(format!("{name} is stopping"));
            }
            // One that its operator has stopped is as it should be.
            let is_meant = application.state.can_wake() || application.state == Serving::Stopped;
            if !is_served && !is_meant {
                return Err(format!("{name} has no worker that is ready"));
            }
        }
        Ok(())
    }

    /// The same, and that no worker is stalled.
    ///
    /// # Errors
    /// One is, or an application is not served.
    pub fn health(&self) -> Result<(), String> {
        self.readiness()?;
        let workers = self.applications.iter().flat_map(|own| &own.workers);
        let stalled = workers.filter(|worker| worker.is_stalled);
        let pids: Vec<_> = stalled
            .filter_map(|worker| worker.pid)
            .map(|pid| pid.to_string())
            .collect();
        if pids.is_empty() {
            return Ok(());
        }
        Err(format!("stalled: worker {}", pids.join(", ")))
    }
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Starting,
        Self::Ready,
        Self::Draining,
        Self::Ending,
    ];

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Ending => "ending",
        }
    }
}

impl Serving {
    /// Whether a request would be served though no worker is ready.
    pub fn can_wake(self) -> bool {
        matches!(self, Self::Asleep | Self::Waking)
    }

    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Asleep => "asleep",
            Self::Waking => "waking",
            Self::Stopping => "stopping",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}
