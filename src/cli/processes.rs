//! Workers.

use std::time::Duration;

use clap::builder::BoolishValueParser;

use super::values;

/// Options about workers.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Workers")]
pub struct Processes {
    /// Worker processes [default: $WEB_CONCURRENCY or 1]
    #[arg(long, value_name = "N", value_parser = values::at_least(0usize))]
    #[arg(env = "LOWMEM_WORKERS")]
    pub workers: Option<usize>,
    /// The name of the processes in ps, in place of lowmem-serve
    #[arg(long, value_name = "NAME", env = "LOWMEM_PROCESS_NAME", value_parser = values::process_name)]
    pub process_name: Option<String>,
    /// Import the application once, in a process that workers are forked from
    #[arg(long, env = "LOWMEM_PRELOAD", value_parser = BoolishValueParser::new())]
    pub preload: bool,
    /// Let the kernel merge pages of workers that have the same contents, also where they were not forked
    /// from the same process (docs/apps.md)
    #[arg(long, env = "LOWMEM_KSM", value_parser = BoolishValueParser::new())]
    pub ksm: bool,
    /// Seconds to stop in, for open requests and lifespan shutdown [default: 8; 30 for a worker that
    /// is replaced]
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_GRACEFUL_SHUTDOWN")]
    pub timeout_graceful_shutdown: Option<Duration>,
    /// Seconds to serve on after SIGTERM, until load balancers have noticed it
    #[arg(long, value_name = "S", default_value = "0", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_DRAIN_DELAY")]
    pub drain_delay: Duration,
    /// Seconds until a starting worker must be ready [default: none; 60, or 5 times the slowest start
    /// so far, for the successor of one that serves]
    #[arg(long, value_name = "S", value_parser = values::seconds)]
    #[arg(env = "LOWMEM_TIMEOUT_WORKER_STARTUP")]
    pub timeout_worker_startup: Option<Duration>,
}
