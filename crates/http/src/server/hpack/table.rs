//! The fields that have numbers (RFC 7541 section 2.3).

use std::collections::VecDeque;

/// Appendix A, from 1 on.
pub(super) const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The size that an entry counts for besides its bytes (section 4.1).
pub(super) const OVERHEAD: usize = 32;

/// The size that a table may have unless SETTINGS_HEADER_TABLE_SIZE says otherwise, which ours
/// never does (RFC 9113 section 6.5.2).
const LIMIT: usize = 4096;

/// The fields that a client has numbered itself. Without any it takes no memory.
#[derive(Debug)]
pub(super) struct Dynamic {
    /// The newest first.
    entries: VecDeque<Entry>,
    /// As section 4.1 counts it.
    size: usize,
    /// The largest size that the client allows it.
    max: usize,
}

#[derive(Debug)]
struct Entry {
    /// Name and value.
    bytes: Box<[u8]>,
    /// Bytes of the name.
    name: u32,
}

impl Default for Dynamic {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            max: LIMIT,
        }
    }
}

impl Dynamic {
    /// Name and value of the entry with this number, counted from the newest.
    pub(super) fn get(&self, number: usize) -> Option<(&[u8], &[u8])> {
        let entry = self.entries.get(number)?;
        Some(entry.bytes.split_at(entry.name as usize))
    }

    /// Adds a field, whose name has so many bytes. One that is larger than the table empties it
    /// (section 4.4).
    pub(super) fn add(&mut self, field: &[u8], name: u32) {
        let size = field.len() + OVERHEAD;
        self.shrink_to(self.max.saturating_sub(size));
        if size <= self.max {
            self.size += size;
            self.entries.push_front(Entry {
                bytes: field.into(),
                name,
            });
        }
    }

    /// Takes a size update (section 6.3); `false` where the client may not want so much.
    #[must_use]
    pub(super) fn resize(&mut self, max: usize) -> bool {
        if max > LIMIT {
            return false;
        }
        self.max = max;
        self.shrink_to(max);
        true
    }

    fn shrink_to(&mut self, size: usize) {
        while self.size > size {
            let Some(oldest) = self.entries.pop_back() else {
                break;
            };
            self.size -= oldest.bytes.len() + OVERHEAD;
        }
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size
    }
}
