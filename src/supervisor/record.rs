//! Counting the events of workers.

use super::notice::{reason_word, recycled_line};
use super::pool::{Notice, WorkerId};
use crate::monitor::Tally;
use crate::sys::process::Ending;

/// Counts what a notice tells.
pub(super) fn note(tally: &Tally, notice: Notice, pid: impl Fn(WorkerId) -> i32) {
    match notice {
        Notice::Recycled(recycled) => {
            let line = recycled_line(&recycled, &pid);
            let reason = reason_word(recycled.reason);
            tally.recycled(reason, recycled.took, pid(recycled.old), line);
        }
        Notice::Died(id, ending, _)
        | Notice::NeverReady(id, ending)
        | Notice::DiedStopping(id, ending)
        | Notice::CannotStart(id, ending, _)
        | Notice::WakeFailed(id, ending, _)
        | Notice::SuccessorFailed(id, ending, _)
        | Notice::AwaitsChange(id, ending) => {
            let text = format!("Worker (pid {}) {ending}", pid(id));
            tally.crashed(how(ending), pid(id), text);
        }
        Notice::Asleep(_) => tally.mark("sleep", 0, "Asleep".to_owned()),
        Notice::Awake(id, took, _) => tally.woken(took, pid(id)),
        Notice::Running
        | Notice::BeginsAsleep
        | Notice::WakesLate(_)
        | Notice::StillStarting(..)
        | Notice::Reloaded(_)
        | Notice::TooSlow(..)
        | Notice::Stuck(_)
        | Notice::Deaf(_)
        | Notice::NoRoom(..)
        | Notice::HeavyFromTheStart(..) => {}
    }
}

/// `SIGKILL`, or `exit 1`
fn how(ending: Ending) -> String {
    match ending {
        Ending::Code(code) => format!("exit {code}"),
        Ending::NoMemory(_) => "out of memory".to_owned(),
        Ending::Signal(number) => match signal_hook::low_level::signal_name(number) {
            Some(name) => name.to_owned(),
            None => number.to_string(),
        },
    }
}
