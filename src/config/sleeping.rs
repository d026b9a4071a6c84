//! When an application sleeps, and how it wakes.

use std::time::Duration;

use super::mistakes::Mistakes;
use crate::cli;

/// What the supervisor has to know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sleep {
    /// After so long without use.
    pub after: Option<Duration>,
    /// How long requests wait for the worker.
    pub wake_timeout: Duration,
    /// How long a template outlives its last worker.
    pub keep_template: Option<Duration>,
}

/// How long a template is kept where it was not said: visitors of the same hour wait for no import, and
/// what nobody visits for a day takes no memory.
const KEEP_TEMPLATE: Duration = Duration::from_secs(3_600);

pub(super) fn meant(typed: &cli::Sleeping) -> Sleep {
    Sleep {
        after: typed.sleep_after,
        wake_timeout: typed.wake_timeout,
        keep_template: Some(KEEP_TEMPLATE),
    }
}

/// `--health-path`, as it is in a request line.
pub(super) fn health_path(typed: &cli::Sleeping, mistakes: &mut Mistakes) -> Option<String> {
    let path = typed.health_path.clone()?;
    if let Err(why) = check_path(&path) {
        mistakes.add("--health-path", why);
    }
    Some(path)
}

fn check_path(path: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    if path.starts_with('/') && path.bytes().all(fits) {
        Ok(())
    } else {
        Err(format!("{path:?} is not a path like /healthz"))
    }
}
