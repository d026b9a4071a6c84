//! Writing: a record is appended, then the index names it; the oldest segment makes room.

use std::io;

use super::reading::Found;
use super::{ATTEMPTS, Store, Write};
use crate::index::{self, Header, Place, SLOTS, Slot};
use crate::lock::{Part, Wait};
use crate::record::{Kind, Record};

impl Store {
    pub(super) fn append(
        &mut self,
        record: &Record<'_>,
        in_place_of: Option<&Found>,
    ) -> io::Result<Write> {
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
    pub(super) fn append_bytes(
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
        let Some(record) = Record::parts(bytes) else {
            return Ok(true);
        };
        let place = Place::of(header, record.key);
        let slot = slot_of(&record, &place, (segment, offset));
        {
            let _guard = self.lock_part(Part::Buckets(place.buckets), wait)?;
            let header = self.header()?;
            if segment < header.oldest {
                return Ok(false);
            }
            self.link(&header, &place, slot, in_place_of)?;
        }
        self.rotate_if_full(segment, offset, bytes.len())?;
        Ok(true)
    }

    /// The same where the lock of the key is held already.
    pub(super) fn append_locked(&mut self, record: &Record<'_>) -> io::Result<Write> {
        let mut bytes = Vec::with_capacity(record.size());
        if record.write(&mut bytes).is_none() || bytes.len() as u64 > self.settings.largest() {
            return Ok(Write::TooLarge);
        }
        for _ in 0..ATTEMPTS {
            let header = self.header()?;
            let segment = header.current;
            match self.segments.append(segment, &bytes) {
                Ok(offset) if offset < self.settings.segment() => {
                    let place = Place::of(&header, record.key);
                    let slot = slot_of(record, &place, (segment, offset as u32));
                    self.link(&header, &place, slot, None)?;
                    self.rotate_if_full(segment, offset as u32, bytes.len())?;
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
            Ok(_) => self.rotate(segment).map(|()| None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.rotate(segment).map(|()| None)
            }
            Err(error) => {
                // The next record begins a segment of its own, for which the oldest may make room.
                self.rotate(segment)?;
                Err(error)
            }
        }
    }

    /// Lets the index name a record. With `in_place_of` only if it still names that one.
    fn link(
        &self,
        header: &Header,
        place: &Place,
        slot: Slot,
        in_place_of: Option<&Found>,
    ) -> io::Result<()> {
        let buckets = [
            index::bucket(&self.files.index, place.buckets[0])?,
            index::bucket(&self.files.index, place.buckets[1])?,
        ];
        if in_place_of.is_some_and(|old| !buckets.iter().any(|slots| slots.contains(&old.slot))) {
            return Ok(());
        }
        let (which, at) = index::choose(header, place, &buckets);
        index::set_slot(&self.files.index, place.buckets[which], at, slot)?;
        self.forget_others(place, &buckets, (which, at))
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

    fn rotate_if_full(&mut self, segment: u32, offset: u32, length: usize) -> io::Result<()> {
        if u64::from(offset) + (length as u64) < self.settings.segment() {
            return Ok(());
        }
        self.rotate(segment)
    }

    /// Begins a segment after `full`, unless another process has, and unlinks the oldest ones until there is room.
    pub(super) fn rotate(&mut self, full: u32) -> io::Result<()> {
        let _guard = self.lock_header()?;
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
}

/// The slot that names a record.
fn slot_of(record: &Record<'_>, place: &Place, (segment, offset): (u32, u32)) -> Slot {
    let is_pinned = record.kind == Kind::TagEvicted;
    Slot::new(
        place.print,
        segment,
        offset,
        record.size() as u32,
        is_pinned,
    )
}
