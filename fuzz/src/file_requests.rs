//! Fields of requests for static files: `accept-encoding`, `range`, conditions, paths.

use std::path::Component;

use lowmem_http::server::fuzzing::files::{Asked, accepted, conditions, path, ranges};

/// The first two bytes are the file's length.
pub fn run(bytes: &[u8]) {
    let Some(([high, low], said)) = bytes.split_first_chunk() else {
        return;
    };
    let length = u64::from(u16::from_be_bytes([*high, *low]));
    let text = String::from_utf8_lossy(said);
    let codings = accepted(&text);
    for (place, coding) in codings.iter().enumerate() {
        assert!(!codings[..place].contains(coding));
    }
    parts(&text, length);
    parts(&format!("bytes={text}"), length);
    let _ = conditions(&text);
    if let Some(path) = path(said) {
        let stays = |part| matches!(part, Component::Normal(_));
        assert!(path.components().all(stays), "{path:?}");
    }
}

fn parts(field: &str, length: u64) {
    let Asked::Parts(parts) = ranges(field, length) else {
        return;
    };
    assert!(!parts.is_empty() && parts.len() <= 16);
    assert!(
        parts
            .iter()
            .all(|part| part.start < part.end && part.end <= length)
    );
    assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length);
}
