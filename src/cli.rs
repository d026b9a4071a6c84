//! What was typed, on the command line or in the environment; [`crate::config`] says what it means.
//!
//! Every option is also an environment variable: `LOWMEM_<NAME>`, or Uvicorn's `UVICORN_<NAME>`.
//! The command line wins over both, and `LOWMEM_` over `UVICORN_`.

mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{BoolishValueParser, Resettable};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::exit;

/// What Uvicorn has and lowmem-serve has not yet; refused by name, because a server that ignored
/// them would not do what was asked for.
const NOT_YET: [&str; 24] = [
    "--forwarded-allow-ips",
    "--http2",
    "--interface",
    "--log-config",
    "--no-proxy-headers",
    "--proxy-headers",
    "--reload",
    "--reload-delay",
    "--reload-dir",
    "--reload-exclude",
    "--reload-include",
    "--reset-contextvars",
    "--ssl-ca-certs",
    "--ssl-cert-reqs",
    "--ssl-certfile",
    "--ssl-ciphers",
    "--ssl-keyfile",
    "--ssl-keyfile-password",
    "--ssl-version",
    "--timeout-worker-healthcheck",
    "--ws-max-size",
    "--ws-per-message-deflate",
    "--ws-ping-interval",
    "--ws-ping-timeout",
];

/// An ASGI application server that embeds CPython in little memory.
#[derive(Debug, Parser)]
#[command(name = "lowmem-serve", about, after_help = exit::HELP, args_override_self = true)]
#[command(
    disable_version_flag = true,
    hide_possible_values = false,
    max_term_width = 100
)]
pub struct Cli {
    /// The application: module:attribute
    #[arg(value_name = "APP", env = "LOWMEM_APP")]
    pub app: Option<String>,

    /// Show the version and the Python that would be used
    #[arg(long, short = 'V')]
    pub version: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub application: Application,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub listening: Listening,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub processes: Processes,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub recycling: Recycling,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub http: Http,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub logging: Logging,
}

/// Options about the application and its Python.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Application")]
#[allow(missing_docs)]
pub struct Application {
    /// Where to look for APP [default: the working directory]
    #[arg(long, value_name = "DIR", env = "LOWMEM_APP_DIR")]
    pub app_dir: Option<PathBuf>,
    /// APP is a function that returns the application
    #[arg(long, env = "LOWMEM_FACTORY", value_parser = BoolishValueParser::new())]
    pub factory: bool,
    /// auto, asyncio, uvloop or module:factory
    #[arg(
        long = "loop",
        value_name = "LOOP",
        default_value = "auto",
        env = "LOWMEM_LOOP"
    )]
    pub event_loop: String,
    /// Speak the lifespan protocol
    #[arg(long, default_value = "auto", env = "LOWMEM_LIFESPAN")]
    pub lifespan: LifespanWord,
    /// Collect garbage and freeze what is left after startup (--no-gc-freeze) [default: true]
    #[arg(long, env = "LOWMEM_GC_FREEZE", overrides_with = "no_gc_freeze")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub gc_freeze: Option<bool>,
    #[arg(long, hide = true, overrides_with = "gc_freeze")]
    pub no_gc_freeze: bool,
    /// The path below which a proxy mounts the application
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        env = "LOWMEM_ROOT_PATH"
    )]
    pub root_path: String,
    /// A file with variables for the application's environment
    #[arg(long, value_name = "FILE", env = "LOWMEM_ENV_FILE")]
    pub env_file: Option<PathBuf>,
    /// Python executable or venv [default: $VIRTUAL_ENV, else this installation's, else python3]
    #[arg(long, value_name = "PATH", env = "LOWMEM_PYTHON")]
    pub python: Option<PathBuf>,
}

/// Options about sockets.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Listening")]
#[allow(missing_docs)]
pub struct Listening {
    /// Address or name; empty for every interface
    #[arg(long, default_value = "127.0.0.1", env = "LOWMEM_HOST")]
    pub host: String,
    /// 0 for a free one
    #[arg(long, default_value_t = 8000, env = "LOWMEM_PORT")]
    pub port: u16,
    /// Listen on a Unix socket instead
    #[arg(long, value_name = "PATH", env = "LOWMEM_UDS")]
    pub uds: Option<PathBuf>,
    /// Listen on an inherited socket instead
    #[arg(long, value_name = "NUMBER", env = "LOWMEM_FD")]
    pub fd: Option<i32>,
    /// Connections that may wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 2048, env = "LOWMEM_BACKLOG")]
    pub backlog: u32,
}

/// Options about workers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Workers")]
#[allow(missing_docs)]
pub struct Processes {
    /// Worker processes [default: $WEB_CONCURRENCY or 1]
    #[arg(long, value_name = "N", env = "LOWMEM_WORKERS")]
    pub workers: Option<usize>,
    /// Seconds for open requests to finish when stopping
    #[arg(long, value_name = "S", default_value = "30", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_GRACEFUL_SHUTDOWN")]
    pub timeout_graceful_shutdown: Duration,
    /// Seconds until a starting worker must be ready [default: no limit]
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_WORKER_STARTUP")]
    pub timeout_worker_startup: Option<Duration>,
}

/// Options about replacing healthy workers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Recycling")]
#[allow(missing_docs)]
pub struct Recycling {
    /// Replace a worker that has served for 90s, 30m, 6h, 1d2h [default: never]
    #[arg(long, value_name = "TIME", value_parser = values::lifetime, env = "LOWMEM_TTL")]
    pub ttl: Option<Duration>,
    /// Shorten each worker's time by up to this part of it
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = values::jitter)]
    #[arg(env = "LOWMEM_TTL_JITTER")]
    pub ttl_jitter: u8,
    /// Replace a worker that has answered N requests [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(alias = "limit-max-requests", env = "LOWMEM_MAX_REQUESTS")]
    pub max_requests: Option<u64>,
    /// Add up to N requests to that, another number for each worker
    #[arg(long, value_name = "N", default_value_t = 0)]
    #[arg(
        alias = "limit-max-requests-jitter",
        env = "LOWMEM_MAX_REQUESTS_JITTER"
    )]
    pub max_requests_jitter: u64,
    /// Replace a worker whose own memory exceeds 300M, 1G [default: never]
    #[arg(long, value_name = "SIZE", value_parser = values::size, env = "LOWMEM_MAX_RSS")]
    pub max_rss: Option<u64>,
    /// The successor first (overlap), the old worker's end first (sequential: less memory), or
    /// overlap if there is memory for both (auto)
    #[arg(
        long,
        value_name = "MODE",
        default_value = "auto",
        env = "LOWMEM_RECYCLE"
    )]
    pub recycle: RecycleWord,
}

/// Options about HTTP.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "HTTP")]
#[allow(missing_docs)]
pub struct Http {
    /// Seconds an idle connection is kept
    #[arg(long, value_name = "S", default_value = "5", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_KEEP_ALIVE")]
    pub timeout_keep_alive: Duration,
    /// Seconds for a request's head to arrive
    #[arg(long, value_name = "S", default_value = "30", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_HEADER_READ")]
    pub timeout_header_read: Duration,
    /// Answer 503 while N requests are open [default: no limit]
    #[arg(long, value_name = "N", env = "LOWMEM_LIMIT_CONCURRENCY")]
    pub limit_concurrency: Option<usize>,
    /// Largest request head in bytes; beyond it the answer is 431
    #[arg(long, value_name = "BYTES", default_value_t = 65_536)]
    #[arg(alias = "h11-max-incomplete-event-size", env = "LOWMEM_MAX_HEAD_SIZE")]
    pub max_head_size: usize,
    /// A header for every response, repeatable [env: LOWMEM_HEADERS="A:1 B:2"]
    #[arg(long = "header", value_name = "NAME:VALUE", action = ArgAction::Append)]
    pub headers: Vec<String>,
    /// Send a server header (--no-server-header) [default: true]
    #[arg(
        long,
        env = "LOWMEM_SERVER_HEADER",
        overrides_with = "no_server_header"
    )]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub server_header: Option<bool>,
    #[arg(long, hide = true, overrides_with = "server_header")]
    pub no_server_header: bool,
    /// Send a date header (--no-date-header) [default: true]
    #[arg(long, env = "LOWMEM_DATE_HEADER", overrides_with = "no_date_header")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub date_header: Option<bool>,
    #[arg(long, hide = true, overrides_with = "date_header")]
    pub no_date_header: bool,
    #[command(flatten)]
    pub ignored: Ignored,
}

/// Options of Uvicorn's that choose among its implementations or tune one of them: taken, so that
/// a command line that is right there works here, and answered with a notice.
#[derive(Debug, clap::Args)]
#[allow(missing_docs)]
pub struct Ignored {
    #[arg(long = "http", hide = true)]
    pub http: Option<String>,
    #[arg(long, hide = true)]
    pub ws: Option<String>,
    #[arg(long, hide = true)]
    pub ws_max_queue: Option<String>,
}

/// Options about what is written.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logging")]
#[allow(missing_docs)]
pub struct Logging {
    /// The least severe level that is written
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        env = "LOWMEM_LOG_LEVEL"
    )]
    pub log_level: LevelWord,
    /// Lines for people or JSON objects
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "human",
        env = "LOWMEM_LOG_FORMAT"
    )]
    pub log_format: FormatWord,
    /// Write a line for each response (--no-access-log) [default: true]
    #[arg(long, env = "LOWMEM_ACCESS_LOG", overrides_with = "no_access_log")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub access_log: Option<bool>,
    #[arg(long, hide = true, overrides_with = "access_log")]
    pub no_access_log: bool,
    /// Colour the lines (--no-use-colors) [default: on a terminal, unless NO_COLOR is set]
    #[arg(long, env = "LOWMEM_USE_COLORS", overrides_with = "no_use_colors")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub use_colors: Option<bool>,
    #[arg(long, hide = true, overrides_with = "use_colors")]
    pub no_use_colors: bool,
}

/// `--recycle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum RecycleWord {
    Auto,
    Overlap,
    Sequential,
}

/// `--lifespan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum LifespanWord {
    Auto,
    On,
    Off,
}

/// `--log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum LevelWord {
    Critical,
    Error,
    Warning,
    Info,
    Debug,
    Trace,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum FormatWord {
    Human,
    Json,
}

/// Reads argv and, for what it does not say, the environment.
pub fn parse(
    argv: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Cli, clap::Error> {
    let mut command = Cli::command().mut_args(|arg| from_environment(arg, &variable));
    let matches = match command.try_get_matches_from_mut(argv) {
        Ok(matches) => matches,
        Err(error) => return Err(refused(error, &mut command)),
    };
    let mut cli = Cli::from_arg_matches(&matches)?;
    if cli.app.is_none() && !cli.version {
        let message = "the application is missing: lowmem-serve [OPTIONS] module:attribute";
        return Err(command.error(ErrorKind::MissingRequiredArgument, message));
    }
    if cli.http.headers.is_empty() {
        let names = ["LOWMEM_HEADERS", "UVICORN_HEADERS"];
        let given = names.iter().find_map(|name| set(&variable, name));
        let given = given
            .map(|text| text.to_string_lossy().into_owned())
            .unwrap_or_default();
        cli.http.headers = given.split_whitespace().map(str::to_owned).collect();
    }
    Ok(cli)
}

/// The error for an unknown option, where Uvicorn would have known it.
fn refused(error: clap::Error, command: &mut clap::Command) -> clap::Error {
    let unknown = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(unknown)) if error.kind() == ErrorKind::UnknownArgument => {
            unknown
        }
        _ => return error,
    };
    let Some(option) = NOT_YET.iter().find(|option| *option == unknown) else {
        return error;
    };
    let message = format!("lowmem-serve does not have Uvicorn's {option} yet; start it without");
    command.error(ErrorKind::UnknownArgument, message)
}

/// Lets an argument read the one of its variables that is set; an empty one counts as unset, as in
/// Uvicorn. The help always names the `LOWMEM_` one.
fn from_environment(arg: Arg, variable: &impl Fn(&str) -> Option<OsString>) -> Arg {
    let arg = arg.hide_env_values(true);
    let Some(own) = arg
        .get_env()
        .and_then(|name| name.to_str())
        .map(str::to_owned)
    else {
        return arg;
    };
    let uvicorns = match own.as_str() {
        "LOWMEM_MAX_REQUESTS" => "UVICORN_LIMIT_MAX_REQUESTS".to_owned(),
        "LOWMEM_MAX_REQUESTS_JITTER" => "UVICORN_LIMIT_MAX_REQUESTS_JITTER".to_owned(),
        "LOWMEM_MAX_HEAD_SIZE" => "UVICORN_H11_MAX_INCOMPLETE_EVENT_SIZE".to_owned(),
        own => own.replacen("LOWMEM_", "UVICORN_", 1),
    };
    if set(variable, &own).is_some() {
        arg
    } else if set(variable, &uvicorns).is_some() {
        arg.env(uvicorns)
    } else if variable(&own).is_some() {
        arg.env(Resettable::Reset)
    } else {
        arg
    }
}

fn set(variable: &impl Fn(&str) -> Option<OsString>, name: &str) -> Option<OsString> {
    variable(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(argv: &[&str]) -> Result<Cli, clap::Error> {
        let argv = std::iter::once("lowmem-serve").chain(argv.iter().copied());
        parse(argv.map(OsString::from), |_| None)
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_last_of_two_wins() {
        let cli = parsed(&["a:b", "--port", "1", "--port=2"]).unwrap();
        assert_eq!(cli.listening.port, 2);
        let cli = parsed(&["a:b", "--no-access-log", "--access-log"]).unwrap();
        assert_eq!(
            (cli.logging.access_log, cli.logging.no_access_log),
            (Some(true), false)
        );
        let cli = parsed(&["a:b", "--access-log", "--no-access-log"]).unwrap();
        assert_eq!(
            (cli.logging.access_log, cli.logging.no_access_log),
            (None, true)
        );
    }

    #[test]
    fn a_flag_does_not_swallow_the_application() {
        let cli = parsed(&["--access-log", "a:b"]).unwrap();
        assert_eq!(cli.app.as_deref(), Some("a:b"));
    }

    #[test]
    fn wrong_usage_is_an_error() {
        for argv in [
            &[][..],
            &["a:b", "--nope"],
            &["a:b", "--port", "x"],
            &["a:b", "--lifespan", "maybe"],
        ] {
            assert_eq!(parsed(argv).unwrap_err().exit_code(), 2, "{argv:?}");
        }
    }

    #[test]
    fn what_uvicorn_has_and_we_have_not_is_refused_by_name() {
        for argv in [["a:b", "--reload"], ["a:b", "--ssl-keyfile=x"]] {
            let error = parsed(&argv).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("does not have Uvicorn's --"));
        }
    }

    #[test]
    fn headers_come_from_the_environment_when_none_is_typed() {
        let variable = |name: &str| (name == "UVICORN_HEADERS").then(|| OsString::from("A:1  B:2"));
        let argv = |more: &[&str]| {
            let argv = ["lowmem-serve", "a:b"].iter().chain(more);
            argv.map(OsString::from).collect::<Vec<_>>()
        };
        assert_eq!(
            parse(argv(&[]), variable).unwrap().http.headers,
            ["A:1", "B:2"]
        );
        assert_eq!(
            parse(argv(&["--header", "C:3"]), variable)
                .unwrap()
                .http
                .headers,
            ["C:3"]
        );
    }
}
