//! The commands besides serving: the first word, and its arguments.

use clap::{Subcommand, ValueEnum};

use super::{
    Apps, Asked, CacheCommand, Control, Exec, Flags, Growth, Imports, JobsCommand, Migrate, Named,
    Top, Weigh,
};

/// A first word that is no application.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve on every interface; APP may also be a file, or be looked for in main.py, app.py and the like
    #[command(alias = "serve")]
    Run(Box<Flags>),
    /// As run, but on 127.0.0.1 and with --reload
    Dev(Box<Flags>),
    /// Check the settings of flags, environment and settings file, and show them with their origin
    Config(Box<Flags>),
    /// Measure the memory of an application while it is served; against a budget, or a recorded weight
    Weigh(Box<Weigh>),
    /// Measure the imports of an application: memory, time, and which of them requests use
    Imports(Box<Imports>),
    /// Show the jobs of a running server, and run, stop or look at one (see --job)
    Jobs(JobsCommand),
    /// Show the memory that running workers have gained since the last look (see --growth)
    Growth(Growth),
    /// Show running servers: their applications, workers and memory
    Status(Asked),
    /// Exit with 0 if running servers serve all of their applications, for a container's health check
    Health(Named),
    /// Watch running servers in the terminal
    Top(Top),
    /// Control a running server: recycle, sleep, wake, more or fewer workers
    #[command(subcommand)]
    Ctl(Control),
    /// Show the caches on disk (lowmem_serve.cache), or empty one
    Cache(CacheCommand),
    /// Show the applications of a running server; reload, stop, start, wake one or let it sleep
    Apps(Apps),
    /// Run a Python program that calls uvicorn.run, and serve its application in its place
    Exec(Exec),
    /// Translate a command line or a file of another server (gunicorn, Uvicorn, uWSGI, …)
    Migrate(Migrate),
    /// Write the completions of a shell to stdout
    Completions {
        /// The shell that reads them
        shell: Shell,
    },
    /// Write the man page to stdout
    Man,
}

/// `completions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}
