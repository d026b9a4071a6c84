//! Percent-encoding (RFC 3986 section 2.1).

use std::borrow::Cow;

/// Decodes; what is no encoded byte stays as it is, as `urllib.parse.unquote` has it.
#[must_use]
pub fn decoded(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'%') {
        return Cow::Borrowed(raw);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                decoded.push(nibble(*high) << 4 | nibble(*low));
                rest = after;
            }
            _ => decoded.push(*byte),
        }
    }
    Cow::Owned(decoded)
}

/// How many bytes at the beginning of a path are a prefix, which is `/a/b` or, for everything, empty:
/// segment by segment, each decoded. Nothing where the path is not below it.
#[must_use]
pub fn prefix(path: &[u8], prefix: &str) -> Option<usize> {
    let mut rest = path;
    for wanted in prefix.split('/').skip(1) {
        let segment = rest.strip_prefix(b"/")?;
        let end = segment.iter().position(|byte| *byte == b'/');
        let end = end.unwrap_or(segment.len());
        if *decoded(&segment[..end]) != *wanted.as_bytes() {
            return None;
        }
        rest = &segment[end..];
    }
    Some(path.len() - rest.len())
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_encoded_bytes_are_decoded() {
        for (raw, expected) in [
            ("a/b", "a/b"),
            ("%41%2f%2F", "A//"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%2541", "%41"),
        ] {
            assert_eq!(&*decoded(raw.as_bytes()), expected.as_bytes(), "{raw}");
        }
    }
}
