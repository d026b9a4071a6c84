//! Directories that are served without the application.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A directory below a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// `/static`; empty for every path.
    pub prefix: String,
    /// Absolute.
    pub directory: PathBuf,
    /// The file that stands for a directory.
    pub index: Option<String>,
    /// The file, relative to the directory, that is served where there is none.
    pub fallback: Option<String>,
    /// The `cache-control` of every file.
    pub cache_control: Option<String>,
    /// Requests for files that do not exist go to the application.
    pub pass: bool,
}
