//! A cache as one process uses it.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};

use crate::directory::{self, Files, Settings};
use crate::error::OpenError;
use crate::index::{self, Header, Place, SLOTS, Slot};
use crate::lease::Lease;
use crate::lock::{self, Wait};
use crate::record::{Kind, Record};
use crate::segments::Segments;

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

/// What came of a write.
#[derive(Debug)]
pub enum Write {
    /// It can be read.
    Stored,
    /// The record is larger than an eighth of the cache.
    TooLarge,
    /// The disk is full or cannot be written, or the lock was not free in time.
    Refused(io::Error),
}

/// What came of a write that depends on what is there.
#[derive(Debug)]
pub enum Added {
    /// The number that is stored now.
    Number(i64),
    /// A value was there, or for a number none or one that is no number; nothing has changed.
    Unchanged,
    /// As for any write.
    Written(Write),
}

/// What a cache holds and has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that can be found, the expired ones among them.
    pub entries: u64,
    /// What the disk counts of all its files.
    pub disk: u64,
    /// What it may take.
    pub size: u64,
    /// Reads of this process that found a value.
    pub hits: u64,
    /// Reads of this process that found none.
    pub misses: u64,
}

/// What a read does for the record that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Appends it again if it would be evicted soon. Needs the lock to be free.
    IfOld,
    WhereItIs,
}

/// A record that was found: its bytes and where they lie.
#[derive(Debug)]
pub struct Found {
    bytes: Vec<u8>,
    slot: Slot,
    at: (u32, usize),
}

impl Found {
    /// Its parts.
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parts(&self.bytes)
    }
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
        let Some(_guard) = take(&self.files) else {
            return Added::Written(Write::Refused(io::ErrorKind::WouldBlock.into()));
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
        let Some(_guard) = take(&self.files) else {
            return Added::Written(Write::Refused(io::ErrorKind::WouldBlock.into()));
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
        let Some(_guard) = take(&self.files) else {
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
        let _guard = take(&self.files).ok_or(io::ErrorKind::WouldBlock)?;
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

    /// What it holds. Reads the whole index.
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

    fn written(&mut self, write: impl FnOnce(&mut Self) -> io::Result<Write>) -> Write {
        match write(self) {
            Ok(written) => written,
            Err(error) => {
                // Even the file that was to be made has no directory any more.
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

    fn look(&mut self, key: &[u8], now: u64, stale: bool, keep: Keep) -> Option<Found> {
        let header = self.header().ok()?;
        self.segments.close_before(header.oldest);
        let found = self.find(&header, key)?;
        let record = found.record()?;
        let is_wanted = if stale {
            record.is_usable(now)
        } else {
            record.is_fresh(now)
        };
        if !is_wanted || record.kind == Kind::TagEvicted || self.is_evicted(&header, &record) {
            self.give_back(found);
            return None;
        }
        if keep == Keep::IfOld && self.is_old(&header, found.slot) {
            // Whether it succeeds is only a question of what is evicted later.
            let _ = self.append_bytes(&header, &found.bytes, Some(&found), Wait::Never);
        }
        Some(found)
    }

    /// The record of a key, whatever its age.
    fn find(&mut self, header: &Header, key: &[u8]) -> Option<Found> {
        let place = Place::of(header, key);
        let mut both = place.buckets.as_slice();
        if place.buckets[0] == place.buckets[1] {
            both = &both[..1];
        }
        for bucket in both {
            let slots = index::bucket(&self.files.index, *bucket).ok()?;
            for (at, slot) in slots.into_iter().enumerate() {
                if slot.print != place.print || !slot.is_live(header) {
                    continue;
                }
                let Some(bytes) = self.read(slot) else {
                    continue;
                };
                let is_right = Record::parse(&bytes).is_some_and(|record| record.key == key);
                let found = Found {
                    bytes,
                    slot,
                    at: (*bucket, at),
                };
                if is_right {
                    return Some(found);
                }
                self.give_back(found);
            }
        }
        None
    }

    fn read(&mut self, slot: Slot) -> Option<Vec<u8>> {
        let length = slot.length();
        // A broken slot must not ask for more memory than a record can have.
        if length as u64 > self.settings.largest() {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.resize(length, 0);
        match self.segments.read(slot.segment, slot.offset, &mut bytes) {
            Ok(()) => Some(bytes),
            Err(_) => {
                self.buffer = bytes;
                None
            }
        }
    }

    /// Whether the tag of a record was evicted since it was stored. A note of it that cannot be read counts as one.
    fn is_evicted(&mut self, header: &Header, record: &Record<'_>) -> bool {
        if record.tag.is_empty() {
            return false;
        }
        let key = tag_key(record.tag);
        let place = Place::of(header, &key);
        for bucket in place.buckets {
            let slots = index::bucket(&self.files.index, bucket).unwrap_or_default();
            let noted = slots
                .into_iter()
                .find(|slot| slot.print == place.print && slot.is_pinned() && slot.is_live(header));
            if let Some(slot) = noted {
                let bytes = self.read(slot);
                let note = bytes.as_deref().and_then(Record::parse);
                return note.is_none_or(|note| note.key != key || record.written <= note.written);
            }
        }
        false
    }

    fn is_old(&self, header: &Header, slot: Slot) -> bool {
        let most = self.settings.size / self.settings.segment();
        let age = u64::from(header.current - slot.segment);
        age + most / OLDEST_PART >= most
    }

    fn append(&mut self, record: &Record<'_>, in_place_of: Option<&Found>) -> io::Result<Write> {
        let mut bytes = Vec::with_capacity(record.size());
        if record.write(&mut bytes).is_none() || bytes.len() as u64 > self.settings.largest() {
            return Ok(Write::TooLarge);
        }
        for _ in 0..ATTEMPTS {
            let header = self.header()?;
            if self.append_bytes(&header, &bytes, in_place_of, Wait::Patiently)? {
                return Ok(Write::Stored);
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Appends a record and has the index name it; `false` if the segment was full or gone by then.
    fn append_bytes(
        &mut self,
        header: &Header,
        bytes: &[u8],
        in_place_of: Option<&Found>,
        wait: Wait,
    ) -> io::Result<bool> {
        let segment = header.current;
        let Some(offset) = self.appended(segment, bytes)? else {
            return Ok(false);
        };
        {
            let _guard = lock::take(&self.files.lock, wait).ok_or(io::ErrorKind::WouldBlock)?;
            let header = self.header()?;
            if segment < header.oldest {
                return Ok(false);
            }
            self.link(&header, bytes, (segment, offset), in_place_of)?;
        }
        self.rotate_if_full(segment, offset, bytes.len(), true)?;
        Ok(true)
    }

    /// The same where the lock is held already.
    fn append_locked(&mut self, record: &Record<'_>) -> io::Result<Write> {
        let mut bytes = Vec::with_capacity(record.size());
        if record.write(&mut bytes).is_none() || bytes.len() as u64 > self.settings.largest() {
            return Ok(Write::TooLarge);
        }
        for _ in 0..ATTEMPTS {
            let header = self.header()?;
            let segment = header.current;
            match self.segments.append(segment, &bytes) {
                Ok(offset) if offset < self.settings.segment() => {
                    self.link(&header, &bytes, (segment, offset as u32), None)?;
                    self.rotate_if_full(segment, offset as u32, bytes.len(), false)?;
                    return Ok(Write::Stored);
                }
                Ok(_) => self.rotate(segment)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.rotate(segment)?,
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Where the bytes lie now; nothing if they came too late for the segment.
    fn appended(&mut self, segment: u32, bytes: &[u8]) -> io::Result<Option<u32>> {
        match self.segments.append(segment, bytes) {
            Ok(offset) if offset < self.settings.segment() => Ok(Some(offset as u32)),
            Ok(_) => self.rotate_locking(segment).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.rotate_locking(segment).map(|()| None)
            }
            Err(error) => {
                // The next record begins a segment of its own, for which the oldest may make room.
                self.rotate_locking(segment)?;
                Err(error)
            }
        }
    }

    /// Has the index name a record. With `in_place_of` only if it still names that one.
    fn link(
        &self,
        header: &Header,
        bytes: &[u8],
        (segment, offset): (u32, u32),
        in_place_of: Option<&Found>,
    ) -> io::Result<()> {
        let Some(record) = Record::parts(bytes) else {
            return Ok(());
        };
        let place = Place::of(header, record.key);
        let buckets = [
            index::bucket(&self.files.index, place.buckets[0])?,
            index::bucket(&self.files.index, place.buckets[1])?,
        ];
        if in_place_of.is_some_and(|old| !buckets.iter().any(|slots| slots.contains(&old.slot))) {
            return Ok(());
        }
        let (which, at) = index::choose(header, &place, &buckets);
        let is_pinned = record.kind == Kind::TagEvicted;
        let slot = Slot::new(place.print, segment, offset, bytes.len() as u32, is_pinned);
        index::set_slot(&self.files.index, place.buckets[which], at, slot)?;
        self.forget_others(&place, &buckets, (which, at))
    }

    /// Clears what else names a record with the same bits of the hash.
    fn forget_others(
        &self,
        place: &Place,
        buckets: &[[Slot; SLOTS]; 2],
        new: (usize, usize),
    ) -> io::Result<()> {
        for (which, slots) in buckets.iter().enumerate() {
            let is_new = |at| at == new.1 && place.buckets[which] == place.buckets[new.0];
            for (at, slot) in slots.iter().enumerate() {
                if slot.print == place.print && !is_new(at) {
                    index::set_slot(&self.files.index, place.buckets[which], at, Slot::default())?;
                }
            }
        }
        Ok(())
    }

    fn rotate_if_full(
        &mut self,
        segment: u32,
        offset: u32,
        length: usize,
        locks: bool,
    ) -> io::Result<()> {
        if u64::from(offset) + (length as u64) < self.settings.segment() {
            Ok(())
        } else if locks {
            self.rotate_locking(segment)
        } else {
            self.rotate(segment)
        }
    }

    fn rotate_locking(&mut self, full: u32) -> io::Result<()> {
        let _guard = take(&self.files).ok_or(io::ErrorKind::WouldBlock)?;
        self.rotate(full)
    }

    /// Begins a segment after `full`, unless another process has, and unlinks the oldest ones until there is room.
    fn rotate(&mut self, full: u32) -> io::Result<()> {
        let mut header = self.header()?;
        if header.current != full {
            return Ok(());
        }
        let first = header.oldest;
        header.current += 1;
        let mut disk = self.disk(&header);
        while disk + self.settings.segment() > self.settings.size && header.oldest < full {
            disk = disk.saturating_sub(self.segments.disk_size(header.oldest));
            header.oldest += 1;
        }
        self.segments.create(header.current)?;
        header.write(&self.files.index)?;
        // Those that a process left behind that ended in the middle of this are among them.
        if header.oldest != first {
            for number in self.segments.numbers() {
                if number < header.oldest {
                    self.segments.remove(number);
                }
            }
        }
        Ok(())
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

fn take(files: &Files) -> Option<lock::Guard> {
    lock::take(&files.lock, Wait::Patiently)
}
