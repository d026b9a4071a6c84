//! Static files.

use clap::ArgAction;

/// Options about static files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Static files")]
pub struct Files {
    /// Serve a directory below a path, repeatable: /static=./dir[;OPTION...]
    #[arg(long = "static", value_name = "PATH=DIR", env = "LOWMEM_STATIC")]
    #[arg(action = ArgAction::Append)]
    pub mounts: Vec<String>,
}
