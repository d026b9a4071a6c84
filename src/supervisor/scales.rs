//! The server's weight: the supervisor and everything below it.
//!
//! PSS needs a walk through a process's pages, which takes the kernel a millisecond for each 30 MB. What is
//! resident is counted along, so a process is weighed anew only if that has changed, if a process has come
//! or gone, which changes how pages are shared, or if the last time is long ago.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use crate::sys::process;
use crate::sys::weight::{self, Weight};

/// After so long a process is weighed anew, though nothing seems to have changed: written pages of a
/// template were resident before.
const STALE: Duration = Duration::from_secs(10);

/// All are not weighed more often than this. In between, only what is new is.
const WHOLE: Duration = Duration::from_millis(900);

/// Less of a change is not worth a walk.
const CHANGE: u64 = 256 << 10;

/// Processes as they were weighed last.
#[derive(Debug, Default)]
pub(super) struct Scales {
    known: BTreeMap<i32, Reading>,
    /// Processes have come or gone since all were weighed.
    has_changed: bool,
    whole: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// The supervisor's child that it is, or descends from.
    top: i32,
    resident: u64,
    weight: Weight,
    at: Instant,
}

impl Scales {
    /// Weighs a process and all below it.
    pub(super) fn weigh(&mut self, root: Pid, now: Instant) {
        let tree = tree(root);
        let is_same = tree.len() == self.known.len()
            && tree
                .iter()
                .all(|(pid, _)| self.known.contains_key(&number(*pid)));
        self.has_changed |= !is_same;
        let is_whole = self.has_changed && self.whole.is_none_or(|at| now - at >= WHOLE);
        if is_whole {
            (self.has_changed, self.whole) = (false, Some(now));
        }
        let before = std::mem::take(&mut self.known);
        for (pid, top) in tree {
            let Some((resident, anonymous)) = weight::resident(pid) else {
                continue;
            };
            let known = before.get(&number(pid)).filter(|known| {
                !is_whole && known.resident.abs_diff(resident) < CHANGE && now - known.at < STALE
            });
            let reading = known.copied().unwrap_or_else(|| Reading {
                top,
                resident,
                // A process of another user may be weighed by the privileged only.
                weight: weight::weigh(pid).unwrap_or(Weight {
                    private: anonymous,
                    pss: anonymous,
                    rss: resident,
                }),
                at: now,
            });
            self.known.insert(number(pid), reading);
        }
    }

    /// PSS of everything.
    pub(super) fn used(&self) -> u64 {
        self.known.values().map(|own| own.weight.pss).sum()
    }

    /// The memory that these processes, and those below them, have written to.
    pub(super) fn private(&self, tops: &[i32]) -> u64 {
        let own = self.known.values().filter(|own| tops.contains(&own.top));
        own.map(|own| own.weight.private).sum()
    }
}

/// A process and all below it, each with the child of the first that it belongs to.
fn tree(root: Pid) -> Vec<(Pid, i32)> {
    let mut tree = vec![(root, number(root))];
    let mut at = 0;
    while let Some(&(pid, top)) = tree.get(at) {
        at += 1;
        let children = process::children(pid).into_iter();
        let top_of = |child| if pid == root { number(child) } else { top };
        tree.extend(children.map(|child| (child, top_of(child))));
    }
    tree
}

fn number(pid: Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_weighed_once_while_nothing_changes() {
        let (mut scales, now) = (Scales::default(), Instant::now());
        let own = rustix::process::getpid();
        scales.weigh(own, now);
        let used = scales.used();
        assert!(used > 0 && scales.private(&[number(own)]) <= used);
        scales.weigh(own, now + STALE);
        assert!(scales.known[&number(own)].at > now);
    }
}
