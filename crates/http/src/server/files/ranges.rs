//! The `Range` field (RFC 9110 section 14).

use std::ops::Range;

/// Beyond so many ranges a request is an attack or a mistake, and gets the whole.
const MAX_PARTS: usize = 16;

/// The requested part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ranges {
    /// All of it: nothing was asked for, or nothing that is understood.
    Whole,
    /// These bytes of it, at least one range, none of them empty.
    Parts(Vec<Range<u64>>),
    /// Nothing that it has.
    Unsatisfiable,
}

impl Ranges {
    /// Reads the field for a file with `length` bytes.
    pub(super) fn parse(field: &str, length: u64) -> Self {
        let Some((unit, set)) = field.split_once('=') else {
            return Self::Whole;
        };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let mut parts = Vec::new();
        let mut asked = 0;
        for spec in set.split(',').map(str::trim).filter(|s| !s.is_empty()) {
            asked += 1;
            match part(spec, length) {
                None => return Self::Whole,
                Some(part) if part.is_empty() => {}
                Some(part) => parts.push(part),
            }
        }
        let total = parts
            .iter()
            .fold(0u64, |sum, part| sum.saturating_add(part.end - part.start));
        match (asked, parts.is_empty()) {
            (0, _) => Self::Whole,
            (_, true) => Self::Unsatisfiable,
            // RFC 9110 section 14.2: many small or overlapping ranges may be ignored.
            _ if asked > MAX_PARTS || total > length => Self::Whole,
            _ => Self::Parts(parts),
        }
    }
}

/// One range; an empty one where the file has nothing of it, none where it makes no sense.
fn part(spec: &str, length: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let count = number(last)?;
        return Some(length.saturating_sub(count)..length);
    }
    let first = number(first)?;
    let end = match last {
        "" => length,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(length)
        }
    };
    Some(first.min(end)..end)
}

/// `1*DIGIT`; more than fits is more than any file has.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(field: &str) -> Option<Vec<(u64, u64)>> {
        match Ranges::parse(field, 100) {
            Ranges::Parts(parts) => Some(parts.iter().map(|p| (p.start, p.end)).collect()),
            _ => None,
        }
    }

    #[test]
    fn ranges_are_cut_to_what_there_is() {
        for (field, expected) in [
            ("bytes=0-0", vec![(0, 1)]),
            ("bytes=10-19", vec![(10, 20)]),
            ("bytes=90-", vec![(90, 100)]),
            ("bytes=90-1000", vec![(90, 100)]),
            ("bytes=-5", vec![(95, 100)]),
            ("bytes=-500", vec![(0, 100)]),
            ("Bytes = 1-2 , 4-5", vec![(1, 3), (4, 6)]),
            ("bytes=0-1,200-300", vec![(0, 2)]),
            ("bytes=0-99999999999999999999999", vec![(0, 100)]),
        ] {
            assert_eq!(parts(field), Some(expected), "{field}");
        }
    }

    #[test]
    fn what_the_file_does_not_have_is_unsatisfiable() {
        for field in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=200-,300-"] {
            assert_eq!(Ranges::parse(field, 100), Ranges::Unsatisfiable, "{field}");
        }
        assert_eq!(Ranges::parse("bytes=0-", 0), Ranges::Unsatisfiable);
    }

    #[test]
    fn what_is_not_understood_or_too_much_is_ignored() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "lines=1-2",
            "bytes=a-b",
            "bytes=5",
            "bytes=5-4",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=0-99,0-99",
            "bytes=0-,1-",
        ] {
            assert_eq!(Ranges::parse(field, 100), Ranges::Whole, "{field}");
        }
        let many = format!("bytes={}", "1-1,".repeat(17));
        assert_eq!(Ranges::parse(&many, 100), Ranges::Whole);
    }
}
