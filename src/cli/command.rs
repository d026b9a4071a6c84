//! The commands besides serving: the first word, and its arguments.

use clap::{Subcommand, ValueEnum};

use super::{
    Apps, Asked, CacheCommand, Control, Exec, Flags, Growth, Imports, JobsCommand, Migrate, Named,
    Top, Weigh,
};

/// A first word that is no application.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve on every interface, also an application that is named by its file, or found in the usual ones
    #[command(alias = "serve")]
    Run(Box<Flags>),
    /// The same on 127.0.0.1, with --reload
    Dev(Box<Flags>),
    /// Show the settings that these flags, the environment and the file come to, and check them
    Config(Box<Flags>),
    /// Serve the application, ask for pages, and weigh it: against a budget, or a recorded weight
    Weigh(Box<Weigh>),
    /// Serve the application, ask for pages, and show what its imports cost and which of them were used
    Imports(Box<Imports>),
    /// Show the jobs of a running server, and run, stop or look at one (see --job)
    Jobs(JobsCommand),
    /// Ask running workers what has grown in them since the last look (see --growth)
    Growth(Growth),
    /// Show running servers: their applications, workers and memory
    Status(Asked),
    /// Exit with 0 if running servers serve all of their applications, for a container's health check
    Health(Named),
    /// Watch running servers in the terminal
    Top(Top),
    /// Tell a running server what to do
    #[command(subcommand)]
    Ctl(Control),
    /// Show the caches on disk (lowmem_serve.cache), or empty one
    Cache(CacheCommand),
    /// Show the applications of a running server, or tell it what to do with one
    Apps(Apps),
    /// Run a Python program that calls uvicorn.run, and serve what it would serve
    Exec(Exec),
    /// Show what a command line or a file of another server is here (gunicorn, Uvicorn, uWSGI, …)
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
