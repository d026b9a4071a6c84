//! A cache as one process uses it.

mod reading;
mod writing;

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use crate::directory::{self, Files, Settings};
use crate::error::OpenError;
use crate::index::{self, Header, Place, Slot};
use crate::lease::Lease;
use crate::lock::{self, Part, Wait};
use crate::record::{Kind, Record};
use crate::segments::Segments;
use reading::Found;

/// The first byte of keys that are not the application's. MessagePack never begins with it.
const OWN_KEY: u8 = 0xC1;

/// A write finds the segment full or replaced at most so often in a row before it is given up.
const ATTEMPTS: u32 = 8;

/// A record that is read in this part of the segments, counted from the oldest, is appended again.
const OLDEST_PART: u64 = 4;

/// A buffer larger than this is given back after a read.
const KEPT_BUFFER: usize = 64 << 10;

/// One cache.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    settings: Settings,
    files: Files,
    segments: Segments,
    buffer: Vec<u8>,
    /// The index or the directory was found to be no longer what was opened.
    is_broken: Cell<bool>,
    hits: u64,
    misses: u64,
}

/// The result of a write.
#[derive(Debug)]
pub enum Write {
    /// It can be read.
    Stored,
    /// The record is larger than an eighth of the cache.
    TooLarge,
    /// The disk is full or cannot be written, or the lock was not free in time.
    Refused(io::Error),
}

/// The result of a write that depends on the stored value.
#[derive(Debug)]
pub enum Added {
    /// The number that is stored now.
    Number(i64),
    /// A value was there, or for a number none or one that is no number; nothing has changed.
    Unchanged,
    /// As for any write.
    Written(Write),
}

/// The size of a cache, and the reads of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that can be found, the expired ones among them.
    pub entries: u64,
    /// The bytes that all its files take of the disk.
    pub disk: u64,
    /// The bytes that they may take.
    pub size: u64,
    /// Reads of this process that found a value.
    pub hits: u64,
    /// Reads of this process that found none.
    pub misses: u64,
}

/// Whether a read keeps the record that it finds from being evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Appends it again if it would be evicted soon. Needs the lock to be free.
    IfOld,
    WhereItIs,
}

impl Store {
    /// Opens a cache, and makes it if there is none.
    ///
    /// # Errors
    /// The directory cannot be one; each variant says why.
    pub fn open(directory: &Path, settings: Settings) -> Result<Self, OpenError> {
        let files = directory::open(directory, &settings)?;
        Ok(Self {
            directory: directory.to_owned(),
            segments: Segments::new(directory),
            settings,
            files,
            buffer: Vec::new(),
            is_broken: Cell::new(false),
            hits: 0,
            misses: 0,
        })
    }

    /// Opens the cache in a directory with the settings that it was made with.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn open_existing(directory: &Path) -> Result<Self, OpenError> {
        let settings = directory::read_settings(directory).ok_or_else(|| OpenError::Io {
            directory: directory.to_owned(),
            error: io::ErrorKind::NotFound.into(),
        })?;
        Self::open(directory, settings)
    }

    /// Whether opening it found a broken index and emptied the cache.
    pub fn was_broken(&self) -> bool {
        self.files.was_broken
    }

    /// The newest value of a key, if it may be returned; with `stale`, also one that only may be shown while another
    /// is computed. Give the bytes back with [`Store::give_back`].
    pub fn get(&mut self, key: &[u8], now: u64, stale: bool) -> Option<Found> {
        let found = self.look(key, now, stale, Keep::IfOld);
        match found {
            Some(_) => self.hits += 1,
            None => self.misses += 1,
        }
        found
    }

    /// Keeps a buffer for the next read.
    pub fn give_back(&mut self, found: Found) {
        if found.bytes.capacity() <= KEPT_BUFFER {
            self.buffer = found.bytes;
        }
    }

    /// Stores a record in place of any other of its key.
    pub fn set(&mut self, record: &Record<'_>) -> Write {
        self.written(|store| store.append(record, None))
    }

    /// Stores a record unless its key has a value.
    pub fn add(&mut self, record: &Record<'_>) -> Added {
        let _guard = match self.lock(record.key) {
            Ok(guard) => guard,
            Err(error) => return Added::Written(Write::Refused(error)),
        };
        if let Some(found) = self.look(record.key, record.written, false, Keep::WhereItIs) {
            self.give_back(found);
            return Added::Unchanged;
        }
        Added::Written(self.written(|store| store.append_locked(record)))
    }

    /// Adds to a number. One that is there keeps its expiry and tag; one that is not begins at `default` with those
    /// of `template`.
    pub fn increment(&mut self, template: &Record<'_>, delta: i64, default: Option<i64>) -> Added {
        let _guard = match self.lock(template.key) {
            Ok(guard) => guard,
            Err(error) => return Added::Written(Write::Refused(error)),
        };
        let found = self.look(template.key, template.written, false, Keep::WhereItIs);
        let old = found.as_ref().and_then(Found::record);
        let before = match old {
            Some(record) if record.kind == Kind::Integer => record
                .value
                .first_chunk::<8>()
                .map(|value| i64::from_le_bytes(*value)),
            Some(_) => None,
            None => default,
        };
        let Some(number) = before.and_then(|before| before.checked_add(delta)) else {
            return Added::Unchanged;
        };
        let value = number.to_le_bytes();
        let new = Record {
            kind: Kind::Integer,
            value: &value,
            ..old.map_or(*template, |old| Record {
                written: template.written,
                ..old
            })
        };
        match self.written(|store| store.append_locked(&new)) {
            Write::Stored => Added::Number(number),
            other => Added::Written(other),
        }
    }

    /// Gives a value another expiry; whether there was one.
    pub fn touch(&mut self, key: &[u8], now: u64, expires: u64, stale: u32) -> bool {
        let Some(found) = self.look(key, now, false, Keep::WhereItIs) else {
            return false;
        };
        let Some(record) = found.record() else {
            return false;
        };
        let new = Record {
            expires,
            stale,
            ..record
        };
        matches!(
            self.written(|store| store.append(&new, Some(&found))),
            Write::Stored
        )
    }

    /// Removes a value; whether there was one that could be returned.
    pub fn delete(&mut self, key: &[u8], now: u64) -> bool {
        let Ok(_guard) = self.lock(key) else {
            return false;
        };
        let Some(found) = self.look(key, now, true, Keep::WhereItIs) else {
            return false;
        };
        let is_fresh = found.record().is_some_and(|record| record.is_fresh(now));
        let (bucket, at) = found.at;
        let cleared = index::set_slot(&self.files.index, bucket, at, Slot::default());
        self.give_back(found);
        is_fresh && cleared.is_ok()
    }

    /// Makes every value with this tag that was stored so far a miss.
    pub fn evict(&mut self, tag: &[u8], now: u64) -> Write {
        self.set(&Record {
            written: now,
            expires: 0,
            stale: 0,
            kind: Kind::TagEvicted,
            key: &tag_key(tag),
            tag: &[],
            value: &[],
        })
    }

    /// Removes everything.
    ///
    /// # Errors
    /// The files cannot be written, or the lock was not free in time.
    pub fn clear(&mut self) -> io::Result<()> {
        let _guard = self.lock_header()?;
        let mut header = self.header()?;
        let old = self.segments.numbers();
        header.current += 1;
        header.oldest = header.current;
        self.segments.create(header.current)?;
        header.write(&self.files.index)?;
        for number in old {
            self.segments.remove(number);
        }
        Ok(())
    }

    /// The statistics of the cache. Reads the whole index.
    pub fn stats(&mut self) -> Stats {
        let mut entries = 0;
        let mut disk = 0;
        if let Ok(header) = self.header() {
            for bucket in 0..header.buckets {
                let Ok(slots) = index::bucket(&self.files.index, bucket) else {
                    break;
                };
                let live = slots
                    .iter()
                    .filter(|slot| slot.is_live(&header) && !slot.is_pinned());
                entries += live.count() as u64;
            }
            disk = self.disk(&header);
        }
        Stats {
            entries,
            disk,
            size: self.settings.size,
            hits: self.hits,
            misses: self.misses,
        }
    }

    /// The keys whose values can be returned, in the buckets from `from` on, until there are some; and where to go
    /// on, unless that was all.
    pub fn keys(&mut self, from: u32, now: u64) -> (Vec<Vec<u8>>, Option<u32>) {
        let mut keys = Vec::new();
        let Ok(header) = self.header() else {
            return (keys, None);
        };
        for bucket in from..header.buckets {
            let slots = index::bucket(&self.files.index, bucket).unwrap_or_default();
            for slot in slots.into_iter().filter(|slot| slot.is_live(&header)) {
                let Some(bytes) = self.read(slot) else {
                    continue;
                };
                if let Some(record) = Record::parse(&bytes)
                    && record.kind != Kind::TagEvicted
                    && record.is_fresh(now)
                    && !self.is_evicted(&header, &record)
                {
                    keys.push(record.key.to_vec());
                }
            }
            if !keys.is_empty() {
                return (keys, Some(bucket + 1).filter(|next| *next < header.buckets));
            }
        }
        (keys, None)
    }

    /// Takes the lease of a key: the right to compute its value. `None` if another holds it.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn lease(&mut self, key: &[u8]) -> io::Result<Option<Lease>> {
        let header = self.header()?;
        let name = format!("{:016x}", Place::of(&header, key).hash);
        Lease::take(&directory::leases(&self.directory)?, &name)
    }

    fn header(&self) -> io::Result<Header> {
        let header = Header::read(&self.files.index)?;
        self.is_broken.set(header.is_none());
        header.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Keeps others from changing the slots of a key.
    fn lock(&self, key: &[u8]) -> io::Result<lock::Guard> {
        let place = Place::of(&self.header()?, key);
        self.lock_part(Part::Buckets(place.buckets), Wait::Patiently)
    }

    /// Keeps others from beginning and removing segments.
    fn lock_header(&self) -> io::Result<lock::Guard> {
        self.lock_part(Part::Header, Wait::Patiently)
    }

    fn lock_part(&self, part: Part, wait: Wait) -> io::Result<lock::Guard> {
        let guard = lock::take(&self.files.lock, part, wait);
        guard.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn written(&mut self, write: impl FnOnce(&mut Self) -> io::Result<Write>) -> Write {
        match write(self) {
            Ok(written) => written,
            Err(error) => {
                // A new file could not be created either: the directory is gone.
                if error.kind() == io::ErrorKind::NotFound {
                    self.is_broken.set(true);
                }
                Write::Refused(error)
            }
        }
    }

    /// Makes the files anew if the last call found them broken or gone; whether that was done.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn mend(&mut self) -> Result<bool, OpenError> {
        if !self.is_broken.replace(false) {
            return Ok(false);
        }
        self.files = directory::open(&self.directory, &self.settings)?;
        self.segments = Segments::new(&self.directory);
        Ok(true)
    }

    fn disk(&self, header: &Header) -> u64 {
        let index = std::os::unix::fs::MetadataExt::blocks;
        let index = self
            .files
            .index
            .metadata()
            .map_or(0, |found| index(&found) * 512);
        let segments = header.oldest..=header.current;
        index
            + segments
                .map(|number| self.segments.disk_size(number))
                .sum::<u64>()
    }
}

/// The key of the note that a tag was evicted.
fn tag_key(tag: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(tag.len() + 1);
    key.push(OWN_KEY);
    key.extend_from_slice(tag);
    key
}
