//! The state directory: what survives a restart.
//!
//! ```text
//! lock            held by the server that uses the directory
//! jobs/NAME.json  a job's next time and last runs
//! queue/          the tasks, which `python/lowmem_serve/jobs.py` writes, too
//! ```
//! A file is written beside its place and renamed, so that a reader never sees half of one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Record;

/// Records of a job; older ones are dropped.
pub const MOST_RECORDS: usize = 50;

/// Tasks and results may hold what users have entered.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// What is kept of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its schedule as typed: another one starts anew.
    pub schedule: String,
    /// From which the times of an interval are counted.
    pub anchor: Timestamp,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// The latest time that its clock has shown.
    pub seen: Timestamp,
    /// The number of its last run.
    pub number: u64,
    /// The run that has begun and not ended.
    pub running: Option<Begun>,
    /// Its last runs, the latest last.
    pub records: Vec<Record>,
}

/// A run that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its number.
    pub run: u64,
    /// When it was due.
    pub due: Option<Timestamp>,
    /// When it was started.
    pub started: Timestamp,
    /// Which attempt it is, from 1.
    pub attempt: u32,
}

/// The directory, as long as this process holds its lock.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Makes the directory and locks it.
    ///
    /// # Errors
    /// Says what is wrong, and what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| {
            format!(
                "The state directory {} cannot be written to ({error}). Jobs keep their times and \
                 results there; name another one with --state-dir.",
                path.display()
            )
        };
        make(path).map_err(failed)?;
        make(&path.join("jobs")).map_err(failed)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path.join("lock"))
            .map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Without it the sentence is as true.
                let _ = lock.read_to_string(&mut holder);
                return Err(format!(
                    "The state directory {} is in use by another server (pid {}). Give this one \
                     another with --state-dir.",
                    path.display(),
                    holder.trim()
                ));
            }
            Err(error) => return Err(failed(error.into())),
        }
        lock.set_len(0).map_err(failed)?;
        writeln!(lock, "{}", std::process::id()).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The directory of the queue, which is made with its parts.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn queue(&self, parts: &[&str]) -> io::Result<PathBuf> {
        let queue = self.path.join("queue");
        make(&queue)?;
        for part in parts {
            make(&queue.join(part))?;
        }
        Ok(queue)
    }

    /// What is kept of a job; nothing if there is no such file or it is not understood.
    #[must_use]
    pub fn kept(&self, job: &str) -> Option<Kept> {
        let text = fs::read(self.file(job)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// The disk is full or has become read-only.
    pub fn keep(&self, job: &str, kept: &Kept) -> io::Result<()> {
        let text = serde_json::to_vec(kept)?;
        replace(&self.file(job), &text)
    }

    fn file(&self, job: &str) -> PathBuf {
        self.path.join("jobs").join(format!("{job}.json"))
    }
}

/// Writes a file in one step.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(&beside)?;
    file.write_all(text)?;
    fs::rename(beside, path)
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("lowmem-state-{name}-{}", std::process::id()))
    }

    #[test]
    fn what_is_kept_is_there_again_and_a_second_server_is_refused() {
        let path = directory("kept");
        let state = StateDirectory::open(&path).unwrap();
        let kept = Kept {
            schedule: "every 1h".to_owned(),
            anchor: Timestamp::UNIX_EPOCH,
            next: None,
            seen: Timestamp::UNIX_EPOCH,
            number: 3,
            running: None,
            records: Vec::new(),
        };
        state.keep("a", &kept).unwrap();
        assert_eq!((state.kept("a"), state.kept("b")), (Some(kept), None));
        let refused = StateDirectory::open(&path).unwrap_err();
        drop(state);
        let again = StateDirectory::open(&path).is_ok();
        fs::remove_dir_all(&path).unwrap();
        assert!(
            refused.contains(&format!("(pid {})", std::process::id())),
            "{refused}"
        );
        assert!(again);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told_with_the_remedy() {
        let refused = StateDirectory::open(Path::new("/proc/nowhere")).unwrap_err();
        assert!(refused.contains("--state-dir"), "{refused}");
    }
}
