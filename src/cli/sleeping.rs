//! Having no worker while the application is not used.

use std::time::Duration;

use clap::builder::BoolishValueParser;

use super::MemoryBudget;
use super::values;

/// Options about sleep.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sleep")]
pub struct Sleeping {
    /// End the worker of an application that has not been used for 90s, 10m, 1h; connections are
    /// kept, and the next request starts another [default: never]
    #[arg(long, value_name = "TIME", value_parser = values::lifetime, env = "LOWMEM_SLEEP_AFTER")]
    pub sleep_after: Option<Duration>,
    /// Begin without a worker: the first request starts one
    #[arg(long, env = "LOWMEM_START_ASLEEP", value_parser = BoolishValueParser::new())]
    pub start_asleep: bool,
    /// Never sleep, whatever --sleep-after and --memory-budget say
    #[arg(long, env = "LOWMEM_KEEP_AWAKE", value_parser = BoolishValueParser::new())]
    pub keep_awake: bool,
    /// Memory that all processes together may take, 500M, 2G, or a part of the machine's or container's,
    /// 70%: above it idle workers end until they are needed, and grown ones are replaced [default: none]
    #[arg(long, value_name = "SIZE|PERCENT", value_parser = values::budget)]
    #[arg(env = "LOWMEM_MEMORY_BUDGET")]
    pub memory_budget: Option<MemoryBudget>,
    /// Seconds that requests wait for an application that wakes; then they are answered with 503
    #[arg(long, value_name = "S", default_value = "30", value_parser = values::some_seconds)]
    #[arg(env = "LOWMEM_WAKE_TIMEOUT")]
    pub wake_timeout: Duration,
    /// Hours in which the application does not sleep, and is woken when they begin: "Mon-Fri 07:00-19:00",
    /// several with commas between
    #[arg(long, value_name = "HOURS", env = "LOWMEM_AWAKE")]
    pub awake: Option<String>,
    /// The time zone of --awake, like Europe/Berlin
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "UTC",
        env = "LOWMEM_TIMEZONE"
    )]
    pub timezone: String,
    /// Keep the process that workers are forked from for so long after the last worker. Without --preload, one
    /// that has imported the packages that the application used [default with --preload: 1h]
    #[arg(long, value_name = "TIME", value_parser = values::lifetime, env = "LOWMEM_KEEP_TEMPLATE")]
    pub keep_template: Option<Duration>,
    /// Have each worker request this path of itself before it is ready; may be given several times
    #[arg(
        long,
        value_name = "PATH",
        env = "LOWMEM_WARM_UP",
        value_delimiter = ' '
    )]
    pub warm_up: Vec<String>,
    /// Answer GET and HEAD for this path with 200, asleep and awake; such requests neither wake the
    /// application nor keep it awake
    #[arg(long, value_name = "PATH", env = "LOWMEM_HEALTH_PATH")]
    pub health_path: Option<String>,
}
