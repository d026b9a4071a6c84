//! The state directory: what survives a restart.
//!
//! ```text
//! lock            held by the server that uses the directory
//! jobs/NAME.json  a job's next time and last runs
//! queue/          the tasks, which `python/lowmem_serve/jobs.py` writes, too
//! ```
//! Where runs have a user of their own, the queue's parts belong to that user, and all above them to
//! this process: what is in them is not trusted, and nothing in them is followed.
//!
//! A file is written beside its place and renamed, so that a reader never sees half of one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::sys::user::User;

/// Records of a job; older ones are dropped.
pub const MOST_RECORDS: usize = 50;

/// Tasks and results may hold what users have entered.
const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The mode of a directory on the way to another user's: that user may pass, but not list it.
const PASSAGE_MODE: u32 = 0o711;

/// The longest file that is read: tasks name data, and do not carry it.
const MOST_BYTES: u64 = 16 << 20;

/// The kept state of a job.
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
    /// The user of the runs, if it is not this process's.
    user: Option<User>,
    _lock: File,
}

impl StateDirectory {
    /// Makes the directory and locks it.
    ///
    /// # Errors
    /// Says what is wrong, and what to do.
    pub fn open(path: &Path, user: Option<&User>) -> Result<Self, String> {
        let failed = |error: io::Error| {
            format!(
                "The state directory {} cannot be written to ({error}). Jobs keep their times and \
                 results there; name another one with --state-dir.",
                path.display()
            )
        };
        let mode = user.map_or(DIRECTORY_MODE, |_| PASSAGE_MODE);
        make(path, mode).map_err(failed)?;
        make(&path.join("jobs"), DIRECTORY_MODE).map_err(failed)?;
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
            user: user.cloned(),
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of the queue, which is made with its parts.
    ///
    /// # Errors
    /// It cannot be made, or the user of the runs cannot get there.
    pub fn queue(&self, parts: &[&str]) -> io::Result<PathBuf> {
        let queue = self.path.join("queue");
        let mode = self.user.as_ref().map_or(DIRECTORY_MODE, |_| PASSAGE_MODE);
        make(&queue, mode)?;
        for part in parts {
            make(&queue.join(part), DIRECTORY_MODE)?;
            if let Some(user) = &self.user {
                user.take(&queue.join(part))?;
            }
        }
        let reached = self.user.as_ref().map(|user| (user, user.reaches(&queue)));
        if let Some((user, Err(directory))) = reached {
            return Err(io::Error::other(format!(
                "The user {} may not enter {}, and so cannot reach the queue in {}; name another \
                 directory with state-dir, or let it pass (chmod o+x).",
                user.name,
                directory.display(),
                queue.display()
            )));
        }
        Ok(queue)
    }

    /// The kept state of a job; `None` if there is no such file or it is not understood.
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

/// Writes a file in one step. It belongs to the owner of its directory.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("tmp");
    // Neither a link is followed nor a pipe waited for that another user has put there.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&beside)?;
    let directory = path.parent().map(fs::metadata).transpose()?;
    let own = file.metadata()?.uid();
    if let Some(owner) = directory.filter(|directory| directory.uid() != own) {
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(text)?;
    fs::rename(beside, path)
}

/// Reads a file that another user may have put there: a regular one, and no more than a task's.
///
/// # Errors
/// It is something else, or too long, or cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    if !file.metadata()?.is_file() {
        return wrong("it is no file");
    }
    let mut text = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return wrong("it is longer than 16 MB");
    }
    Ok(text)
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
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
        let state = StateDirectory::open(&path, None).unwrap();
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
        let refused = StateDirectory::open(&path, None).unwrap_err();
        drop(state);
        let again = StateDirectory::open(&path, None).is_ok();
        fs::remove_dir_all(&path).unwrap();
        assert!(
            refused.contains(&format!("(pid {})", std::process::id())),
            "{refused}"
        );
        assert!(again);
    }

    #[test]
    fn a_link_and_a_pipe_are_neither_followed_nor_waited_for() {
        let path = directory("links");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("other"), "kept").unwrap();
        std::os::unix::fs::symlink(path.join("other"), path.join("a.tmp")).unwrap();
        let linked = (
            replace(&path.join("a.json"), b"x"),
            read(&path.join("a.tmp")),
        );
        let pipe = rustix::fs::mknodat(
            rustix::fs::CWD,
            path.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        );
        let piped = read(&path.join("pipe"));
        let kept = fs::read_to_string(path.join("other")).unwrap();
        fs::remove_dir_all(&path).unwrap();
        assert!(linked.0.is_err() && linked.1.is_err() && pipe.is_ok() && piped.is_err());
        assert_eq!(kept, "kept");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_told_with_the_remedy() {
        let refused = StateDirectory::open(Path::new("/proc/nowhere"), None).unwrap_err();
        assert!(refused.contains("--state-dir"), "{refused}");
    }
}
