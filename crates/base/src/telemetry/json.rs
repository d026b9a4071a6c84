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
    // Strings always serialise, and writing into memory does not fail.
    let _ = serde_json::to_writer(out, value);
}
