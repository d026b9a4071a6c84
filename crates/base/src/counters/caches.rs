//! The counts of a worker's caches on disk, by their directories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::Page;

/// Caches that are counted. An application has one or two; what is beyond these is not counted.
pub(super) const CACHES: usize = 16;

/// The longest path of a directory, in words of eight bytes.
const PATH_WORDS: usize = 32;
const WORD: usize = size_of::<u64>();

/// An entry whose path is being written. A path's length is above it.
const CLAIMED: u64 = 1;

/// One cache. Several threads may count.
#[derive(Debug)]
#[repr(C)]
pub struct CacheCounts {
    /// 0 while there is none, [`CLAIMED`], or one more than the length of the path.
    state: AtomicU64,
    path: [AtomicU64; PATH_WORDS],
    hits: AtomicU64,
    misses: AtomicU64,
    sets: AtomicU64,
}

/// The same, as a value: of one worker, or of several together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cached {
    /// Where its files are.
    pub directory: PathBuf,
    /// Reads that have found a value.
    pub hits: u64,
    /// Reads that have found none.
    pub misses: u64,
    /// Values that were stored.
    pub sets: u64,
}

impl CacheCounts {
    /// A read has found a value, or none.
    pub fn read(&self, has_hit: bool) {
        let counter = if has_hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Relaxed);
    }

    /// A value was stored.
    pub fn stored(&self) {
        self.sets.fetch_add(1, Relaxed);
    }

    /// The counts; nothing of an entry that is free, or half written.
    pub(super) fn value(&self) -> Option<Cached> {
        let length = self.state.load(Acquire).checked_sub(CLAIMED)?;
        let length = usize::try_from(length).ok().filter(|length| *length > 0)?;
        let words = self
            .path
            .iter()
            .map(|word| word.load(Relaxed).to_ne_bytes());
        let bytes: Vec<u8> = words.flatten().take(length).collect();
        Some(Cached {
            directory: PathBuf::from(OsStr::from_bytes(&bytes)),
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            sets: self.sets.load(Relaxed),
        })
    }

    /// Takes a free entry; whether it was one.
    fn claim(&self, path: &[u8]) -> bool {
        if self
            .state
            .compare_exchange(0, CLAIMED, AcqRel, Relaxed)
            .is_err()
        {
            return false;
        }
        for (word, bytes) in self.path.iter().zip(path.chunks(WORD)) {
            let mut whole = [0; WORD];
            whole[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(whole), Relaxed);
        }
        self.state.store(CLAIMED + path.len() as u64, Release);
        true
    }
}

impl Page {
    /// Where the cache in a directory is counted; nowhere once there are too many, or where its path
    /// is too long.
    ///
    /// No lock: two threads that come in the same moment may take an entry each, which are added up
    /// when they are read.
    #[must_use]
    pub fn cache(&self, directory: &Path) -> Option<&CacheCounts> {
        let path = directory.as_os_str().as_bytes();
        if path.is_empty() || path.len() > PATH_WORDS * WORD {
            return None;
        }
        let is_own = |cache: &&CacheCounts| {
            let value = cache.value();
            value.is_some_and(|value| value.directory == directory)
        };
        let mut free = self.caches.iter();
        let known = self.caches.iter().find(is_own);
        known.or_else(|| free.find(|cache| cache.claim(path)))
    }
}

impl Cached {
    /// The name of its cache.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.directory.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.directory.clone_from(&other.directory);
        self.hits += other.hits;
        self.misses += other.misses;
        self.sets += other.sets;
    }
}
