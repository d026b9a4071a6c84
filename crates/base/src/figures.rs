//! Numbers as people read them, for log lines and reports.

use std::fmt;
use std::time::Duration;

/// A long time, in its two largest units: `45s`, `12m5s`, `6h0m`, `1d2h`.
pub struct Age(pub Duration);

/// Bytes as `61.2`, in units of 1024².
pub struct Megabytes(pub u64);

/// An integer as `120,331`.
pub struct Grouped(pub u64);

/// Bytes, or a difference of them, as `512 B`, `1.5 KB`, `61.2 MB`, in units of 1024.
pub struct Bytes(pub i64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.0 {
            ..0 => "-",
            _ if f.sign_plus() => "+",
            _ => "",
        };
        let bytes = self.0.unsigned_abs();
        if bytes < 1 << 10 {
            return write!(f, "{sign}{bytes} B");
        }
        let (unit, size) = if bytes < 1 << 20 {
            ("KB", 1 << 10)
        } else {
            ("MB", 1 << 20)
        };
        write!(f, "{sign}{:.1} {unit}", bytes as f64 / f64::from(size))
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60) {
            (0, 0, 0) => write!(f, "{seconds}s"),
            (0, 0, minutes) => write!(f, "{minutes}m{}s", seconds % 60),
            (0, hours, minutes) => write!(f, "{hours}h{minutes}m"),
            (days, hours, _) => write!(f, "{days}d{hours}h"),
        }
    }
}

impl fmt::Display for Megabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}", self.0 as f64 / f64::from(1 << 20))
    }
}

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units() {
        let ages = [45, 725, 21_600, 93_784].map(|s| Age(Duration::from_secs(s)).to_string());
        assert_eq!(ages, ["45s", "12m5s", "6h0m", "1d2h"]);
    }

    #[test]
    fn bytes_have_a_unit_and_may_have_a_sign() {
        let shown = [0, 512, 1_536, -64_172_851].map(|bytes| format!("{}", Bytes(bytes)));
        assert_eq!(shown, ["0 B", "512 B", "1.5 KB", "-61.2 MB"]);
        assert_eq!(format!("{:+}", Bytes(1_536)), "+1.5 KB");
    }

    #[test]
    fn thousands_are_grouped_and_bytes_are_megabytes() {
        let grouped = [0, 999, 1_000, 120_331, 1_234_567].map(|n| Grouped(n).to_string());
        assert_eq!(grouped, ["0", "999", "1,000", "120,331", "1,234,567"]);
        assert_eq!(Megabytes(64_172_851).to_string(), "61.2");
    }
}
