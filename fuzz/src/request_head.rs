//! A request head: it is found at the same place however its bytes arrive, and what is accepted keeps
//! what the rest of the server relies on.

use lowmem_http::server::{BodyLength, HeadLimits, HeadScan, RequestHead, parse};

const LIMITS: HeadLimits = HeadLimits {
    size: 4096,
    target: 1024,
    fields: 32,
};

pub fn run(bytes: &[u8]) {
    let whole = HeadScan::default().advance(bytes, LIMITS);
    let mut scan = HeadScan::default();
    let mut found = Ok(None);
    for end in 1..=bytes.len() {
        found = scan.advance(&bytes[..end], LIMITS);
        if !matches!(found, Ok(None)) {
            break;
        }
    }
    let Ok(Some(range)) = whole else { return };
    // Byte by byte a limit may be noticed sooner; where the head is found, it is the same.
    if let Ok(Some(piecemeal)) = found {
        assert_eq!(piecemeal, range);
    }
    let head = &bytes[range];
    assert!(head.ends_with(b"\r\n\r\n"));
    let _ = parse(head, LIMITS, |head| check(head));
}

fn check(head: &RequestHead<'_>) {
    assert!(!head.method.is_empty() && head.method != "CONNECT");
    assert!(head.path.first() == Some(&b'/') || head.path == b"*" || head.path.is_empty());
    assert!(!head.path.contains(&b'?') && !head.path.contains(&b'#'));
    assert!(head.headers.len() <= LIMITS.fields);
    let named = |name: &str| {
        let fields = head.headers.iter();
        fields
            .filter(|field| field.name.eq_ignore_ascii_case(name))
            .count()
    };
    assert!(named("host") <= 1 && named("content-length") <= 1);
    match head.body {
        BodyLength::Chunked => assert_eq!(named("content-length"), 0),
        BodyLength::Sized(_) => assert_eq!(named("transfer-encoding"), 0),
    }
    for field in head.headers {
        assert!(!field.name.is_empty());
        assert!(
            !field
                .value
                .iter()
                .any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        );
    }
}
