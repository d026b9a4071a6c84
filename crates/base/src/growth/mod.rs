//! The questions about the memory of a worker that was started with `--growth`, and its answers.
//!
//! The worker listens on a socket in the abstract namespace of Unix sockets, whose name has its pid:
//! nothing to clean up, nothing in a file system that may be read-only, and /proc/net/unix lists the
//! workers that can be asked. Both ends check their peer (SO_PEERCRED): a worker answers its own user and
//! root, and the client verifies that the name is held by the worker.
//!
//! One JSON object goes in each direction. Knows neither Python nor the server.

mod history;

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sys::{memory, weight};

pub use history::{History, Sample};

/// How every worker's socket is called, before its pid.
pub const NAME: &str = "lowmem-serve/growth/";

/// Most lines of each table that a worker sends.
const MOST: usize = 1_000;

/// The name of a worker's socket, after the zero byte that makes it abstract.
pub fn socket_name(pid: u32) -> String {
    format!("{NAME}{pid}")
}

/// Whether a worker answers this user.
pub fn may_ask(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// A question to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// With which look this one is compared.
    pub since: Since,
}

/// An earlier look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// The one before.
    Last,
    /// The one that the worker took itself when it was ready.
    Start,
}

/// How much of something there is: objects, and bytes.
pub type Counts = HashMap<String, (i64, i64)>;

/// Where a worker's own memory is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// All of it: the pages that the process has written to and does not share.
    pub own: i64,
    /// The objects that Python knows.
    pub python: i64,
    /// Freed memory that the C library keeps.
    pub free: i64,
}

impl Parts {
    /// This process's, whose objects take so much.
    #[must_use]
    pub fn of_this_process(python: i64) -> Self {
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        Self {
            own: weight::own(rustix::process::getpid()).map_or(0, bytes),
            python,
            free: bytes(memory::heap().free),
        }
    }

    /// The difference since `before`.
    #[must_use]
    pub fn gained(self, before: Self) -> Self {
        Self {
            own: self.own - before.own,
            python: self.python - before.python,
            free: self.free - before.free,
        }
    }

    /// The remainder, neither Python objects nor free: memory of extension modules and libraries, and pages of
    /// Python's own allocator that are partly used.
    #[must_use]
    pub fn rest(self) -> i64 {
        self.own - self.python - self.free
    }
}

/// The bytes of all types.
#[must_use]
pub fn total(types: &Counts) -> i64 {
    types.values().map(|(_, bytes)| bytes).sum()
}

/// One count of a worker's heap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// When, since the worker was ready.
    pub at: Duration,
    /// Where its memory was.
    pub parts: Parts,
    /// By type.
    pub types: Counts,
    /// By the line that allocated it, where that is traced.
    pub lines: Option<Counts>,
}

/// A worker's answer. Sizes are bytes, times are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Its pid.
    pub pid: u32,
    /// How long it has been ready.
    pub age: f64,
    /// How long ago the look was that this one is compared with.
    pub since: f64,
    /// Where its memory is.
    pub memory: Parts,
    /// The part of it that has been gained since then.
    pub gained: Parts,
    /// By type, the one that has grown most first.
    pub types: Vec<Growth>,
    /// By line; none where allocations are not traced.
    pub lines: Option<Vec<Growth>>,
    /// The memory of the process over time.
    pub history: Vec<Sample>,
    /// How long the look took, the time in which the worker served included.
    pub took: f64,
    /// The longest time in which it did not serve for it.
    pub longest_pause: f64,
}

/// The growth of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// A type, or `file:line`, and the lines that called it below.
    pub name: String,
    /// How many there are.
    pub objects: i64,
    /// Their size.
    pub bytes: i64,
    /// How many more than before.
    pub objects_grown: i64,
    /// How much more.
    pub bytes_grown: i64,
}

/// The types that `now` has more of, the most bytes first. Types that have not grown are left out.
pub fn compare(before: &Counts, now: &Counts) -> Vec<Growth> {
    let mut grown: Vec<Growth> = now
        .iter()
        .map(|(name, &(objects, bytes))| {
            let &(objects_before, bytes_before) = before.get(name).unwrap_or(&(0, 0));
            Growth {
                name: name.clone(),
                objects,
                bytes,
                objects_grown: objects - objects_before,
                bytes_grown: bytes - bytes_before,
            }
        })
        .filter(|growth| growth.bytes_grown > 0 || growth.objects_grown > 0)
        .collect();
    grown.sort_by(|a, b| {
        let most = |growth: &Growth| (growth.bytes_grown, growth.objects_grown);
        most(b).cmp(&most(a)).then_with(|| a.name.cmp(&b.name))
    });
    grown.truncate(MOST);
    grown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: &[(&str, i64, i64)]) -> Counts {
        let pairs = all.iter();
        pairs
            .map(|(name, objects, bytes)| ((*name).to_owned(), (*objects, *bytes)))
            .collect()
    }

    #[test]
    fn what_has_grown_most_comes_first_and_what_has_not_is_left_out() {
        let before = counts(&[("dict", 5, 500), ("list", 9, 900), ("gone", 1, 1)]);
        let now = counts(&[("dict", 6, 600), ("list", 8, 900), ("new", 2, 4_000)]);
        let grown = compare(&before, &now);
        let names: Vec<&str> = grown.iter().map(|growth| growth.name.as_str()).collect();
        assert_eq!(names, ["new", "dict"]);
        assert_eq!((grown[1].objects_grown, grown[1].bytes_grown), (1, 100));
        assert_eq!((grown[1].objects, grown[1].bytes), (6, 600));
    }
}
