//! Replacing healthy workers.

use std::time::Duration;

use clap::ValueEnum;

use super::values;

/// Options about replacing healthy workers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Recycling")]
pub struct Recycling {
    /// Replace a worker that has served for 90s, 30m, 6h, 1d2h [default: never]
    #[arg(long, value_name = "TIME", value_parser = values::lifetime, env = "LOWMEM_TTL")]
    pub ttl: Option<Duration>,
    /// Shorten each worker's --ttl by up to this part of it
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = values::jitter)]
    #[arg(env = "LOWMEM_TTL_JITTER")]
    pub ttl_jitter: u8,
    /// Replace a worker that has answered N requests [default: never]
    #[arg(long, value_name = "N", value_parser = values::at_least(1u64))]
    #[arg(visible_alias = "limit-max-requests", env = "LOWMEM_MAX_REQUESTS")]
    pub max_requests: Option<u64>,
    /// Add up to N requests to --max-requests, another number for each worker
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = values::at_least(0u64))]
    #[arg(
        visible_alias = "limit-max-requests-jitter",
        env = "LOWMEM_MAX_REQUESTS_JITTER"
    )]
    pub max_requests_jitter: u64,
    /// Replace a worker whose own memory exceeds 300M, 1G [default: never]
    #[arg(long, value_name = "SIZE", value_parser = values::size, env = "LOWMEM_MAX_RSS")]
    pub max_rss: Option<u64>,
    /// The successor first (overlap), the old worker's end first (sequential: less memory), or
    /// overlap if there is memory for both (auto)
    #[arg(
        long,
        value_name = "MODE",
        default_value = "auto",
        env = "LOWMEM_RECYCLE"
    )]
    pub recycle: RecycleWord,
}

/// `--recycle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs)]
pub enum RecycleWord {
    Auto,
    Overlap,
    Sequential,
}
