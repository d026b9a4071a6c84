//! `--growth`, and `lowmem-serve growth`.

use clap::builder::BoolishValueParser;

use super::values;
use crate::growth::find::Target;

/// More callers of a line tell no more, and cost memory for each allocation.
const MOST_FRAMES: u16 = 100;

/// Options about finding out where memory goes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Diagnosis")]
pub struct Diagnosis {
    /// Let `lowmem-serve growth` ask the workers for the memory that they have gained
    #[arg(long, env = "LOWMEM_GROWTH", value_parser = BoolishValueParser::new())]
    pub growth: bool,
    /// As --growth, with the lines that allocated it (slower); FRAMES callers of each [default: 1]
    #[arg(long, value_name = "FRAMES", env = "LOWMEM_TRACE_MEMORY")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "1")]
    #[arg(value_parser = values::number(1..=MOST_FRAMES))]
    pub trace_memory: Option<u16>,
}

/// Which workers, and how their answers are shown.
#[derive(Debug, clap::Args)]
pub struct Growth {
    /// A server or worker, by pid or address (localhost:8000) [default: every worker that can be asked]
    #[arg(value_name = "PID|ADDRESS")]
    pub target: Option<Target>,
    /// Compare with the last look, or with the one at the worker's start
    #[arg(long, value_name = "LOOK", default_value = "last")]
    pub since: SinceWord,
    /// Lines of each table
    #[arg(long, value_name = "N", default_value_t = 15)]
    pub top: usize,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}

/// With which look the answer is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SinceWord {
    /// The one before.
    Last,
    /// The one that the worker took itself when it was ready.
    Start,
}
