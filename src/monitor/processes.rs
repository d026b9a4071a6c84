//! The figures of a process in /proc.

use std::fs;

/// A process' own figures.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Seconds of processor time, its own and the kernel's for it.
    pub cpu: f64,
    /// Bytes of its address space.
    pub virtual_memory: u64,
    /// Bytes of it that are in memory, shared ones among them.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// The most that it may have open.
    pub most_descriptors: Option<u64>,
    /// When it began, in seconds since 1970.
    pub began: f64,
    /// Its threads.
    pub threads: u64,
}

/// The kernel's clock, as its figures of processes need it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// When the machine began, in seconds since 1970.
    boot: f64,
    /// Ticks in a second.
    ticks: f64,
}

impl Process {
    /// Reads them; `None` for one that is gone.
    pub fn read(pid: i32, clock: Clock) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut process = Self::parse(&stat, clock)?;
        process.descriptors = descriptors(pid);
        process.most_descriptors = most_descriptors(pid);
        Some(process)
    }

    fn parse(stat: &str, clock: Clock) -> Option<Self> {
        // The name may have any character; the fields that count follow its last bracket.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        // proc_pid_stat(5), from its third field.
        let page = rustix::param::page_size() as u64;
        Some(Self {
            cpu: (number(11)? + number(12)?) as f64 / clock.ticks,
            threads: number(17)?,
            began: clock.boot + number(19)? as f64 / clock.ticks,
            virtual_memory: number(20)?,
            resident: number(21)? * page,
            descriptors: None,
            most_descriptors: None,
        })
    }
}

impl Clock {
    /// Reads it: once for all processes, as the kernel adds up every interrupt for it.
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
        let boot = line.and_then(|time| time.trim().parse().ok());
        Self {
            boot: boot.unwrap_or_default(),
            ticks: rustix::param::clock_ticks_per_second() as f64,
        }
    }
}

/// Open descriptors: the size of their directory since Linux 6.2, before that the number of its entries.
fn descriptors(pid: i32) -> Option<u64> {
    let directory = format!("/proc/{pid}/fd");
    match fs::metadata(&directory).ok()?.len() {
        0 => Some(fs::read_dir(directory).ok()?.count() as u64),
        count => Some(count),
    }
}

fn most_descriptors(pid: i32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_whatever_the_process_is_called() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 10 0 0 0 150 50 0 0 20 0 3 0 400 1000000 20 18446744073709551615 0";
        let clock = Clock {
            boot: 1_000.0,
            ticks: 100.0,
        };
        let process = Process::parse(stat, clock).unwrap();
        let page = rustix::param::page_size() as u64;
        assert_eq!((process.cpu, process.threads), (2.0, 3));
        assert_eq!(
            (process.began, process.virtual_memory),
            (1_004.0, 1_000_000)
        );
        assert_eq!(process.resident, 20 * page);
    }

    #[test]
    fn this_process_has_all_of_them() {
        let own = Process::read(std::process::id().cast_signed(), Clock::read()).unwrap();
        assert!(own.descriptors.unwrap() > 2 && own.most_descriptors.unwrap() > 2);
        assert!(own.resident > 100_000 && own.began > 1e9);
    }
}
