//! The fields of one decoded block.

use super::table::OVERHEAD;

/// Capacity in bytes that is kept for the next block.
const KEPT: usize = 16 * 1024;

/// Fields in the order sent, one behind the other in one piece of memory.
///
/// Fields beyond the limit are decoded, because the dynamic table depends on them, and dropped.
#[derive(Debug, Default, Clone)]
pub(in crate::server) struct FieldList {
    bytes: Vec<u8>,
    /// Where each field's name and value end.
    ends: Vec<(u32, u32)>,
    /// As RFC 9113 section 6.5.2 counts SETTINGS_MAX_HEADER_LIST_SIZE.
    size: usize,
    limit: usize,
}

impl FieldList {
    /// Begins with the next block, of which so many bytes are kept at most.
    pub(in crate::server) fn reset(&mut self, limit: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        self.ends.clear();
        self.size = 0;
        self.limit = limit;
    }

    /// Whether fields had to be dropped.
    pub(in crate::server) fn is_too_large(&self) -> bool {
        self.size > self.limit
    }

    /// The bytes that it takes.
    pub(in crate::server) fn weight(&self) -> usize {
        self.bytes.len() + size_of_val(self.ends.as_slice())
    }

    pub(in crate::server) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Names and values.
    pub(in crate::server) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(name, value)| {
            let field = (
                &self.bytes[start..*name as usize],
                &self.bytes[*name as usize..*value as usize],
            );
            start = *value as usize;
            field
        })
    }

    /// Where the field is written that comes next: its name, and behind it its value.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Where the next field begins.
    pub(super) fn start(&self) -> usize {
        self.ends.last().map_or(0, |(_, value)| *value as usize)
    }

    /// The field that has been written since [`Self::start`], and has a name of so many bytes.
    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[self.start()..]
    }

    /// Takes that field.
    pub(super) fn push(&mut self, name: usize) {
        let start = self.start();
        self.size = self
            .size
            .saturating_add(self.bytes.len() - start + OVERHEAD);
        if self.is_too_large() {
            self.bytes.truncate(start);
        } else {
            // A list is never larger than its limit, which is far below 4 GiB.
            self.ends
                .push(((start + name) as u32, self.bytes.len() as u32));
        }
    }
}
