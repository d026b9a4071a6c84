//! Values that are more than a word: times, parts and sizes.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::MemoryBudget;

/// Nothing that Python serves with fits into less; what is smaller was meant in another unit.
const LEAST_SIZE: u64 = 1 << 20;

/// With more, a worker could be as good as always on its way out.
const MOST_JITTER: u8 = 50;

const NO_TIME: &str = "not a time like 90s, 30m, 6h or 1d2h";

/// A whole number within bounds.
pub(super) fn number<T>(
    allowed: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |text| {
        let number = text.parse().ok().filter(|number| allowed.contains(number));
        let (least, most) = (allowed.start(), allowed.end());
        number.ok_or_else(|| format!("not a whole number from {least} to {most}"))
    }
}

/// A whole number without an upper bound.
pub(super) fn at_least<T>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync,
{
    move |text| {
        let number = text.parse().ok().filter(|number| *number >= least);
        number.ok_or_else(|| format!("not a whole number, {least} or more"))
    }
}

/// Whole or decimal seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|_| "not a possible number of seconds".to_owned())
}

/// The same, more than none.
pub(super) fn some_seconds(text: &str) -> Result<Duration, String> {
    let time = seconds(text)?;
    if time.is_zero() {
        return Err("more than 0".to_owned());
    }
    Ok(time)
}

/// `90s`, `30m`, `6h`, `1d2h`: whole numbers, the larger units first; at least a second.
pub(super) fn lifetime(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("without a unit; write {text}s, {text}m or {text}h"));
    }
    let (mut total, mut rest, mut previous) = (0u64, text, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(NO_TIME)?;
        let number: u64 = rest[..digits].parse().map_err(|_| NO_TIME)?;
        let unit = match rest.as_bytes()[digits] {
            b'd' => 86_400,
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return Err(NO_TIME.to_owned()),
        };
        if unit >= previous {
            return Err(NO_TIME.to_owned());
        }
        let part = number.checked_mul(unit).ok_or(NO_TIME)?;
        total = total.checked_add(part).ok_or(NO_TIME)?;
        (rest, previous) = (&rest[digits + 1..], unit);
    }
    if total == 0 {
        let why = if text.is_empty() {
            NO_TIME
        } else {
            "at least 1s"
        };
        return Err(why.to_owned());
    }
    Ok(Duration::from_secs(total))
}

/// `10%` or `10`.
pub(super) fn jitter(text: &str) -> Result<u8, String> {
    percent(text, MOST_JITTER)
}

/// `5%` or `5`: by how much a figure may grow, at most 100 %.
pub(super) fn tolerance(text: &str) -> Result<u8, String> {
    percent(text, 100)
}

fn percent(text: &str, most: u8) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end().parse();
    match number {
        Ok(percent) if percent <= most => Ok(percent),
        _ => Err(format!("not a part between 0% and {most}%")),
    }
}

/// `300M`, `1G`, also `300MB` and `300MiB`: units of 1024, as Docker's `--memory` has them.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let number = bytes(text)?;
    if number < LEAST_SIZE {
        return Err(format!(
            "{number} bytes are less than any worker needs; a size like 300M is wanted"
        ));
    }
    Ok(number)
}

/// The same, or a part of what there is: `70%`.
pub(super) fn budget(text: &str) -> Result<MemoryBudget, String> {
    let Some(percent) = text.strip_suffix('%') else {
        let bytes = size(text).map_err(|why| format!("{why}, or a part like 70%"))?;
        return Ok(MemoryBudget::Bytes(bytes));
    };
    match percent.trim_end().parse() {
        Ok(percent @ 1..=100) => Ok(MemoryBudget::Percent(percent)),
        _ => Err("not a part between 1% and 100%".to_owned()),
    }
}

/// The same, of any size.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let no_size = || "not a size like 300M or 1G".to_owned();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| no_size())?;
    let unit = text[digits..].to_ascii_lowercase();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return Err(no_size()),
    };
    number.checked_mul(1 << shift).ok_or_else(no_size)
}

/// Permission bits in octal, with or without a leading 0.
pub(super) fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(mode),
        _ => Err("not a file mode in octal like 660".to_owned()),
    }
}

/// The longest name of processes: more of a line is not seen.
const LONGEST_PROCESS_NAME: usize = 64;

/// A name that can stand in a line of `ps`.
pub fn process_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if (1..=LONGEST_PROCESS_NAME).contains(&length) && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "not a name of 1 to {LONGEST_PROCESS_NAME} printable characters"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_decimals_and_no_sign() {
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for wrong in ["-1", "inf", "NaN", "1s", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_have_bounds_and_a_mistake_names_them() {
        assert_eq!(
            (number(0..=9u16)("9"), at_least(1usize)("70000")),
            (Ok(9), Ok(70_000))
        );
        for wrong in ["", "ten", "-1", "10", "1.5"] {
            let why = number(0..=9u16)(wrong).unwrap_err();
            assert_eq!(why, "not a whole number from 0 to 9", "{wrong}");
        }
        let why = at_least(1u64)("0").unwrap_err();
        assert_eq!(why, "not a whole number, 1 or more");
    }

    #[test]
    fn a_lifetime_without_a_unit_is_told_which_there_are() {
        assert!(lifetime("5").unwrap_err().contains("5s, 5m or 5h"));
    }

    #[test]
    fn lifetimes_are_sums_of_units() {
        for (text, expected) in [
            ("1s", 1),
            ("90s", 90),
            ("30m", 1_800),
            ("6h", 21_600),
            ("1d2h", 93_600),
            ("1h0m1s", 3_601),
        ] {
            assert_eq!(lifetime(text), Ok(Duration::from_secs(expected)), "{text}");
        }
        let wrong = [
            "", "0s", "90", "h", "1.5h", "2h1d", "1h1h", "-1s", "1w", "1é",
        ];
        for wrong in wrong
            .into_iter()
            .chain(["99999999999999999999d", "999999999999999999d"])
        {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn jitter_is_a_percentage() {
        assert_eq!(
            (jitter("10%"), jitter("0"), jitter("50 %")),
            (Ok(10), Ok(0), Ok(50))
        );
        for wrong in ["", "%", "51", "-1", "0.1"] {
            assert!(jitter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!((mode("0660"), mode("600")), (Ok(0o660), Ok(0o600)));
        for wrong in ["", "rw-", "888", "1777", "+7", "-1"] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tolerance_is_a_percentage() {
        assert_eq!((tolerance("5%"), tolerance("0")), (Ok(5), Ok(0)));
        for wrong in ["", "%", "101%", "-1", "0.1"] {
            assert!(tolerance(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_budget_is_a_size_or_a_part() {
        assert_eq!(budget("2G"), Ok(MemoryBudget::Bytes(2 << 30)));
        assert_eq!(budget("70%"), Ok(MemoryBudget::Percent(70)));
        for wrong in ["", "%", "0%", "101%", "7.5%", "-1%", "100"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_dockers() {
        for (text, expected) in [
            ("300M", 300 << 20),
            ("1g", 1 << 30),
            ("2048kb", 2 << 20),
            ("4194304", 4 << 20),
            ("5MiB", 5 << 20),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        assert_eq!((bytes("300"), bytes("64K")), (Ok(300), Ok(65_536)));
        for wrong in ["", "M", "300", "1T", "-1M", "1.5G", "99999999999G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
