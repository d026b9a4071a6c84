//! Which precompressed sibling of a file a client takes (RFC 9110 section 12.5.3).

/// A coding, and how its files are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Zstandard,
    Gzip,
}

impl Coding {
    /// The better ones first.
    pub(super) const ALL: [Self; 3] = [Self::Brotli, Self::Zstandard, Self::Gzip];

    /// As `Content-Encoding` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstandard => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The extension that is appended to the file's name.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstandard => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// The codings that a client prefers to none at all, in its order, and in ours where it has none.
pub(super) fn accepted(field: &str) -> Vec<Coding> {
    let weight = |name: &str| {
        let listed = |wanted: &str| {
            let mut entries = field.split(',').map(entry);
            let found = entries.find(|(coding, _)| coding.eq_ignore_ascii_case(wanted));
            found.map(|(_, weight)| weight)
        };
        listed(name)
            .or_else(|| (name == "gzip").then(|| listed("x-gzip")).flatten())
            .or_else(|| listed("*"))
    };
    let mut entries = field.split(',').map(entry);
    let identity = entries.find(|(coding, _)| coding.eq_ignore_ascii_case("identity"));
    let least = identity.map_or(1, |(_, weight)| weight.max(1));
    let weighed = Coding::ALL.map(|coding| (weight(coding.name()).unwrap_or(0), coding));
    let mut accepted: Vec<_> = weighed.into_iter().filter(|(w, _)| *w >= least).collect();
    // Stable: what weighs the same stays in our order.
    accepted.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    accepted.into_iter().map(|(_, coding)| coding).collect()
}

/// A coding and its weight in thousandths.
fn entry(text: &str) -> (&str, u16) {
    let mut parts = text.split(';').map(str::trim);
    let coding = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (coding, weight.map_or(1000, thousandths))
}

/// RFC 9110 section 12.4.2: `0.xxx` or `1.000`; what is neither counts as not wanted.
fn thousandths(text: &str) -> u16 {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = decimals.len() <= 3 && decimals.bytes().all(|b| b.is_ascii_digit());
    match whole {
        "1" if are_digits => 1000,
        "0" if are_digits => format!("{decimals:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(field: &str) -> Vec<&'static str> {
        accepted(field).into_iter().map(Coding::name).collect()
    }

    #[test]
    fn weights_decide_and_then_our_order() {
        for (field, expected) in [
            ("gzip, deflate, br, zstd", vec!["br", "zstd", "gzip"]),
            ("gzip", vec!["gzip"]),
            ("x-gzip", vec!["gzip"]),
            ("GZIP;q=1.0, br;q=0.5", vec!["gzip", "br"]),
            ("br;q=0, *", vec!["zstd", "gzip"]),
            ("*;q=0.1", vec!["br", "zstd", "gzip"]),
            ("gzip;q=0.001", vec!["gzip"]),
            ("identity, gzip;q=0.5", vec![]),
            ("identity;q=0.5, gzip", vec!["gzip"]),
            ("identity;q=0, gzip;q=0", vec![]),
            ("gzip;q=2, br;q=x, zstd;q=0.1234", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(names(field), expected, "{field}");
        }
    }
}
