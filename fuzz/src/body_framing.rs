//! A body in the chunked coding: its pieces do not matter, no byte is decoded beyond the limit, and what
//! was encoded comes back.

use lowmem_http::server::{BodyDecoder, BodyLength, BodyRefused};

const LIMIT: u64 = 1000;

/// The decoded part of `bytes` in steps of so many, the count of consumed ones, and whether that was all.
fn decode(bytes: &[u8], step: usize, room: usize) -> Result<(Vec<u8>, usize, bool), BodyRefused> {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, LIMIT)?;
    let (mut body, mut consumed) = (Vec::new(), 0);
    for end in (step..bytes.len() + step).step_by(step) {
        let end = end.min(bytes.len());
        loop {
            let before = body.len();
            let taken = decoder.decode(&bytes[consumed..end], &mut body, room)?;
            assert!(body.len() - before <= room);
            consumed += taken;
            if taken == 0 || consumed == end || decoder.is_done() {
                break;
            }
        }
    }
    Ok((body, consumed, decoder.is_done()))
}

pub fn run(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len().max(1), usize::MAX);
    assert_eq!(whole, decode(bytes, 1, usize::MAX));
    assert_eq!(whole, decode(bytes, 7, 3));
    if let Ok((body, consumed, _)) = whole {
        assert!(body.len() as u64 <= LIMIT && consumed <= bytes.len());
    }
    encoded(&bytes[..bytes.len().min(LIMIT as usize)]);
}

/// The first byte says how long the chunks are.
fn encoded(bytes: &[u8]) {
    let Some((size, body)) = bytes.split_first() else {
        return;
    };
    let mut coded = Vec::new();
    for chunk in body.chunks(usize::from(*size).max(1)) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    let length = coded.len();
    // The rest belongs to the next request.
    coded.extend_from_slice(bytes);
    assert_eq!(decode(&coded, 5, 11), Ok((body.to_vec(), length, true)));
}
