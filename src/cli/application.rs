//! The application and its Python.

use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;

use super::values;

/// Far more than one interpreter lock can keep busy.
const MOST_THREADS: usize = 10_000;

/// Options about the application and its Python.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Application")]
#[expect(missing_docs)]
pub struct Application {
    /// Where to look for APP [default: the working directory]
    #[arg(long, value_name = "DIR", env = "LOWMEM_APP_DIR")]
    pub app_dir: Option<PathBuf>,
    /// APP is a function that returns the application
    #[arg(long, env = "LOWMEM_FACTORY", value_parser = BoolishValueParser::new())]
    pub factory: bool,
    /// auto, asyncio, uvloop, rloop or module:factory
    #[arg(
        long = "loop",
        value_name = "LOOP",
        default_value = "auto",
        env = "LOWMEM_LOOP"
    )]
    pub event_loop: String,
    /// The interface of APP
    #[arg(long, default_value = "auto", env = "LOWMEM_INTERFACE")]
    pub interface: InterfaceWord,
    /// Threads that a WSGI application is called on, at most; they start when they are needed
    #[arg(
        long,
        value_name = "N",
        default_value_t = 10,
        env = "LOWMEM_WSGI_THREADS"
    )]
    #[arg(value_parser = values::number(1..=MOST_THREADS))]
    pub wsgi_threads: usize,
    /// Speak the lifespan protocol
    #[arg(long, default_value = "auto", env = "LOWMEM_LIFESPAN")]
    pub lifespan: LifespanWord,
    /// Collect garbage and freeze what is left after startup (--no-gc-freeze)
    #[arg(long, env = "LOWMEM_GC_FREEZE", overrides_with = "no_gc_freeze")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_name = "BOOL", value_parser = BoolishValueParser::new())]
    pub gc_freeze: Option<bool>,
    #[arg(long, hide = true, overrides_with = "gc_freeze")]
    pub no_gc_freeze: bool,
    /// Defer imports until they are used: auto, off, or packages (docs/lazy-imports.md)
    #[arg(long, value_name = "auto|off|PKG,…", default_value = "off")]
    #[arg(env = "LOWMEM_LAZY_IMPORTS", allow_hyphen_values = true)]
    pub lazy_imports: String,
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

/// `--interface`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
pub enum InterfaceWord {
    Auto,
    Asgi3,
    Asgi2,
    Wsgi,
}

/// `--lifespan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
pub enum LifespanWord {
    Auto,
    On,
    Off,
}
