//! `lowmem-serve weigh`.

use std::path::PathBuf;

use super::{OnTrial, values};
use crate::trial::Peer;
use crate::weighing::Figure;

/// The application to weigh, and the limits on its weight.
#[derive(Debug, clap::Args)]
#[expect(missing_docs)]
pub struct Weigh {
    #[command(flatten)]
    pub trial: OnTrial,
    /// Exit with 4 if it weighs more than 60M, 1G
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub budget: Option<u64>,
    /// Write the figures to a file, for --against
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Exit with 4 if it weighs more than it did when FILE was recorded
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// The part by which it may exceed the record
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = values::tolerance)]
    pub tolerance: u8,
    /// The figure that is compared: private dirty memory, or PSS
    #[arg(long, value_name = "FIGURE", default_value = "private")]
    pub figure: Figure,
    /// The number of starts; the lightest counts
    #[arg(long, value_name = "N", default_value_t = 2)]
    #[arg(value_parser = values::at_least(1u32))]
    pub starts: u32,
    /// Weigh it under these servers, too
    #[arg(long, value_name = "SERVER", value_delimiter = ',')]
    pub beside: Vec<Peer>,
    /// Write JSON
    #[arg(long)]
    pub json: bool,
}
