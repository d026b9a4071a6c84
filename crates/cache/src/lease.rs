//! A lease: the right to compute the value of a key, in one process at a time.
//!
//! It is a locked file. The lock ends with its holder, and the file's name says which key it is for. A file that was
//! unlinked between being opened and being locked is of a lease that has ended, and is not taken.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lease {
    file: File,
    path: PathBuf,
}

impl Lease {
    /// Takes the lease with this name, or `None` if it is held. `Err` is a directory in which there can be none.
    pub(crate) fn take(directory: &Path, name: &str) -> std::io::Result<Option<Self>> {
        let path = directory.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(None);
        }
        let named = fs::metadata(&path).map(|found| found.ino());
        if named.ok() == Some(file.metadata()?.ino()) {
            Ok(Some(Self { file, path }))
        } else {
            Ok(None)
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Unlinked first: a process that opens the name from now on gets a file of its own.
        let _ = fs::remove_file(&self.path);
        // Unlocked by hand, too: a process that was forked meanwhile has a copy of the descriptor.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}
