//! Reloading.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::BoolishValueParser;

use super::values;

/// Options about following changes of the source, for development.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Development")]
pub struct Reload {
    /// Replace the worker when a source file changes
    #[arg(long, env = "LOWMEM_RELOAD", value_parser = BoolishValueParser::new())]
    pub reload: bool,
    /// A directory to watch, repeatable [default: the working directory]
    #[arg(long = "reload-dir", value_name = "DIR", action = ArgAction::Append)]
    #[arg(env = "LOWMEM_RELOAD_DIRS")]
    pub reload_dirs: Vec<PathBuf>,
    /// Files that count beside *.py, as a pattern or directory, repeatable
    #[arg(long = "reload-include", value_name = "GLOB", action = ArgAction::Append)]
    #[arg(env = "LOWMEM_RELOAD_INCLUDES")]
    pub reload_includes: Vec<String>,
    /// Files to ignore, like .*, .py[cod], .sw.* and ~*, repeatable
    #[arg(long = "reload-exclude", value_name = "GLOB", action = ArgAction::Append)]
    #[arg(env = "LOWMEM_RELOAD_EXCLUDES")]
    pub reload_excludes: Vec<String>,
    /// Longest time for which changes that follow each other count as one, in seconds
    #[arg(long, value_name = "S", default_value = "0.25", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_RELOAD_DELAY")]
    pub reload_delay: Duration,
    /// Poll directories for changes: where the filesystem does not report them (auto), always (on), never (off)
    #[arg(
        long,
        value_name = "auto|on|off",
        value_enum,
        hide_possible_values = true
    )]
    #[arg(env = "LOWMEM_RELOAD_POLLING")]
    pub reload_polling: Option<PollingWord>,
}

/// Whether directories are looked through every now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs)]
pub enum PollingWord {
    Auto,
    On,
    Off,
}
