//! Directories whose filesystems tell inotify nothing: they are looked through every now and then.
//!
//! Network filesystems and those of virtual machines (Docker Desktop, WSL, Vagrant) show what another
//! side has written, without an event for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::statfs;

use crate::config::{Polling, Reload};

/// Between two looks; watchfiles' figure.
const PAUSE: Duration = Duration::from_millis(300);

/// The part of the time that looking may take: a large tree is looked through less often.
const SHARE: u32 = 10;

/// Filesystems without events for what others write, by the magic numbers of `statfs(2)`.
const SILENT: [(u64, &str); 12] = [
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xfe53_4d42, "smb2"),
    (0xff53_4d42, "cifs"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x786f_4256, "vboxsf"),
    (0x7c7c_6673, "prl_fs"),
    (0xbacb_acbc, "vmhgfs"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x7375_7245, "coda"),
];

/// Files, with what a change of them changes: time, size and inode.
type Files = BTreeMap<PathBuf, (i64, i64, u64, u64)>;

/// The directories and files that are looked through.
#[derive(Debug)]
pub(super) struct Polled {
    roots: Vec<PathBuf>,
    settings: Vec<PathBuf>,
    files: Files,
    due: Instant,
}

/// A directory that has to be looked through, and the filesystem that is why; none where it was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Silent {
    pub(super) root: PathBuf,
    pub(super) filesystem: Option<&'static str>,
}

impl Polled {
    /// The present contents of the directories are no change.
    pub(super) fn of(silent: &[Silent], reload: &Reload, now: Instant) -> Self {
        let roots: Vec<_> = silent.iter().map(|silent| silent.root.clone()).collect();
        let settings = reload.settings.iter().filter(|file| {
            let parent = file.parent().unwrap_or(file);
            reload.polling == Polling::On || kind(parent).is_some()
        });
        let mut polled = Self {
            roots,
            settings: settings.cloned().collect(),
            files: Files::new(),
            due: now + PAUSE,
        };
        polled.files = polled.look(reload);
        polled
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The files that were written, made or removed since the last look, if it is time for another.
    pub(super) fn changed(&mut self, reload: &Reload, now: Instant) -> BTreeSet<PathBuf> {
        if now < self.due {
            return BTreeSet::new();
        }
        let files = self.look(reload);
        let took = now.elapsed();
        self.due = Instant::now() + PAUSE.max(took * SHARE);
        differences(&std::mem::replace(&mut self.files, files), &self.files)
    }

    fn look(&self, reload: &Reload) -> Files {
        let mut files = Files::new();
        let mut left = self.roots.clone();
        // A link may lead back up.
        let mut seen = BTreeSet::new();
        while let Some(directory) = left.pop() {
            let Ok(own) = fs::metadata(&directory) else {
                continue;
            };
            if !seen.insert((own.dev(), own.ino())) {
                continue;
            }
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            for path in entries.map(|entry| entry.path()) {
                let Ok(metadata) = fs::metadata(&path) else {
                    continue;
                };
                if metadata.is_dir() {
                    left.extend(Some(path).filter(|path| reload.enters(path)));
                } else if reload.takes(&path) {
                    files.insert(path, stamp(&metadata));
                }
            }
        }
        for file in &self.settings {
            if let Ok(metadata) = fs::metadata(file) {
                files.insert(file.clone(), stamp(&metadata));
            }
        }
        files
    }
}

fn stamp(metadata: &Metadata) -> (i64, i64, u64, u64) {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    (seconds, nanos, metadata.size(), metadata.ino())
}

fn differences(old: &Files, new: &Files) -> BTreeSet<PathBuf> {
    let changed = new
        .iter()
        .filter(|(path, stamp)| old.get(*path) != Some(stamp));
    let removed = old.keys().filter(|path| !new.contains_key(*path));
    changed
        .map(|(path, _)| path)
        .chain(removed)
        .cloned()
        .collect()
}

/// The directories that have to be looked through, the outermost ones.
pub(super) fn silent(reload: &Reload) -> Vec<Silent> {
    let asked = |root: &PathBuf| Silent {
        root: root.clone(),
        filesystem: None,
    };
    match reload.polling {
        Polling::On => return reload.directories.iter().map(asked).collect(),
        Polling::Off => return Vec::new(),
        Polling::Auto => {}
    }
    // One question for each filesystem, not for each directory.
    let mut kinds = HashMap::new();
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut left = reload.directories.clone();
    while let Some(directory) = left.pop() {
        let Ok(metadata) = fs::metadata(&directory) else {
            continue;
        };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        let filesystem = *kinds
            .entry(metadata.dev())
            .or_insert_with(|| kind(&directory));
        if filesystem.is_some() {
            found.push(Silent {
                root: directory,
                filesystem,
            });
            continue;
        }
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below = entries.map(|entry| entry.path());
        left.extend(below.filter(|path| path.is_dir() && reload.enters(path)));
    }
    found
}

/// The name of a directory's filesystem, if it is silent.
fn kind(directory: &Path) -> Option<&'static str> {
    let magic = u64::try_from(statfs(directory).ok()?.f_type).ok()? & 0xffff_ffff;
    let found = SILENT.iter().find(|(number, _)| *number == magic);
    found.map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_made_and_removed_files_differ() {
        let files = |entries: &[(&str, i64)]| -> Files {
            let stamped = entries
                .iter()
                .map(|(name, time)| ((*name).into(), (*time, 0, 1, 1)));
            stamped.collect()
        };
        let old = files(&[("same", 1), ("written", 1), ("removed", 1)]);
        let new = files(&[("same", 1), ("written", 2), ("made", 1)]);
        let differ: Vec<_> = differences(&old, &new).into_iter().collect();
        assert_eq!(differ, ["made", "removed", "written"].map(PathBuf::from));
        assert_eq!(differences(&new, &new), BTreeSet::new());
    }

    #[test]
    fn proc_is_not_among_the_silent_filesystems() {
        assert_eq!(kind(Path::new("/proc")), None);
        assert_eq!(kind(Path::new("/no/such/place")), None);
    }
}
