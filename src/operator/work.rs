//! Work apart from requests, as `lowmem-serve status --json` shows it: jobs, the
//! queue, caches. Times are seconds since 1970.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// Its name: `APP/NAME`, if it is an application's of several.
    pub name: String,
    /// The application of several that it belongs to.
    #[serde(default)]
    pub app: Option<String>,
    /// When it runs, in words.
    pub schedule: String,
    /// When it is due next.
    pub next: Option<f64>,
    /// When the run was started that is going on.
    pub running_since: Option<f64>,
    /// Runs that have ended since the server was started, by their result.
    pub runs: BTreeMap<String, u64>,
    /// The last run that has ended, of an earlier server, too.
    pub last: Option<LastRun>,
    /// When a run was last done without a failure.
    pub last_success: Option<f64>,
}

impl JobStatus {
    /// Its name within its application.
    #[must_use]
    pub fn own_name(&self) -> &str {
        let app = self.app.as_deref();
        let own = app.and_then(|app| self.name.strip_prefix(app)?.strip_prefix('/'));
        own.unwrap_or(&self.name)
    }
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastRun {
    /// `done`, `failed`, `timeout`, …
    pub result: String,
    /// When it ended.
    pub ended: f64,
    /// How long it took, in seconds.
    pub took: f64,
    /// The most private memory that it was seen to have, in bytes.
    pub peak: u64,
}

/// The queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Tasks that run.
    pub running: u64,
    /// Tasks that wait, with `--status-bind`.
    pub waiting: Option<u64>,
    /// Tasks that were given up, with `--status-bind`.
    pub dead: Option<u64>,
    /// Runs of tasks that have ended since the server was started, by their result.
    pub runs: BTreeMap<String, u64>,
}

/// A cache on disk, as an application's workers use it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub directory: String,
    /// Reads that have found a value.
    pub hits: u64,
    /// Reads that have found none.
    pub misses: u64,
    /// Values that were stored.
    pub sets: u64,
    /// The bytes that its files take of the disk.
    pub bytes: Option<u64>,
    /// The bytes that they may take.
    pub limit: Option<u64>,
}
