//! The whole command line: its groups of options, and its definition.

use std::path::PathBuf;

use clap::{ArgAction, CommandFactory, Parser};

use super::{
    Application, Caches, Command, Compatibility, Diagnosis, Files, Http, Jobs, Limits, Listening,
    Logging, Operation, Processes, Proxies, Recycling, Reload, Sleeping, Tls, WebSocket,
};
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

/// An ASGI application server that embeds CPython in little memory.
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

/// The flags that decide how an application is served.
#[derive(Debug, clap::Args)]
pub struct Flags {
    /// The application: module:attribute
    #[arg(value_name = "APP", env = "LOWMEM_APP")]
    pub app: Option<String>,

    /// Settings file [default: lowmem-serve.toml, else pyproject.toml with [tool.lowmem-serve]]
    #[arg(long, value_name = "FILE", env = "LOWMEM_CONFIG")]
    pub config: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs)]
    pub application: Application,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub listening: Listening,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub processes: Processes,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub recycling: Recycling,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub sleeping: Sleeping,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub reload: Reload,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub tls: Tls,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub http: Http,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub limits: Limits,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub files: Files,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub proxies: Proxies,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub websocket: WebSocket,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub logging: Logging,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub caches: Caches,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub jobs: Jobs,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub diagnosis: Diagnosis,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub operation: Operation,
    #[command(flatten)]
    #[expect(missing_docs)]
    pub compatibility: Compatibility,
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
