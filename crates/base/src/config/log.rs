//! Log lines.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How log lines look and which are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// Human lines or JSON objects.
    pub format: LogFormat,
    /// Colour on stderr (decided by the supervisor: flag, `NO_COLOR`, tty).
    pub stderr_colors: bool,
    /// The application's name, where there are several: every line says it.
    pub application: Option<String>,
    /// Python's logging writes them instead.
    pub python: Option<LogConfig>,
    /// stderr is systemd's journal, which reads a line's priority from its beginning.
    pub journal: bool,
}

/// `--log-config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// The file, absolute.
    pub file: PathBuf,
    /// The level, if it was asked for: it wins over the file's.
    pub level: Option<LogLevel>,
}

/// Uvicorn's level names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs)]
pub enum LogLevel {
    Critical,
    Error,
    Warning,
    #[default]
    Info,
    Debug,
    Trace,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// `INFO:     Started server process [123]`, as Uvicorn writes.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}
