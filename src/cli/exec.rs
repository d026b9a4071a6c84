//! `exec`.

use std::path::PathBuf;

/// A program that starts Uvicorn.
#[derive(Debug, clap::Args)]
pub struct Exec {
    /// The Python that runs the program, and serves
    #[arg(long, value_name = "PATH", env = "LOWMEM_PYTHON")]
    pub python: Option<PathBuf>,
    /// The program and its arguments; before it flags of this server, which win over what it says, and --
    #[arg(value_name = "[FLAGS --] PROGRAM", trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true)]
    pub words: Vec<String>,
}
