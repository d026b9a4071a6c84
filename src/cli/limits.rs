//! Limits on a client's costs.

use std::time::Duration;

use super::values;

/// Options about limits.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Most fields of a request head; beyond it the answer is 431
    #[arg(
        long,
        value_name = "N",
        default_value_t = 128,
        env = "LOWMEM_MAX_HEADERS"
    )]
    #[arg(value_parser = values::at_least(0usize))]
    pub max_headers: usize,
    /// Longest request target; beyond it the answer is 414 [default: half of --max-head-size]
    #[arg(long, value_name = "BYTES", value_parser = values::at_least(1usize))]
    #[arg(env = "LOWMEM_MAX_TARGET_SIZE")]
    pub max_target_size: Option<usize>,
    /// Largest request body, like 10M; beyond it the answer is 413 [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = values::bytes, env = "LOWMEM_MAX_BODY_SIZE")]
    pub max_body_size: Option<u64>,
    /// Seconds without a byte of a request body, then 408 [default: no limit]
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_BODY_READ")]
    pub timeout_body_read: Option<Duration>,
    /// Seconds in which an application begins its response, then 504 and its task is cancelled
    /// [default: no limit]
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_REQUEST")]
    pub timeout_request: Option<Duration>,
    /// Seconds in which a client takes no byte of what is sent, then it is cut; 0 for no limit
    #[arg(long, value_name = "S", default_value = "60", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_WRITE")]
    pub timeout_write: Duration,
    /// Most connections of a worker; more wait in the queue [default: as descriptors allow]
    #[arg(long, value_name = "N", value_parser = values::at_least(0usize))]
    #[arg(env = "LOWMEM_LIMIT_CONNECTIONS")]
    pub limit_connections: Option<usize>,
}
