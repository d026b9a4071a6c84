//! Whether the kernel has killed for want of memory.

use std::fs;
use std::path::{Path, PathBuf};

use super::groups;

/// A limit that no machine reaches: version 1 of control groups has one where none was set.
const NO_LIMIT: u64 = 1 << 60;

/// Counts what the kernel has killed in this process's control groups, of either version.
#[derive(Debug)]
pub struct Want {
    directories: Vec<PathBuf>,
    kills: u64,
}

impl Want {
    /// From now on.
    #[must_use]
    pub fn watch() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(groups::directories(Path::new("/sys/fs/cgroup"), &own))
    }

    fn of(directories: Vec<PathBuf>) -> Self {
        let kills = kills_in(&directories);
        Self { directories, kills }
    }

    /// Whether it has killed since the last look.
    pub fn has_killed(&mut self) -> bool {
        let kills = kills_in(&self.directories);
        std::mem::replace(&mut self.kills, kills) < kills
    }

    /// The lowest limit, in bytes; none where only the machine's memory is one.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        let limits = self.directories.iter().filter_map(|directory| {
            let number = |name| {
                fs::read_to_string(directory.join(name))
                    .ok()?
                    .trim()
                    .parse()
                    .ok()
            };
            number("memory.max").or_else(|| number("memory.limit_in_bytes"))
        });
        limits.filter(|limit| *limit < NO_LIMIT).min()
    }
}

/// The count of the first group that has one: version 2 counts what is inside, too, and in version 1
/// workers are in their supervisor's own group.
fn kills_in(directories: &[PathBuf]) -> u64 {
    let count = |directory: &PathBuf| {
        let read = |name| fs::read_to_string(directory.join(name)).ok();
        let text = read("memory.events").or_else(|| read("memory.oom_control"))?;
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    };
    directories.iter().find_map(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_noticed_once_with_the_lowest_limit() {
        let outer = std::env::temp_dir().join(format!("lowmem-serve-want-{}", std::process::id()));
        let inner = outer.join("a");
        fs::create_dir_all(&inner).unwrap();
        let write = |path: &Path, name, text| fs::write(path.join(name), text).unwrap();
        write(&inner, "memory.events", "low 0\noom 1\noom_kill 3\n");
        write(&inner, "memory.max", "max\n");
        write(&outer, "memory.max", "67108864\n");
        let mut want = Want::of(vec![inner.clone(), outer.clone()]);
        let before = want.has_killed();
        write(&inner, "memory.events", "low 0\noom 2\noom_kill 4\n");
        let after = [want.has_killed(), want.has_killed()];
        let limit = want.limit();
        fs::remove_dir_all(&outer).unwrap();
        assert_eq!(
            (before, after, limit),
            (false, [true, false], Some(64 << 20))
        );
    }

    #[test]
    fn version_1_has_other_names() {
        let group = std::env::temp_dir().join(format!("lowmem-serve-want1-{}", std::process::id()));
        fs::create_dir_all(&group).unwrap();
        let write = |name, text| fs::write(group.join(name), text).unwrap();
        write(
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
        );
        write("memory.limit_in_bytes", "9223372036854771712\n");
        let mut want = Want::of(vec![group.clone()]);
        write(
            "memory.oom_control",
            "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
        );
        let killed = want.has_killed();
        let limit = want.limit();
        fs::remove_dir_all(&group).unwrap();
        assert_eq!((killed, limit), (true, None));
    }
}
