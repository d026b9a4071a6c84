//! The options of one application of several, which it has in its table only.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use super::Flags;

/// Options of one application of several.
#[derive(Debug, Clone, Args)]
pub struct Own {
    /// Working directory and import path
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// The user that its workers run as
    #[arg(long)]
    pub user: Option<String>,
    /// Hosts that are its own on the places before the tables: NAME, *.NAME, or * for all others
    #[arg(long, value_name = "HOST", action = ArgAction::Append)]
    pub hosts: Vec<String>,
    /// Paths that are its own there; the longest that a request is below is its root_path
    #[arg(long, value_name = "PATH", action = ArgAction::Append)]
    pub paths: Vec<String>,
    /// Whether its workers are forked from a template that it shares with others
    #[arg(long, default_value = "auto")]
    pub share: ShareWord,
}

/// `share`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
pub enum ShareWord {
    Auto,
    Off,
}

/// The options of an application of several.
pub(super) fn definition() -> clap::Command {
    Own::augment_args(Flags::augment_args(clap::Command::new("settings")))
}
