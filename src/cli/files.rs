//! Static files.

use clap::ArgAction;
use clap::builder::BoolishValueParser;

/// Options about static files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Static files")]
pub struct Files {
    /// Serve a directory below a path, repeatable: /static=./dir[;OPTION...]
    #[arg(long = "static", value_name = "PATH=DIR", env = "LOWMEM_STATIC")]
    #[arg(action = ArgAction::Append)]
    pub mounts: Vec<String>,
    /// Announce http.response.pathsend, by which an application has the server send a file
    #[arg(long, env = "LOWMEM_PATHSEND", value_parser = BoolishValueParser::new())]
    pub pathsend: bool,
}
