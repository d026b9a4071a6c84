//! HPACK against another implementation, in both directions: what one of them writes the other reads,
//! and what both read they read alike.

use loona_hpack::decoder::DecoderError;
use lowmem_http::server::fuzzing::hpack::{Connection, Fields};

/// A first byte of 0 stands for fields that are encoded, others for blocks.
pub fn run(bytes: &[u8]) {
    match bytes.split_first() {
        Some((0, rest)) => written(rest),
        Some((_, rest)) => read(rest),
        None => {}
    }
}

/// Blocks of one connection, each behind its length in two bytes.
fn read(mut bytes: &[u8]) {
    let (mut ours, mut theirs) = (Connection::default(), loona_hpack::Decoder::new());
    theirs.set_max_allowed_table_size(4096);
    while let Some(([high, low], rest)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (block, behind) = rest.split_at(length);
        bytes = behind;
        match (ours.decode(block), theirs.decode(block)) {
            (Some(fields), Ok(theirs)) => assert_eq!(fields, theirs),
            // A block without a field is refused as a request.
            (Some(fields), Err(DecoderError::SizeUpdateAtEnd)) => {
                assert!(fields.is_empty());
                return;
            }
            // RFC 7541 section 4.2 has the table's size change before the first field; the other one takes
            // that between fields, too.
            (None, _) => return,
            (Some(_), Err(error)) => panic!("{error:?}"),
        }
    }
}

/// Fields, each behind the lengths of its name and its value.
fn written(mut bytes: &[u8]) {
    let mut fields: Fields = Vec::new();
    while let Some(([name, value], rest)) = bytes.split_first_chunk() {
        let (name, rest) = rest.split_at(usize::from(*name).min(rest.len()));
        let (value, rest) = rest.split_at(usize::from(*value).min(rest.len()));
        fields.push((name.to_vec(), value.to_vec()));
        bytes = rest;
    }
    let (mut encoder, mut ours) = (loona_hpack::Encoder::new(), Connection::default());
    // The second time its table is in use.
    for _ in 0..2 {
        let pairs = fields.iter().map(|(name, value)| (&name[..], &value[..]));
        let block = encoder.encode(pairs);
        assert_eq!(ours.decode(&block).as_ref(), Some(&fields));
    }
}
