//! Having no worker while the application is not used.

use std::time::Duration;

use super::values;

/// Options about sleep.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Sleep")]
pub struct Sleeping {
    /// End the worker of an application that has not been used for 90s, 10m, 1h; connections are
    /// kept, and the next request starts another [default: never]
    #[arg(long, value_name = "TIME", value_parser = values::lifetime, env = "LOWMEM_SLEEP_AFTER")]
    pub sleep_after: Option<Duration>,
    /// Seconds that requests wait for an application that wakes; then they are answered with 503
    #[arg(long, value_name = "S", default_value = "30", value_parser = values::some_seconds)]
    #[arg(env = "LOWMEM_WAKE_TIMEOUT")]
    pub wake_timeout: Duration,
    /// Answer GET and HEAD for this path with 200, asleep and awake; such requests neither wake the
    /// application nor keep it awake
    #[arg(long, value_name = "PATH", env = "LOWMEM_HEALTH_PATH")]
    pub health_path: Option<String>,
}
