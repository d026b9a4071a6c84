//! `migrate`.

use std::path::PathBuf;

/// The input of a migration, and how the result is shown.
#[derive(Debug, clap::Args)]
pub struct Migrate {
    /// Write a settings file (lowmem-serve.toml) in place of a command line
    #[arg(long)]
    pub settings: bool,
    /// The Python that runs a configuration which is a program
    #[arg(long, value_name = "PATH", env = "LOWMEM_PYTHON")]
    pub python: Option<PathBuf>,
    /// A command line of another server, as one argument or as it is typed; or a file: gunicorn.conf.py,
    /// hypercorn.toml, uwsgi.ini, Procfile, Dockerfile, compose.yaml, a unit, a shell script
    #[arg(value_name = "WHAT", required = true, trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true)]
    pub what: Vec<String>,
}
