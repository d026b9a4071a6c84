//! The index: a header and a table of buckets in one file of fixed size.
//!
//! A key has two buckets of eight slots, and lies in either. A slot names a record by segment, offset and length, and
//! has 32 bits of the key's hash. Two keys with the same bits and a common bucket displace each other, which is a miss.
//! Slots of segments that are gone are free.

use std::fs::File;
use std::hash::Hasher;
use std::io;
use std::os::unix::fs::FileExt;

use siphasher::sip::SipHasher13;

pub(crate) const SLOTS: usize = 8;
const SLOT: usize = 16;
const BUCKET: usize = SLOTS * SLOT;
/// The header has a page of its own.
pub(crate) const HEADER_SIZE: u64 = 4096;
const HEADER: usize = 48;
const MAGIC: [u8; 8] = *b"lowmemC1";

/// The highest bit of a slot's length: its record must not be displaced.
const PINNED: u32 = 1 << 31;

/// The values that all processes share beside the slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) buckets: u32,
    /// Records are appended to this segment.
    pub(crate) current: u32,
    /// Segments before this one are gone.
    pub(crate) oldest: u32,
    /// The key of the hash.
    pub(crate) hash_key: [u64; 2],
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.buckets.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.current.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.oldest.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.hash_key[0].to_le_bytes());
        bytes[32..40].copy_from_slice(&self.hash_key[1].to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..40]);
        bytes[40..44].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER]) -> Option<Self> {
        let number = |at: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(four)
        };
        let long = |at: usize| u64::from(number(at)) | u64::from(number(at + 4)) << 32;
        let is_right = bytes[..8] == MAGIC && number(40) == crc32fast::hash(&bytes[..40]);
        let header = Self {
            buckets: number(8),
            current: number(12),
            oldest: number(16),
            hash_key: [long(24), long(32)],
        };
        (is_right && header.buckets > 0 && header.oldest <= header.current).then_some(header)
    }

    /// Reads it; `None` if it is not right.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(Self::from_bytes(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn write(self, file: &File) -> io::Result<()> {
        file.write_all_at(&self.to_bytes(), 0)
    }

    /// The size of the file.
    pub(crate) fn file_size(buckets: u32) -> u64 {
        HEADER_SIZE + u64::from(buckets) * BUCKET as u64
    }
}

/// Where a key's slots are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) buckets: [u32; 2],
    pub(crate) print: u32,
    /// The whole hash, a name for the key.
    pub(crate) hash: u64,
}

impl Place {
    pub(crate) fn of(header: &Header, key: &[u8]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(header.hash_key[0], header.hash_key[1]);
        hasher.write(key);
        let hash = hasher.finish();
        let print = (hash >> 32) as u32 | 1;
        let buckets = u64::from(header.buckets);
        let first = hash % buckets;
        // Another bucket, derived from bits of the hash that the first does not depend on alone.
        let second = (hash.rotate_left(23).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16) % buckets;
        Self {
            buckets: [first as u32, second as u32],
            print,
            hash,
        }
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    /// 0 is an empty slot.
    pub(crate) print: u32,
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    length: u32,
}

impl Slot {
    pub(crate) fn new(print: u32, segment: u32, offset: u32, length: u32, pinned: bool) -> Self {
        Self {
            print,
            segment,
            offset,
            length: length | if pinned { PINNED } else { 0 },
        }
    }

    pub(crate) fn length(self) -> usize {
        (self.length & !PINNED) as usize
    }

    pub(crate) fn is_pinned(self) -> bool {
        self.length & PINNED != 0
    }

    /// Whether it names a record that may be there.
    pub(crate) fn is_live(self, header: &Header) -> bool {
        self.print != 0 && (header.oldest..=header.current).contains(&self.segment)
    }

    fn to_bytes(self) -> [u8; SLOT] {
        let mut bytes = [0; SLOT];
        for (at, number) in [self.print, self.segment, self.offset, self.length]
            .into_iter()
            .enumerate()
        {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let number = |at: usize| {
            let mut four = [0; 4];
            four.copy_from_slice(&bytes[at * 4..at * 4 + 4]);
            u32::from_le_bytes(four)
        };
        Self {
            print: number(0),
            segment: number(1),
            offset: number(2),
            length: number(3),
        }
    }
}

/// Reads a bucket. One that the file does not reach is empty.
pub(crate) fn bucket(file: &File, number: u32) -> io::Result<[Slot; SLOTS]> {
    let mut bytes = [0; BUCKET];
    let at = HEADER_SIZE + u64::from(number) * BUCKET as u64;
    match file.read_exact_at(&mut bytes, at) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => bytes = [0; BUCKET],
        Err(error) => return Err(error),
    }
    let mut slots = [Slot::default(); SLOTS];
    for (slot, bytes) in slots.iter_mut().zip(bytes.chunks_exact(SLOT)) {
        *slot = Slot::from_bytes(bytes);
    }
    Ok(slots)
}

/// Writes one slot of a bucket.
pub(crate) fn set_slot(file: &File, bucket: u32, at: usize, slot: Slot) -> io::Result<()> {
    let offset = HEADER_SIZE + u64::from(bucket) * BUCKET as u64 + (at * SLOT) as u64;
    file.write_all_at(&slot.to_bytes(), offset)
}

/// Which slot a new record of a key takes, by (bucket of the two, slot), given both buckets; and which others name an
/// older record of the same key.
pub(crate) fn choose(
    header: &Header,
    place: &Place,
    buckets: &[[Slot; SLOTS]; 2],
) -> (usize, usize) {
    let live = |slot: &Slot| slot.is_live(header);
    let same = |slot: &&Slot| live(slot) && slot.print == place.print;
    for (which, slots) in buckets.iter().enumerate() {
        if let Some(slot) = slots.iter().find(same) {
            let at = slots.iter().position(|other| other == slot);
            return (which, at.unwrap_or(0));
        }
    }
    let used = buckets.map(|slots| slots.iter().filter(|slot| live(slot)).count());
    let emptier = usize::from(used[1] < used[0]);
    for which in [emptier, 1 - emptier] {
        if let Some(at) = buckets[which].iter().position(|slot| !live(slot)) {
            return (which, at);
        }
    }
    // All full: what would be evicted first goes now.
    let all = buckets.iter().enumerate().flat_map(|(which, slots)| {
        let slots = slots.iter().enumerate();
        slots.map(move |(at, slot)| (slot.is_pinned(), slot.segment, slot.offset, which, at))
    });
    all.min().map_or((0, 0), |(_, _, _, which, at)| (which, at))
}
