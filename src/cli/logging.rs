//! Options for log lines.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::{ArgPredicate, BoolishValueParser};

/// Options about what is written.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Logging")]
#[expect(missing_docs)]
pub struct Logging {
    /// The least severe level that is written [default: info]
    #[arg(long, value_name = "LEVEL", env = "LOWMEM_LOG_LEVEL")]
    pub log_level: Option<LevelWord>,
    /// Configure Python's logging (.json, .yaml, .ini) and let it write what workers say
    #[arg(long, value_name = "FILE", env = "LOWMEM_LOG_CONFIG")]
    pub log_config: Option<PathBuf>,
    /// Lines for people or JSON objects
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "human",
        env = "LOWMEM_LOG_FORMAT"
    )]
    pub log_format: FormatWord,
    /// Write a line for each response (--no-access-log); by default not where --log-level is warning,
    /// error or critical
    #[arg(long, env = "LOWMEM_ACCESS_LOG", overrides_with = "no_access_log")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(default_value_ifs = [
        ("access_log_file", ArgPredicate::IsPresent, "true"),
        ("log_level", "critical".into(), "false"),
        ("log_level", "error".into(), "false"),
        ("log_level", "warning".into(), "false"),
    ])]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub access_log: Option<bool>,
    #[arg(long, hide = true, overrides_with = "access_log")]
    pub no_access_log: bool,
    /// uvicorn, common, combined, json or a template like '%(h)s "%(r)s" %(s)s %(ms)s' [default:
    /// as --log-format]
    #[arg(long, value_name = "FORMAT", env = "LOWMEM_ACCESS_LOG_FORMAT")]
    pub access_log_format: Option<String>,
    /// Append access lines to a file, which is opened again at SIGHUP [default: stdout]
    #[arg(long, value_name = "FILE", env = "LOWMEM_ACCESS_LOG_FILE")]
    pub access_log_file: Option<PathBuf>,
    /// Colour the lines (--no-use-colors) [default: on a terminal, unless NO_COLOR is set]
    #[arg(long, env = "LOWMEM_USE_COLORS", overrides_with = "no_use_colors")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub use_colors: Option<bool>,
    #[arg(long, hide = true, overrides_with = "use_colors")]
    pub no_use_colors: bool,
}

/// `--log-level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
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
#[expect(missing_docs)]
pub enum FormatWord {
    Human,
    Json,
}
