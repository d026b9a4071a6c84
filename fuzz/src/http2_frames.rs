//! A client's bytes as frames of HTTP/2: whatever they are, they mean the same however they are cut, the
//! limits hold, and what is written are frames.

use lowmem_http::server::fuzzing::http2::{Came, Connection};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const STREAMS: u32 = 5;

/// The events, with the DATA of a stream as one, and the code that ended it.
type Outcome = (Vec<Came>, Option<u32>, Vec<u8>);

/// The first byte says whether the connection has begun, and how its bytes are cut.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let input = if kind & 1 == 0 {
        [PREFACE, bytes].concat()
    } else {
        bytes.to_vec()
    };
    let whole = outcome(&input, usize::MAX, false);
    assert_eq!(whole, outcome(&input, 1 + usize::from(kind >> 2), false));
    if kind & 2 != 0 {
        outcome(&input, usize::MAX, true);
    }
}

fn outcome(input: &[u8], step: usize, answers: bool) -> Outcome {
    let mut connection = Connection::new(STREAMS);
    let (mut all, mut written) = (Vec::new(), Vec::new());
    let mut code = None;
    for piece in input.chunks(step.min(input.len()).max(1)) {
        match connection.take(piece) {
            Ok(came) => came.into_iter().for_each(|came| join(&mut all, came)),
            Err(error) => code = Some(error),
        }
        assert!(connection.streams() <= STREAMS as usize);
        if let (true, Some(Came::Request { stream, .. })) = (answers, all.last()) {
            connection.answer(*stream, &[0x88], b"hello");
        }
        written.extend(connection.written());
        if code.is_some() {
            break;
        }
    }
    check(&written);
    if code.is_some() {
        // Events before an error may be told with it or not at all.
        return (Vec::new(), code, Vec::new());
    }
    (all, code, written)
}

fn join(all: &mut Vec<Came>, came: Came) {
    if let Came::Data {
        stream,
        data,
        ended,
    } = &came
        && let Some(Came::Data {
            stream: last,
            data: before,
            ended: over,
        }) = all.last_mut()
        && last == stream
        && !*over
    {
        before.extend_from_slice(data);
        *over = *ended;
        return;
    }
    if let Came::Data {
        ended: false, data, ..
    } = &came
        && data.is_empty()
    {
        return;
    }
    all.push(came);
}

/// A server writes whole frames, none larger than a client must accept.
fn check(mut written: &[u8]) {
    while let Some(head) = written.first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert!(length <= 16_384 && head[3] <= 9, "{head:?}");
        written = written[9..].get(length..).expect("the frame is whole");
    }
    assert!(written.is_empty());
}
