//! Why a cache cannot be opened.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// A directory that cannot be used as a cache.
#[derive(Debug)]
pub enum OpenError {
    /// It lies on another machine's file system, where locks and appends are not reliable.
    Network {
        /// The directory.
        directory: PathBuf,
        /// The file system's name.
        kind: &'static str,
    },
    /// Another application has made it.
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// The application that made it.
        owner: String,
    },
    /// It belongs to another user, or others may write to it.
    NotPrivate {
        /// The directory.
        directory: PathBuf,
    },
    /// The size is below the smallest.
    TooSmall {
        /// The smallest size in bytes.
        least: u64,
    },
    /// It cannot be made, read or written.
    Io {
        /// The directory.
        directory: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { directory, kind } => write!(
                f,
                "{} is on {kind}, where several processes cannot share a cache; choose a directory on a local disk",
                directory.display()
            ),
            Self::Foreign { directory, owner } => write!(
                f,
                "{} is the cache of another application ({owner}); give each application a directory of its own \
                 (--cache-dir)",
                directory.display()
            ),
            Self::NotPrivate { directory } => write!(
                f,
                "{} belongs to another user or can be written by others; a cache needs a directory of its own user \
                 with mode 0700",
                directory.display()
            ),
            Self::TooSmall { least } => {
                write!(f, "a cache has at least {} KiB", least / 1024)
            }
            Self::Io { directory, error } => {
                write!(f, "{} cannot be used: {error}", directory.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}
