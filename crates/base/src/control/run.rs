//! The configuration of a process that runs one function.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::WorkerConfig;

/// A function to run once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunConfig {
    /// As a worker of the application is told, for `sys.path`, `sys.argv` and lazy imports.
    pub worker: WorkerConfig,
    /// `module:function`.
    pub function: String,
    /// The file of the task that has its arguments; a job has none.
    pub task: Option<PathBuf>,
    /// Where the task's result goes.
    pub result: Option<PathBuf>,
    /// Variables of its environment, for a process that was forked; others begin with them.
    pub variables: Vec<(String, String)>,
}
