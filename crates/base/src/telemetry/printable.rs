//! Text of a client, without what could forge a line.

use std::io::Write;

/// Writes a request target, percent-encoding what could forge a line or move a terminal's cursor.
pub(super) fn target(out: &mut Vec<u8>, target: &[u8]) {
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'"';
    let mut rest = target;
    while let Some(at) = rest.iter().position(|byte| !is_plain(byte)) {
        out.extend_from_slice(&rest[..at]);
        // Writing into memory does not fail.
        let _ = write!(out, "%{:02X}", rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// A request target as the lines show it.
pub fn printable(raw: &[u8]) -> String {
    let mut text = Vec::with_capacity(raw.len());
    target(&mut text, raw);
    // `target` leaves ASCII only.
    String::from_utf8(text).unwrap_or_default()
}
