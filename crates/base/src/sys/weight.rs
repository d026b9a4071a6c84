//! How much memory a process has for itself, and how much is left for another.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::groups;
use super::want::Want;

/// The memory that a process has written to and does not share, including its swapped part, in bytes.
///
/// Not the resident set, nor PSS, nor all private pages: each of them counts unwritten pages of
/// libpython and other files, which the kernel can drop, and which are shared or not depending on
/// which other processes run. With them a worker would weigh three megabytes less while its successor
/// starts (measured, hello). Swap counts, because a leak that was swapped out is still a leak.
pub fn own(process: Pid) -> Option<u64> {
    let pid = process.as_raw_nonzero();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    own_in(&rollup)
}

/// The memory of one process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// As [`own`] counts.
    pub private: u64,
    /// Its share of every page that it has: shared ones divided by the processes that map them.
    pub pss: u64,
    /// Every page that it has, however many processes share it.
    pub rss: u64,
}

/// Writes recently changed files to their disks. Until then their pages count as dirty in each process that
/// maps them: megabytes, where packages have just been installed.
pub fn settle_files() {
    rustix::fs::sync();
}

/// Weighs a process; `None` when it has ended, or belongs to another user.
pub fn weigh(process: Pid) -> Option<Weight> {
    let pid = process.as_raw_nonzero();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(Weight {
        private: own_in(&rollup)?,
        pss: field(&rollup, "Pss:")? * 1024,
        rss: field(&rollup, "Rss:")? * 1024,
    })
}

fn own_in(rollup: &str) -> Option<u64> {
    let dirty = field(rollup, "Private_Dirty:")?;
    // Without swap in the kernel there is no such line.
    let swapped = field(rollup, "SwapPss:").unwrap_or(0);
    Some((dirty + swapped) * 1024)
}

/// The memory of a process, in bytes, and how much of it is no file's: without a walk through its pages,
/// as the kernel counts along.
pub fn resident(process: Pid) -> Option<(u64, u64)> {
    let pid = process.as_raw_nonzero();
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut pages = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    let size = rustix::param::page_size() as u64;
    Some((resident * size, resident.saturating_sub(shared) * size))
}

/// The most that may be taken, in bytes: the machine's memory, or the lowest limit of a control group
/// that this process is in, of either version.
pub fn most() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = field(&machine, "MemTotal:").map(|kb| kb * 1024);
    let limit = Want::watch().limit();
    machine.into_iter().chain(limit).min().unwrap_or(u64::MAX)
}

/// For how much of the last ten seconds everything has waited for memory, in percent, in this control
/// group or on the machine; `None` where the kernel does not tell.
pub fn pressure() -> Option<f64> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let groups = groups::directories(Path::new("/sys/fs/cgroup"), &own);
    let group = groups.into_iter().map(|own| own.join("memory.pressure"));
    let mut files = group.chain([PathBuf::from("/proc/pressure/memory")]);
    files.find_map(|file| pressure_in(&fs::read_to_string(file).ok()?))
}

/// `full avg10=1.50 avg60=…`
fn pressure_in(text: &str) -> Option<f64> {
    let full = text
        .lines()
        .find_map(|line| line.strip_prefix("full avg10="))?;
    full.split_ascii_whitespace().next()?.parse().ok()
}

/// The memory that can still be allocated without swapping or being killed, in bytes: on the machine, and
/// in each control group that this process is in, of either version.
pub fn room() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let available = field(&machine, "MemAvailable:").map(|kb| kb * 1024);
    let in_groups = groups::directories(Path::new("/sys/fs/cgroup"), &own)
        .into_iter()
        .filter_map(|directory| room_in(&directory));
    available.into_iter().chain(in_groups).min()
}

/// The limit of one group less its usage, but for file pages, which are given up first.
fn room_in(directory: &Path) -> Option<u64> {
    let read = |name: &str| fs::read_to_string(directory.join(name)).ok();
    let number = |name: &str| read(name)?.trim().parse::<u64>().ok();
    // "max" in version 2 is no number; version 1 has one that no machine reaches.
    let (limit, usage, inactive) = match number("memory.max") {
        Some(limit) => (limit, number("memory.current")?, "inactive_file"),
        None => {
            let limit = number("memory.limit_in_bytes")?;
            (
                limit,
                number("memory.usage_in_bytes")?,
                "total_inactive_file",
            )
        }
    };
    let given_up = read("memory.stat").and_then(|stat| field(&stat, inactive));
    Some(limit.saturating_sub(usage.saturating_sub(given_up.unwrap_or(0))))
}

/// The number after a name at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let mut words = lines.find_map(|mut words| (words.next() == Some(name)).then_some(words))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_swapped_pages_are_ones_own() {
        let rollup = "00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss: 9000 kB\n\
            Shared_Clean: 5000 kB\nPrivate_Clean: 10 kB\nPrivate_Dirty: 200 kB\nSwapPss: 3 kB\n";
        assert_eq!(own_in(rollup), Some(203 * 1024));
        assert_eq!(own_in(""), None);
    }

    #[test]
    fn this_process_has_some_and_the_machine_too() {
        assert!(own(rustix::process::getpid()).unwrap() > 100_000);
        assert!(room().unwrap() > 1_000_000);
    }

    #[test]
    fn what_is_resident_is_told_without_a_walk() {
        let (resident, anonymous) = resident(rustix::process::getpid()).unwrap();
        assert!(resident >= anonymous && anonymous > 0);
        assert!(most() > resident);
    }

    #[test]
    fn pressure_is_the_part_in_which_everything_waits() {
        let text = "some avg10=3.00 avg60=0.00 total=1\nfull avg10=1.50 avg60=0.00 total=1\n";
        assert_eq!(pressure_in(text), Some(1.5));
        assert_eq!(pressure_in(""), None);
    }

    #[test]
    fn room_is_the_limit_less_what_must_stay() {
        let directory =
            std::env::temp_dir().join(format!("lowmem-serve-group-{}", std::process::id()));
        let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        fs::create_dir_all(&directory).unwrap();
        write("memory.limit_in_bytes", "1000\n");
        write("memory.usage_in_bytes", "800\n");
        write("memory.stat", "cache 5\ntotal_inactive_file 100\n");
        let first = room_in(&directory);
        write("memory.max", "500\n");
        write("memory.current", "600\n");
        write("memory.stat", "anon 5\ninactive_file 100\n");
        let second = room_in(&directory);
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!((first, second), (Some(300), Some(0)));
    }
}
