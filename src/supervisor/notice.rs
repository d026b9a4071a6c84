//! What the operator reads: the pool's notices as log lines.

use tracing::{error, info, warn};

use super::pool::Notice;
use super::workforce::Workforce;
use crate::telemetry::paint::{bold, cyan};

/// What the running line says.
#[derive(Debug)]
pub(super) struct Banner {
    /// `http://127.0.0.1:8000`, or the socket.
    pub place: String,
    /// With several workers, whose lines mix, the supervisor says its own pid.
    pub shows_parent: bool,
}

impl Banner {
    pub(super) fn running(&self) {
        let (on, quit) = (bold(&self.place), "Press CTRL+C to quit");
        info!("lowmem-serve running on {on} ({quit})");
        if self.shows_parent {
            info!("Started parent process [{}]", cyan(std::process::id()));
        }
    }

    pub(super) fn stopping(&self, signal: i32) {
        if self.shows_parent {
            let name = signal_hook::low_level::signal_name(signal).unwrap_or("a signal");
            info!("Received {name}, exiting.");
        }
    }

    pub(super) fn stopped(&self) {
        if self.shows_parent {
            info!("Stopping parent process [{}]", cyan(std::process::id()));
        }
    }
}

pub(super) fn say(notice: Notice, banner: &Banner, workforce: &Workforce<'_>) {
    let pid = |id| workforce.pid(id);
    match notice {
        Notice::Running => banner.running(),
        Notice::NeverReady(id, ending) => never_ready(pid(id), ending),
        Notice::Died(id, ending, delay) if delay.is_zero() => {
            error!("Worker (pid {}) {ending}; starting another.", pid(id));
        }
        Notice::Died(id, ending, delay) => {
            let seconds = delay.as_secs_f32();
            error!(
                "Worker (pid {}) {ending}; starting another in {seconds} s.",
                pid(id)
            );
        }
        Notice::CrashLoop(id, ending, deaths) => error!(
            "Worker (pid {}) {ending}: {deaths} in a row died soon after their start. Giving up.",
            pid(id)
        ),
        Notice::SuccessorFailed(id, ending) => {
            error!(
                "Worker (pid {}) {ending} before it was ready; the old one goes on.",
                pid(id)
            );
        }
        Notice::TooSlow(id) => error!(
            "Worker (pid {}) was not ready in time; killing it.",
            pid(id)
        ),
        Notice::Stuck(id) => warn!("Worker (pid {}) did not stop in time; killing it.", pid(id)),
        Notice::Deaf(id) => warn!("Worker (pid {}) was not ready yet; killing it.", pid(id)),
        Notice::Replaced(id) => info!("Worker (pid {}) is replaced.", pid(id)),
    }
}

fn never_ready(pid: i32, ending: crate::sys::process::Ending) {
    use crate::sys::process::Ending;
    match ending {
        // The worker has said why: the application cannot be loaded, or a traceback.
        Ending::Code(1 | 3) => {}
        ending => error!("Worker (pid {pid}) {ending} before it was ready."),
    }
}
