//! The control groups of this process.

use std::path::{Path, PathBuf};

/// Where the memory groups of a process are, from its own to the root: a limit of an outer one
/// holds for what is inside. In a container the path may be the host's, and its own is the root.
pub(super) fn directories(mount: &Path, groups: &str) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let root = match controllers {
            "" => mount.to_owned(),
            names if names.split(',').any(|name| name == "memory") => mount.join("memory"),
            _ => continue,
        };
        let own = Path::new(path.trim_start_matches('/'));
        directories.extend(own.ancestors().map(|part| root.join(part)));
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_of_outer_groups_are_looked_at() {
        let paths = |groups| directories(Path::new("/g"), groups);
        let v2 = ["/g/a/b", "/g/a", "/g/"].map(PathBuf::from);
        assert_eq!(paths("0::/a/b\n"), v2);
        let v1 = ["/g/memory/a", "/g/memory/"].map(PathBuf::from);
        assert_eq!(paths("3:cpu:/x\n4:memory:/a\n"), v1);
    }
}
