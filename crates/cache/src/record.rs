//! One record of a segment, as bytes.
//!
//! ```text
//! checksum u32 | length u32 | written u64 | expires u64 | stale u32 | key u32 | tag u16 | kind u8 | 0 | key | tag | value
//! ```
//!
//! All numbers are little-endian. The checksum is the CRC-32 of everything after it; times are microseconds since
//! 1970, `expires` 0 is never, `stale` is the number of seconds after that in which the value may still be shown
//! while another is computed.

/// The bytes before the key.
pub(crate) const HEADER: usize = 36;

/// How a value is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// MessagePack.
    Packed = 0,
    /// Python's pickle.
    Pickle = 1,
    /// Bytes as they are.
    Bytes = 2,
    /// UTF-8.
    Text = 3,
    /// A number of 64 bits, which can be incremented.
    Integer = 4,
    /// When a tag was evicted; not a value of the application's.
    TagEvicted = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Packed,
            1 => Self::Pickle,
            2 => Self::Bytes,
            3 => Self::Text,
            4 => Self::Integer,
            5 => Self::TagEvicted,
            _ => return None,
        })
    }
}

/// A record's parts, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Microseconds since 1970.
    pub written: u64,
    /// Microseconds since 1970; 0 is never.
    pub expires: u64,
    /// Seconds after that.
    pub stale: u32,
    /// How the value is encoded.
    pub kind: Kind,
    /// The key, encoded.
    pub key: &'a [u8],
    /// The tag, or nothing.
    pub tag: &'a [u8],
    /// The value, encoded.
    pub value: &'a [u8],
}

impl<'a> Record<'a> {
    /// The number of bytes that it takes in a segment.
    pub(crate) fn size(&self) -> usize {
        HEADER + self.key.len() + self.tag.len() + self.value.len()
    }

    /// Appends it to a buffer; `None` if a part is longer than its length can say.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let start = out.len();
        let length = u32::try_from(self.size()).ok()?;
        let (key, tag) = (
            u32::try_from(self.key.len()).ok()?,
            u16::try_from(self.tag.len()).ok()?,
        );
        out.reserve(self.size());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&self.written.to_le_bytes());
        out.extend_from_slice(&self.expires.to_le_bytes());
        out.extend_from_slice(&self.stale.to_le_bytes());
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&[self.kind as u8, 0]);
        out.extend_from_slice(self.key);
        out.extend_from_slice(self.tag);
        out.extend_from_slice(self.value);
        let checksum = crc32fast::hash(&out[start + 4..]);
        out[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
        Some(())
    }

    /// Takes a record apart; `None` unless every byte of it is right.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (checksum, rest) = bytes.split_first_chunk::<4>()?;
        let is_right = crc32fast::hash(rest) == u32::from_le_bytes(*checksum);
        Self::parts(bytes).filter(|_| is_right)
    }

    /// Takes a record apart whose checksum is known to be right.
    pub(crate) fn parts(bytes: &'a [u8]) -> Option<Self> {
        let (_, rest) = bytes.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*length) as usize != bytes.len() {
            return None;
        }
        let (written, rest) = rest.split_first_chunk::<8>()?;
        let (expires, rest) = rest.split_first_chunk::<8>()?;
        let (stale, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_first_chunk::<4>()?;
        let (tag, rest) = rest.split_first_chunk::<2>()?;
        let ([kind, _], rest) = rest.split_first_chunk::<2>()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key) as usize)?;
        let (tag, value) = rest.split_at_checked(u16::from_le_bytes(*tag).into())?;
        Some(Self {
            written: u64::from_le_bytes(*written),
            expires: u64::from_le_bytes(*expires),
            stale: u32::from_le_bytes(*stale),
            kind: Kind::from_byte(*kind)?,
            key,
            tag,
            value,
        })
    }

    /// Whether the value may be returned.
    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        self.expires == 0 || now < self.expires
    }

    /// Whether the value may be shown while another is computed.
    pub(crate) fn is_usable(&self, now: u64) -> bool {
        let stale = u64::from(self.stale) * 1_000_000;
        self.expires == 0 || now < self.expires.saturating_add(stale)
    }
}
