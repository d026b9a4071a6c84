//! A command line as it was typed.

use super::definition::Cli;
use super::{Fleet, Setting};

/// The command line as it was typed.
#[derive(Debug)]
pub struct Typed {
    /// The command and its flags.
    pub cli: Cli,
    /// Where each of the `config` command's flags came from; empty for other commands.
    pub settings: Vec<Setting>,
    /// The applications of the settings file, where it has several and none was typed.
    pub fleet: Option<Fleet>,
    /// The words that were taken for something else than they say.
    pub notices: Vec<String>,
}

impl Typed {
    pub(super) fn serves_something(&self) -> bool {
        let Cli {
            command,
            version,
            flags,
            ..
        } = &self.cli;
        let needs_none = command.is_some() || *version || flags.jobs.jobs_only;
        needs_none || flags.app.is_some() || self.fleet.is_some()
    }
}
