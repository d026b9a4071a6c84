//! The pool's notices as log lines for the operator.

use std::time::Duration;

use tracing::{error, info, warn};

use super::Member;
use super::pool::{Asleep, Cause, Notice, Reason, Recycled, WorkerId};
use super::workforce::Workforce;
use crate::config::Config;
use crate::figures::{Age, Grouped, Megabytes};
use crate::launch::Launch;
use crate::net::{Listen, Listeners};
use crate::sys::process::{self, Ending};
use crate::telemetry::paint::{bold, cyan};

/// A start that has used less than one part in so many of its time waits.
const WAITING: u32 = 10;

/// The parts of the running line.
#[derive(Debug)]
pub(super) struct Banner {
    /// `http://127.0.0.1:8000`, or the socket; one or several.
    pub(super) places: Vec<String>,
    /// The application and its settings, in words.
    facts: String,
}

impl Banner {
    pub(super) fn of(config: &Config, launch: &Launch, listeners: &Listeners) -> Self {
        Self {
            places: places(config, listeners),
            facts: facts(config, launch),
        }
    }

    /// `own` is the memory of the one worker.
    fn running(&self, own: Option<u64>) {
        for place in &self.places {
            let (on, quit) = (bold(place), "Press CTRL+C to quit");
            info!(
                event = "running",
                place, "lowmem-serve running on {on} ({quit})"
            );
        }
        match own {
            Some(own) => info!("{}, {} MB of its own", self.facts, Megabytes(own)),
            None => info!("{}", self.facts),
        }
    }
}

/// Its own places, and what is its own on those that applications share: `https://example.com/admin`.
fn places(config: &Config, listeners: &Listeners) -> Vec<String> {
    let scheme = config.worker.server.scheme();
    let mut places = listeners.places(scheme);
    for place in &config.listen {
        if let Listen::Routed(names) = place {
            places.extend(names.iter().map(|name| format!("{scheme}://{name}")));
        }
    }
    places
}

/// `CPython 3.11, loop auto, 2 workers`
fn facts(config: &Config, launch: &Launch) -> String {
    let version = launch.environment.version;
    let workers = match config.workers.get() {
        1 => "1 worker".to_owned(),
        several => format!("{several} workers"),
    };
    format!(
        "CPython {version}, loop {}, {workers}",
        config.worker.application.event_loop
    )
}

/// The supervisor's role, as its operator reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parent {
    /// None: with one worker there is one pid to tell.
    Silent,
    /// With several workers, whose lines mix, it says its own pid.
    OfWorkers,
    /// It watches the source.
    Reloader,
}

impl Parent {
    pub(super) fn of(members: &[Member]) -> Self {
        let workers = members.iter().map(|member| member.config.workers.get());
        match members {
            [Member { config, .. }] if config.reload.is_some() => Self::Reloader,
            _ if workers.sum::<usize>() > 1 => Self::OfWorkers,
            _ => Self::Silent,
        }
    }

    pub(super) fn started(self) {
        if self == Self::OfWorkers {
            info!("Started parent process [{}]", cyan(std::process::id()));
        }
    }

    pub(super) fn stopping(self, signal: i32) {
        if self == Self::OfWorkers {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
            info!("Received {name}, exiting.");
        }
    }

    pub(super) fn stopped(self) {
        let pid = cyan(std::process::id());
        match self {
            Self::Silent => {}
            Self::OfWorkers => info!("Stopping parent process [{pid}]"),
            Self::Reloader => info!("Stopping reloader process [{pid}]"),
        }
    }
}

/// Logs the watched directories, before anything is imported.
pub(super) fn watching(directories: &str) {
    info!("Will watch for changes in these directories: {directories}");
    let pid = cyan(std::process::id());
    info!("Started reloader process [{pid}] using inotify");
}

pub(super) fn say(notice: Notice, banner: &Banner, workforce: &Workforce) {
    let pid = |id| workforce.pid(id);
    match notice {
        Notice::Running => banner.running(workforce.weight_of_only_one()),
        Notice::NeverReady(id, ending) => never_ready(pid(id), ending),
        Notice::Died(id, ending, delay) if delay.is_zero() => {
            let worker_pid = pid(id);
            error!(
                event = "died",
                worker_pid,
                reason = ending_word(ending),
                "Worker (pid {worker_pid}) {ending}; starting another."
            );
        }
        Notice::Died(id, ending, delay) => {
            let seconds = delay.as_secs_f32();
            let (worker_pid, reason) = (pid(id), ending_word(ending));
            error!(
                event = "died",
                worker_pid,
                reason,
                pause_s = delay.as_secs_f64(),
                "Worker (pid {worker_pid}) {ending}; starting another in {seconds} s.",
            );
        }
        Notice::CannotStart(id, ending, starts) => error!(
            event = "given_up",
            worker_pid = pid(id),
            reason = ending_word(ending),
            starts,
            "Worker (pid {}) {ending} before it was ready: {starts} starts in a row failed. Giving up.",
            pid(id)
        ),
        Notice::DiedStopping(id, ending) => {
            let worker_pid = pid(id);
            let reason = ending_word(ending);
            error!(
                event = "died",
                worker_pid, reason, "Worker (pid {worker_pid}) {ending} while it stopped."
            );
        }
        Notice::SuccessorFailed(id, ending, pause) => error!(
            event = "successor_failed",
            worker_pid = pid(id),
            reason = ending_word(ending),
            pause_s = pause.as_secs_f64(),
            "Worker (pid {}) {ending} before it was ready; the old one goes on. Trying again in {} s.",
            pid(id),
            pause.as_secs()
        ),
        Notice::AwaitsChange(id, ending) => error!(
            "Worker (pid {}) {ending}; waiting for the next change.",
            pid(id)
        ),
        Notice::Reloaded(took) => info!(
            event = "reloaded",
            took_s = took.as_secs_f64(),
            "Reloaded in {:.2} s.",
            took.as_secs_f32()
        ),
        Notice::StillStarting(id, time) => warn!("{}", still_starting(pid(id), time)),
        Notice::TooSlow(id, limit) => error!(
            event = "too_slow",
            worker_pid = pid(id),
            limit_s = limit.as_secs_f64(),
            "Worker (pid {}) was not ready after {} (--timeout-worker-startup); killing it.",
            pid(id),
            Age(limit)
        ),
        Notice::Stuck(id) => warn!(
            event = "stuck",
            worker_pid = pid(id),
            "Worker (pid {}) did not stop in time; killing it.",
            pid(id)
        ),
        Notice::Deaf(id) => warn!("Worker (pid {}) was not ready yet; killing it.", pid(id)),
        Notice::Recycled(recycled) => tell_recycled(&recycled, pid),
        Notice::NoRoom(id, own, room) => warn!(
            "Worker (pid {}) ends before its successor starts, and requests wait meanwhile: it has \
             {} MB, and {} MB are free. Raise the memory limit, or choose with --recycle.",
            pid(id),
            Megabytes(own),
            Megabytes(room)
        ),
        Notice::BeginsAsleep => {
            banner.running(None);
            info!("Asleep, until the first request");
        }
        Notice::Asleep(asleep) => info!(
            event = "asleep",
            age_s = asleep.age.as_secs(),
            kept = asleep.kept,
            given_back_bytes = asleep.given_back,
            "{}",
            asleep_line(&asleep)
        ),
        Notice::Awake(id, took, cause) => info!(
            event = "awake",
            worker_pid = pid(id),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            reason = cause_name(cause),
            "Awake (pid {}, {} ms, by {})",
            pid(id),
            took.as_millis(),
            cause_name(cause)
        ),
        Notice::WakeFailed(id, ending, pause) => error!(
            event = "wake_failed",
            worker_pid = pid(id),
            reason = ending_word(ending),
            pause_s = pause.as_secs_f64(),
            "Worker (pid {}) {ending}, and the application stays asleep; requests are answered with \
             503. The first one after {} s tries again.",
            pid(id),
            pause.as_secs()
        ),
        Notice::WakesLate(waited) => warn!(
            "The application is not awake after {} (--wake-timeout); requests are answered with 503 \
             until it is.",
            Age(waited)
        ),
        Notice::HeavyFromTheStart(id, own) => warn!(
            "Worker (pid {}) has {} MB when it has just started, more than --max-rss; \
             such workers are not replaced for their memory.",
            pid(id),
            Megabytes(own)
        ),
    }
}

/// `Recycled worker (pid 7 -> 9): ttl; age 6h0m, 120,331 requests, 18 connections handed over, 61.2 -> 33.0 MB, 0.42 s`
pub(super) fn recycled_line(recycled: &Recycled, pid: impl Fn(WorkerId) -> i32) -> String {
    let old = pid(recycled.old);
    let pids = match recycled.new {
        Some(new) => format!("{old} -> {}", pid(new)),
        None => old.to_string(),
    };
    let reason = reason_word(recycled.reason);
    let mut facts = vec![format!("age {}", Age(recycled.age))];
    if let Some(account) = recycled.account {
        let (requests, moved) = (Grouped(account.requests), Grouped(account.handed_over));
        facts.push(format!("{requests} requests"));
        facts.push(format!("{moved} connections handed over"));
    }
    facts.extend(match (recycled.before, recycled.after) {
        (Some(before), Some(after)) => {
            Some(format!("{} -> {} MB", Megabytes(before), Megabytes(after)))
        }
        _ => None,
    });
    facts.push(format!("{:.2} s", recycled.took.as_secs_f32()));
    format!(
        "Recycled worker (pid {pids}): {reason}; {}",
        facts.join(", ")
    )
}

/// As a line for people, and in fields.
fn tell_recycled(recycled: &Recycled, pid: impl Fn(WorkerId) -> i32) {
    let account = recycled.account;
    info!(
        event = "recycled",
        worker_pid = pid(recycled.old),
        successor_pid = recycled.new.map(&pid),
        reason = reason_word(recycled.reason),
        age_s = recycled.age.as_secs(),
        requests = account.map(|account| account.requests),
        handed_over = account.map(|account| account.handed_over),
        before_bytes = recycled.before,
        after_bytes = recycled.after,
        took_s = recycled.took.as_secs_f64(),
        "{}",
        recycled_line(recycled, &pid)
    );
}

/// How a worker ended, in a word.
fn ending_word(ending: Ending) -> &'static str {
    match ending {
        Ending::Code(_) => "exit",
        Ending::Signal(_) => "signal",
        Ending::NoMemory(_) => "oom",
    }
}

/// `Asleep (after 1h12m, 42 connections kept, 31.9 MB given back)`
fn asleep_line(asleep: &Asleep) -> String {
    let mut facts = vec![
        format!("after {}", Age(asleep.age)),
        match asleep.kept {
            1 => "1 connection kept".to_owned(),
            kept => format!("{} connections kept", Grouped(kept)),
        },
    ];
    if asleep.given_back > 0 {
        facts.push(format!("{} MB given back", Megabytes(asleep.given_back)));
    }
    format!("Asleep ({})", facts.join(", "))
}

fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Request => "a request",
        Cause::KeptConnection => "a kept connection",
        Cause::Hours => "the clock",
        Cause::Operator => "an operator",
    }
}

/// A guess at why a start takes long, from the processor's time.
fn still_starting(pid: i32, time: Duration) -> String {
    let begin = format!("Worker (pid {pid}) is not ready after {}", Age(time));
    let Some(used) = process::processor_time(pid) else {
        return format!("{begin}.");
    };
    let busy = used.as_secs_f32();
    let what = if used * WAITING < time {
        "the import of the application or its lifespan startup waits for something"
    } else {
        "it still imports the application or runs its lifespan startup"
    };
    format!("{begin}, with {busy:.1} s of the processor: {what}.")
}

/// Why, in a word.
pub(super) fn reason_word(reason: Reason) -> &'static str {
    match reason {
        Reason::Ttl => "ttl",
        Reason::MaxRequests => "max-requests",
        Reason::MaxRss => "max-rss",
        Reason::Signal => "SIGHUP",
        Reason::Change => "reload",
        Reason::Stall => "stall",
        Reason::Template => "template",
        Reason::Settings => "settings",
        Reason::Order => "order",
        Reason::Budget => "memory-budget",
    }
}

fn never_ready(pid: i32, ending: Ending) {
    match ending {
        // The worker has said why: the application cannot be loaded, or a traceback.
        Ending::Code(1 | 3) => {}
        ending => error!("Worker (pid {pid}) {ending} before it was ready."),
    }
}
