//! Reading: from a key to its record, as far as it counts.

use super::{Keep, OLDEST_PART, Store, tag_key};
use crate::index::{self, Header, Place, Slot};
use crate::lock::Wait;
use crate::record::{Kind, Record};

/// A record that was found: its bytes and where they lie.
#[derive(Debug)]
pub struct Found {
    pub(super) bytes: Vec<u8>,
    pub(super) slot: Slot,
    pub(super) at: (u32, usize),
}

impl Found {
    /// Its parts.
    pub fn record(&self) -> Option<Record<'_>> {
        Record::parts(&self.bytes)
    }
}

impl Store {
    pub(super) fn look(&mut self, key: &[u8], now: u64, stale: bool, keep: Keep) -> Option<Found> {
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
    pub(super) fn find(&mut self, header: &Header, key: &[u8]) -> Option<Found> {
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

    pub(super) fn read(&mut self, slot: Slot) -> Option<Vec<u8>> {
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
    pub(super) fn is_evicted(&mut self, header: &Header, record: &Record<'_>) -> bool {
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

    pub(super) fn is_old(&self, header: &Header, slot: Slot) -> bool {
        let most = self.settings.size / self.settings.segment();
        let age = u64::from(header.current - slot.segment);
        age + most / OLDEST_PART >= most
    }
}
