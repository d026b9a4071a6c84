//! A WebSocket client's bytes: their pieces do not matter, messages keep to the limit, texts are UTF-8,
//! and what was framed comes back.

use lowmem_http::server::Data;
use lowmem_http::server::fuzzing::websocket::{Said, extensions, message, read};

const MAX_SIZE: usize = 4096;

/// The first byte says whether messages may be compressed, and how the bytes are cut.
pub fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else {
        return;
    };
    let deflate = kind & 1 != 0;
    let whole = read(bytes, usize::MAX, MAX_SIZE, deflate);
    let pieces = read(bytes, 1 + usize::from(kind >> 1), MAX_SIZE, deflate);
    assert_eq!(whole.0, pieces.0);
    assert_eq!(whole.1.is_some(), pieces.1.is_some());
    for said in &whole.0 {
        check(said);
    }
    framed(bytes, *kind);
    if let Some(Some(answer)) = extensions(bytes) {
        // An answer is no offer that would be answered otherwise.
        assert!(answer.starts_with("permessage-deflate; "));
        assert!(matches!(extensions(answer.as_bytes()), Some(Some(_))));
    }
}

fn check(said: &Said) {
    match said {
        Said::Message(Data::Text(text)) => {
            assert!(text.len() <= MAX_SIZE && std::str::from_utf8(text).is_ok());
        }
        Said::Message(Data::Binary(bytes)) => assert!(bytes.len() <= MAX_SIZE),
        Said::Ping(payload) | Said::Pong(payload) => assert!(payload.len() <= 125),
        Said::Close(code, reason) => {
            assert!(*code == 1005 || (1000..5000).contains(code));
            assert!(reason.len() <= 123);
        }
    }
}

fn framed(payload: &[u8], kind: u8) {
    let payload = &payload[..payload.len().min(MAX_SIZE)];
    let frame = message(payload, false, [kind, 0x5a, !kind, 7]);
    let (said, code) = read(&frame, 1 + usize::from(kind), MAX_SIZE, false);
    assert_eq!(code, None);
    assert_eq!(said, [Said::Message(Data::Binary(payload.to_vec()))]);
}
