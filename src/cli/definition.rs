//! The whole command line: its definition.

use clap::{ArgAction, CommandFactory, Parser};

use super::{Command, Flags};
use crate::exit;

/// The options that `-h` shows: those that most starts are made of.
const SHORT: [&str; 22] = [
    "app",
    "config",
    "app_dir",
    "factory",
    "env_file",
    "python",
    "host",
    "port",
    "bind",
    "uds",
    "workers",
    "preload",
    "ttl",
    "max_rss",
    "sleep_after",
    "reload",
    "ssl_certfile",
    "ssl_keyfile",
    "forwarded_allow_ips",
    "log_level",
    "log_format",
    "access_log",
];

/// The last lines of `-h`.
const SHORT_END: &str = "lowmem-serve --help shows all options, and the exit codes.";

/// An ASGI and WSGI application server that embeds CPython in little memory.
#[derive(Debug, Parser)]
#[command(name = "lowmem-serve", version, about, after_help = SHORT_END, after_long_help = exit::HELP, args_override_self = true)]
#[command(
    disable_version_flag = true,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    hide_possible_values = false,
    max_term_width = 100
)]
pub struct Cli {
    /// Something else than serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Show the version and that of the Python that would be used
    #[arg(long, short = 'V')]
    pub version: bool,

    /// With --version: where that Python is, and how it was found
    #[arg(long, short = 'v', requires = "version")]
    pub verbose: bool,

    #[command(flatten)]
    #[expect(missing_docs)]
    pub flags: Flags,
}

/// The definition of the whole command line, for what is generated from it.
pub fn definition() -> clap::Command {
    takes_negatives(Cli::command()).mut_args(|arg| {
        let is_short = SHORT.contains(&arg.get_id().as_str()) || arg.get_short().is_some();
        arg.hide_short_help(!is_short)
    })
}

/// Lets `-5` be a value, so that the answer is what the option takes, and not that `-5` is no flag.
pub(super) fn takes_negatives(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| match arg.get_action() {
            ArgAction::Set if !arg.is_positional() => arg.allow_negative_numbers(true),
            _ => arg,
        })
        .mut_subcommands(takes_negatives)
}
