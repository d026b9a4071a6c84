//! Jobs as values: what is run, when, and within which limits; what is kept of each run, and how it
//! is shown.
//!
//! `supervisor/jobs` runs them. Nothing here knows processes or Python.

pub mod record;
pub mod report;
pub mod schedule;
pub mod state;

use std::path::PathBuf;
use std::time::Duration;

pub use record::{Outcome, Record, Why};
pub use schedule::Schedule;

/// A run that takes longer was most likely forgotten.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3_600);

/// A job: a function or a command on a schedule or on demand, each run a process that ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name, of letters, digits, `-` and `_`: it is also a file's.
    pub name: String,
    /// The function or command.
    pub target: Target,
    /// When.
    pub schedule: Schedule,
    /// The limits of a run.
    pub limits: Limits,
    /// The way its process starts.
    pub start: Start,
    /// The policy for a time at which it still runs.
    pub overlap: Overlap,
    /// The policy for times that have passed while there was no server.
    pub missed: Missed,
    /// The number of further attempts after a run that failed.
    pub retries: u32,
}

/// The function or command of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `module:function`, a plain or an asynchronous one.
    Function(String),
    /// A program and its arguments.
    Command(Vec<String>),
}

/// The limits of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest time.
    pub timeout: Duration,
    /// The most private memory of all its processes together, in bytes.
    pub max_memory: Option<u64>,
    /// The increment of its niceness.
    pub nice: i32,
}

/// The way a run's process starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A fresh interpreter.
    Fresh,
    /// A fork of the template that the application's workers are forked from, if there is one then.
    Template,
}

/// The policy for a time at which the job still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// Nothing: the time is skipped.
    Skip,
    /// One run follows the present one, however many times have passed.
    Queue,
    /// The present run is ended, and another follows.
    Replace,
}

/// The policy for times that have passed while there was no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// One run, however many there were.
    Once,
    /// Nothing.
    None,
}

/// The queue: tasks that the application enqueues by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The number of tasks that run at once.
    pub concurrent: usize,
    /// The number of further attempts after one that failed.
    pub retries: u32,
    /// The limits of each.
    pub limits: Limits,
    /// The way the process of each starts.
    pub start: Start,
}

/// Everything of a server's that is about jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// The queue, if there is one.
    pub queue: Option<Queue>,
    /// Where times, results and tasks are kept, if such a directory could be named.
    pub state: Option<PathBuf>,
    /// Nothing is served besides.
    pub only: bool,
}

impl Settings {
    /// Whether there is nothing to run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty() && self.queue.is_none()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: DEFAULT_TIMEOUT,
            max_memory: None,
            nice: 0,
        }
    }
}

impl Target {
    /// As it is typed.
    #[must_use]
    pub fn typed(&self) -> String {
        match self {
            Self::Function(name) => name.clone(),
            // Texts always serialise.
            Self::Command(words) => serde_json::to_string(words).unwrap_or_default(),
        }
    }
}
