//! One JSON object a line, written straight into bytes.

use std::fmt::Display;
use std::io::Write;

/// An object under construction at the end of a buffer.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            is_empty: true,
        }
    }

    /// A string.
    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        string(self.out, value);
    }

    /// A value whose display is valid JSON: a number or a boolean.
    pub(super) fn bare(&mut self, key: &str, value: impl Display) {
        self.key(key);
        // Writing into memory does not fail.
        let _ = write!(self.out, "{value}");
    }

    pub(super) fn end(self) {
        self.out.extend_from_slice(b"}\n");
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.out.extend_from_slice(b", ");
        }
        string(self.out, key);
        self.out.extend_from_slice(b": ");
    }
}

fn string(out: &mut Vec<u8>, value: &str) {
    let start = out.len();
    // Strings always serialise, and writing into memory does not fail.
    let _ = serde_json::to_writer(&mut *out, value);
    if value.chars().any(is_obeyed) {
        escape(out, start);
    }
}

/// A control character that JSON lets stand as it is, and a terminal obeys.
fn is_obeyed(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}')
}

fn escape(out: &mut Vec<u8>, start: usize) {
    let text = out.split_off(start);
    for c in String::from_utf8_lossy(&text).chars() {
        // Writing into memory does not fail.
        let _ = match c {
            c if is_obeyed(c) => write!(out, "\\u{:04x}", u32::from(c)),
            c => write!(out, "{c}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_is_left_that_a_terminal_would_obey() {
        let mut out = Vec::new();
        string(&mut out, "\x1b[\u{9b}31m\x7f\"\u{e9}\n");
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, r#""\u001b[\u009b31m\u007f\"é\n""#);
        let read: String = serde_json::from_str(&text).unwrap();
        assert_eq!(read, "\x1b[\u{9b}31m\x7f\"\u{e9}\n");
    }
}
