//! How a server is, as `lowmem-serve status --json` shows it.
//!
//! The form has a version. Fields are added without a new one; a field that goes or changes its
//! meaning makes one. Sizes are bytes, times seconds.

use serde::{Deserialize, Serialize};

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
    /// What it serves.
    pub applications: Vec<ApplicationStatus>,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApplicationStatus {
    /// Its name: `module:attribute`, where it has no other.
    pub name: String,
    /// How it is.
    pub state: Serving,
    /// Where it is reached: `http://127.0.0.1:8000`.
    pub places: Vec<String>,
    /// How many workers it should have.
    pub workers_wanted: usize,
    /// Those that it has.
    pub workers: Vec<WorkerStatus>,
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
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its process, once it has one.
    pub pid: Option<i32>,
    /// How far it has come.
    pub stage: Stage,
    /// How long it has been ready, or has been starting.
    pub age: Option<f64>,
    /// What it has written to and shares with no other process.
    pub memory: Option<u64>,
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

impl Stage {
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
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Asleep => "asleep",
            Self::Waking => "waking",
            Self::Stopping => "stopping",
        }
    }
}
