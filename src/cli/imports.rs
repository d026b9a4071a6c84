//! `lowmem-serve imports`.

use std::path::PathBuf;

use super::OnTrial;

/// The application to import, and the form of the report.
#[derive(Debug, clap::Args)]
#[expect(missing_docs)]
pub struct Imports {
    #[command(flatten)]
    pub trial: OnTrial,
    /// Show modules that added at least so many MB
    #[arg(long, value_name = "MB", default_value_t = 0.3)]
    pub at_least: f64,
    /// Levels of the tree
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub depth: usize,
    /// Write a page with a treemap to a file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Do not try which --lazy-imports saves most
    #[arg(long)]
    pub no_advice: bool,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}
