//! The decoder as the fuzz targets see it.

use super::{Decoder, FieldList};

/// Larger than any list that a block of a fuzz target can make.
const LIMIT: usize = 1 << 24;

/// Names and values.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A connection's decoder.
#[derive(Debug, Default)]
pub struct Connection(Decoder);

impl Connection {
    /// The fields of the next block; nothing where it cannot be decoded, which ends the connection.
    pub fn decode(&mut self, block: &[u8]) -> Option<Fields> {
        let mut fields = FieldList::default();
        fields.reset(LIMIT);
        self.0.decode(block, &mut fields).ok()?;
        let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
        Some(fields.iter().map(owned).collect())
    }
}
