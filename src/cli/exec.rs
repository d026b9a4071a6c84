//! `exec`.

/// A program that starts Uvicorn.
#[derive(Debug, clap::Args)]
pub struct Exec {
    /// The program and its arguments; before it flags of this server, which win over what it says, and --
    #[arg(value_name = "[FLAGS --] PROGRAM", trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true)]
    pub words: Vec<String>,
}
