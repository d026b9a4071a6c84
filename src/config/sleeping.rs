//! When an application sleeps, and how it wakes.

use std::time::Duration;

use super::Hours;
use super::mistakes::Mistakes;
use crate::cli;

/// The settings of sleep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sleep {
    /// After so long without use.
    pub after: Option<Duration>,
    /// How long requests wait for the worker.
    pub wake_timeout: Duration,
    /// How long a template outlives its last worker.
    pub keep_template: Duration,
    /// A template is made, though the application is not imported for all workers.
    pub makes_template: bool,
    /// When it does not sleep.
    pub awake: Option<Hours>,
    /// It never sleeps.
    pub keeps_awake: bool,
    /// It has no worker before the first request.
    pub begins_asleep: bool,
}

/// After so long without use it sleeps.
pub(super) fn after(typed: &cli::Sleeping) -> Option<Duration> {
    typed.sleep_after.filter(|_| !typed.keep_awake)
}

/// How long a template is kept by default: requests within the same hour wait for no import, and an
/// application without requests for a day takes no memory.
const KEEP_TEMPLATE: Duration = Duration::from_secs(3_600);

pub(super) fn meant(
    typed: &cli::Sleeping,
    processes: &cli::Processes,
    notices: &mut Vec<String>,
    mistakes: &mut Mistakes,
) -> Sleep {
    let hours = typed.awake.as_deref();
    let hours = hours.map(|text| Hours::parse(text, &typed.timezone));
    let awake = match hours.transpose() {
        Ok(awake) => awake,
        Err(why) => {
            mistakes.add("--awake", why);
            None
        }
    };
    if typed.sleep_after.is_none() {
        let given = [
            ("--awake", typed.awake.is_some()),
            ("--keep-template", typed.keep_template.is_some()),
        ];
        for (option, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
            notices.push(format!(
                "{option} is ignored: without --sleep-after the application never sleeps"
            ));
        }
    }
    let sleeps = after(typed).is_some();
    Sleep {
        keeps_awake: typed.keep_awake,
        // One that should be awake is from the start.
        begins_asleep: typed.start_asleep && !typed.keep_awake,
        after: after(typed),
        wake_timeout: typed.wake_timeout,
        keep_template: typed.keep_template.unwrap_or(KEEP_TEMPLATE),
        makes_template: sleeps && typed.keep_template.is_some() && !processes.preload,
        awake: awake.filter(|_| sleeps),
    }
}

/// `--health-path`, as it is in a request line.
pub(super) fn health_path(typed: &cli::Sleeping, mistakes: &mut Mistakes) -> Option<String> {
    let path = typed.health_path.clone()?;
    if !is_target(&path) || path.contains('?') {
        let why = format!("{path:?} is not a path like /healthz");
        mistakes.add("--health-path", why);
    }
    Some(path)
}

/// `--warm-up`; what is in a request line.
pub(super) fn warm_up(typed: &cli::Sleeping, mistakes: &mut Mistakes) -> Vec<String> {
    for path in &typed.warm_up {
        if !is_target(path) {
            let why = format!("{path:?} is not a path like /start?warm");
            mistakes.add("--warm-up", why);
        }
    }
    typed.warm_up.clone()
}

fn is_target(path: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    path.starts_with('/') && path.bytes().all(fits)
}
