//! The surroundings of the process, gathered by `main` so that nothing here asks the system.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// The facts besides the flags that decide what the flags mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// argv as lowmem-serve was called.
    pub argv: Vec<String>,
    /// The executable that runs.
    pub executable: Option<PathBuf>,
    /// The environment.
    pub variables: BTreeMap<OsString, OsString>,
    /// This process.
    pub pid: u32,
    /// The working directory.
    pub directory: PathBuf,
    /// Where the state of an application is that is one of several.
    pub state: Option<PathBuf>,
    /// Whether stdout is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether stderr is a terminal.
    pub stderr_is_terminal: bool,
    /// Whether stderr leads to systemd's journal.
    pub stderr_is_journal: bool,
}

impl Surroundings {
    /// A variable that is set and not empty.
    pub fn variable(&self, name: &str) -> Option<String> {
        let value = self.variables.get(&OsString::from(name))?;
        Some(value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
    }
}
