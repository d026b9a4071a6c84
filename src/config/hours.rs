//! `--awake`: hours of the week in which an application should be awake.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The hours, and the time zone whose clock they are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    spans: Vec<Span>,
    zone: String,
}

/// The same hours of several days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes since midnight; the end may be on the next day.
    from: i64,
    until: i64,
}

const DAY: i64 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const ALL_DAYS: u8 = 0x7f;

impl Hours {
    /// Reads `Mon-Fri 07:00-19:00, Sat 9:00-12:00`, or `22:00-06:00` for every day.
    ///
    /// # Errors
    /// The fault in the text or in the zone.
    pub fn parse(text: &str, zone: &str) -> Result<Self, String> {
        TimeZone::get(zone).map_err(|_| {
            format!("there is no time zone {zone:?}; write one like Europe/Berlin or UTC")
        })?;
        let spans = text.split(',').map(|span| Span::parse(span.trim()));
        Ok(Self {
            spans: spans.collect::<Result<_, _>>()?,
            zone: zone.to_owned(),
        })
    }

    /// Whether this is such a time, and when that may change.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> (bool, Option<Timestamp>) {
        // It was there when it was read.
        let zone = TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC);
        let today = zone.to_datetime(now).date();
        let mut is_awake = false;
        let mut next: Option<Timestamp> = None;
        // A span begins at most a week from now, and may have begun yesterday.
        for offset in -1..=7 {
            let Ok(date) = today.checked_add(offset.days()) else {
                continue;
            };
            let spans = self.spans.iter().filter(|span| span.has(date.weekday()));
            for (from, until) in spans.filter_map(|span| span.on(date, &zone)) {
                is_awake |= from <= now && now < until;
                for change in [from, until] {
                    if change > now {
                        next = Some(next.map_or(change, |next| next.min(change)));
                    }
                }
            }
        }
        (is_awake, next)
    }
}

impl Span {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not hours like Mon-Fri 07:00-19:00");
        let (days, hours) = match text.rsplit_once(char::is_whitespace) {
            Some((days, hours)) => (parse_days(days.trim()).ok_or_else(wrong)?, hours),
            None => (ALL_DAYS, text),
        };
        let (from, until) = hours.split_once('-').ok_or_else(wrong)?;
        let from = parse_minutes(from).ok_or_else(wrong)?;
        let until = parse_minutes(until).ok_or_else(wrong)?;
        if from == until || from == DAY {
            return Err(format!(
                "{text:?} is no time at all; a whole day is 00:00-24:00"
            ));
        }
        let until = if until < from { until + DAY } else { until };
        Ok(Self { days, from, until })
    }

    fn has(self, day: Weekday) -> bool {
        self.days & (1 << day.to_monday_zero_offset()) != 0
    }

    /// From when until when it is on this day. A time that a clock skips is that of after the gap.
    fn on(self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let midnight = DateTime::from_parts(date, jiff::civil::Time::midnight());
        let at = |minutes: i64| {
            let civil = midnight.checked_add(minutes.minutes()).ok()?;
            zone.to_ambiguous_timestamp(civil).compatible().ok()
        };
        Some((at(self.from)?, at(self.until)?))
    }
}

/// `Mon`, `Mon-Fri`, also over the end of a week.
fn parse_days(text: &str) -> Option<u8> {
    let number = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        DAYS.iter().position(|day| *day == name)
    };
    let Some((first, last)) = text.split_once('-') else {
        return Some(1 << number(text)?);
    };
    let (first, last) = (number(first)?, number(last)?);
    let count = (last + 7 - first) % 7 + 1;
    Some((0..count).fold(0, |days, day| days | 1 << ((first + day) % 7)))
}

fn parse_minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let is_number =
        |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(hours) || minutes.len() != 2 || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: &str, zone: &str, now: &str) -> (bool, String) {
        let hours = Hours::parse(hours, zone).unwrap();
        let (is_awake, next) = hours.at(now.parse().unwrap());
        (is_awake, next.unwrap().to_string())
    }

    #[test]
    fn on_a_working_day_it_is_awake_by_the_clock_of_its_zone() {
        let hours = "Mon-Fri 07:00-19:00";
        // 2026-11-27 is a Friday; Berlin is an hour ahead.
        for (now, expected, next) in [
            ("2026-11-27T05:59:59Z", false, "2026-11-27T06:00:00Z"),
            ("2026-11-27T06:00:00Z", true, "2026-11-27T18:00:00Z"),
            ("2026-11-27T18:00:00Z", false, "2026-11-30T06:00:00Z"),
            ("2026-11-28T12:00:00Z", false, "2026-11-30T06:00:00Z"),
        ] {
            assert_eq!(
                at(hours, "Europe/Berlin", now),
                (expected, next.to_owned()),
                "{now}"
            );
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let hours = "Fri 22:00-06:00";
        let expected = (true, "2026-11-28T06:00:00Z".to_owned());
        assert_eq!(at(hours, "UTC", "2026-11-28T05:00:00Z"), expected);
        assert!(!at(hours, "UTC", "2026-11-27T05:00:00Z").0);
    }

    #[test]
    fn when_clocks_change_the_clock_still_counts() {
        // At 2026-03-29 02:00 the clocks of Berlin go to 03:00, at 2026-10-25 03:00 back to 02:00.
        let hours = "07:00-19:00";
        let next = |now| at(hours, "Europe/Berlin", now).1;
        assert_eq!(next("2026-03-28T20:00:00Z"), "2026-03-29T05:00:00Z");
        assert_eq!(next("2026-10-24T20:00:00Z"), "2026-10-25T06:00:00Z");
    }

    #[test]
    fn days_may_go_over_the_end_of_a_week_and_whole_days_are_hours_too() {
        assert!(at("Sat-Mon 00:00-24:00", "UTC", "2026-11-29T12:00:00Z").0);
        assert!(at("Sat-Mon 00:00-24:00", "UTC", "2026-11-30T12:00:00Z").0);
        assert!(!at("Sat-Mon 00:00-24:00", "UTC", "2026-12-01T12:00:00Z").0);
        assert!(
            at(
                "Tue 1:00-2:00, Sun 11:00-13:00",
                "UTC",
                "2026-11-29T12:00:00Z"
            )
            .0
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for wrong in [
            "",
            "Mon",
            "Mon-Fri",
            "Mon-Fry 1:00-2:00",
            "1-2",
            "7:00-25:00",
            "7:00-7:00",
            "7:60-8:00",
        ] {
            assert!(Hours::parse(wrong, "UTC").is_err(), "{wrong}");
        }
        assert!(
            Hours::parse("7:00-8:00", "Europe/Berlyn")
                .unwrap_err()
                .contains("Berlyn")
        );
    }
}
