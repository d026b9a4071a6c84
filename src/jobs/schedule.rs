//! When a job is due: (schedule, time) -> the next time.
//!
//! Cron patterns are about wall clocks, which skip an hour in spring and repeat one in autumn. The
//! times of a pattern that names hours run once then: a skipped one right after the gap, a repeated
//! one the first time. A pattern of every hour (`*`) goes on with the time that passes instead: it is
//! due in both passes of a repeated hour, and skipping one makes no pause.

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::CronParser;
use croner::time::{CivilDateTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// When a job is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// When it is asked for.
    OnDemand,
    /// Again and again after this time.
    Every(Duration),
    /// At the times of a pattern, in a time zone. Both were parsed once; they are again for each
    /// time, so that nothing is kept of them meanwhile.
    Cron {
        /// Five fields, or six with seconds.
        pattern: String,
        /// An IANA name.
        timezone: String,
    },
}

impl Schedule {
    /// A pattern and its time zone, if both exist and the pattern has a time at all.
    ///
    /// # Errors
    /// Says what is wrong with either.
    pub fn cron(pattern: &str, timezone: &str) -> Result<Self, String> {
        let cron = parsed(pattern)
            .map_err(|error| format!("cron: {pattern:?} is no cron pattern: {error}"))?;
        let zone = TimeZone::get(timezone).map_err(|_| {
            format!("timezone: there is no {timezone:?}; write one like Europe/Berlin or UTC")
        })?;
        if next(&cron, &zone, Timestamp::UNIX_EPOCH).is_none() {
            return Err(format!("cron: {pattern:?} has no time, ever"));
        }
        Ok(Self::Cron {
            pattern: pattern.to_owned(),
            timezone: timezone.to_owned(),
        })
    }

    /// The first time after `after`. Those of an interval are counted from `anchor`.
    #[must_use]
    pub fn next(&self, after: Timestamp, anchor: Timestamp) -> Option<Timestamp> {
        match self {
            Self::OnDemand => None,
            Self::Every(interval) => {
                let interval = i128::from(u64::try_from(interval.as_nanos()).ok()?.max(1));
                let passed = after.as_nanosecond() - anchor.as_nanosecond();
                let steps = passed.div_euclid(interval) + 1;
                Timestamp::from_nanosecond(anchor.as_nanosecond() + steps * interval).ok()
            }
            Self::Cron { pattern, timezone } => next(
                &parsed(pattern).ok()?,
                &TimeZone::get(timezone).ok()?,
                after,
            ),
        }
    }
}

/// As it is typed, for people.
impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnDemand => f.write_str("on demand"),
            Self::Every(interval) => write!(f, "every {}", crate::figures::Age(*interval)),
            Self::Cron { pattern, timezone } if timezone == "UTC" => write!(f, "{pattern}"),
            Self::Cron { pattern, timezone } => write!(f, "{pattern} {timezone}"),
        }
    }
}

fn parsed(pattern: &str) -> Result<Cron, CronError> {
    CronParser::new().parse(pattern)
}

fn next(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let is_hourly = (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false));
    if is_hourly {
        next_by_time_passed(cron, zone, after)
    } else {
        next_by_wall_clock(cron, zone, after)
    }
}

/// The first time whose instant is later; one of the second pass of a repeated hour has been.
fn next_by_wall_clock(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let mut wall = zone.to_datetime(after);
    loop {
        wall = cron.find_next_occurrence(&Civil(wall), false).ok()?.0;
        let ambiguous = zone.to_ambiguous_timestamp(wall);
        let instant = match ambiguous.offset() {
            AmbiguousOffset::Gap { before, .. } => {
                let inside = before.to_timestamp(wall).ok()?;
                // The transition, to which all of the skipped hour move.
                zone.preceding(inside.checked_add(SignedDuration::from_nanos(1)).ok()?)
                    .next()?
                    .timestamp()
            }
            _ => ambiguous.earlier().ok()?,
        };
        if instant > after {
            return Some(instant);
        }
    }
}

/// The first time by the present offset; if that changes before, the first one after the change.
fn next_by_time_passed(cron: &Cron, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    let offset = zone.to_offset(after);
    let wall = offset.to_datetime(after);
    let found = cron.find_next_occurrence(&Civil(wall), false).ok()?.0;
    let instant = offset.to_timestamp(found).ok()?;
    match zone.following(after).next() {
        Some(change) if change.timestamp() <= instant => {
            let offset = zone.to_offset(change.timestamp());
            let wall = offset.to_datetime(change.timestamp());
            let found = cron.find_next_occurrence(&Civil(wall), true).ok()?.0;
            offset.to_timestamp(found).ok()
        }
        _ => Some(instant),
    }
}

/// A civil time of jiff's, as the cron library wants to have it: without a time zone, so that none is
/// ambiguous to it.
#[derive(Debug, Clone, Copy)]
struct Civil(DateTime);

impl CronDateTime for Civil {
    fn to_civil(&self) -> CivilDateTime {
        let part = |part: i8| u32::from(part.unsigned_abs());
        let time = self.0;
        let civil = CivilDateTime::from_ymd_hms_opt(
            i32::from(time.year()),
            part(time.month()),
            part(time.day()),
            part(time.hour()),
            part(time.minute()),
            part(time.second()),
        );
        // Every date of jiff's is one of croner's, whose calendar has no bounds.
        civil.expect("the parts of a date that exists")
    }

    fn civil_weekday(&self) -> Weekday {
        let days = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::from(days.unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |part: u32| i8::try_from(part).map_err(|_| CronError::InvalidDate);
        let time = DateTime::new(
            i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        );
        let time = time.map_err(|_| CronError::InvalidDate)?;
        Ok(Resolution::Single(Self(time)))
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let added = self.0.checked_add(SignedDuration::from_secs(seconds));
        added.ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The times of a pattern between two instants.
    fn times(pattern: &str, timezone: &str, from: &str, to: &str) -> Vec<String> {
        let schedule = Schedule::cron(pattern, timezone).unwrap();
        let mut times = Vec::new();
        let mut now = at(from);
        while let Some(next) = schedule
            .next(now, Timestamp::UNIX_EPOCH)
            .filter(|next| *next < at(to))
        {
            assert!(next > now);
            times.push(next.to_string());
            now = next;
        }
        times
    }

    #[test]
    fn an_interval_is_counted_from_its_anchor() {
        let every = Schedule::Every(Duration::from_secs(60));
        let anchor = at("2026-01-01T00:00:07Z");
        for (after, next) in [
            ("2026-01-01T00:00:07Z", "2026-01-01T00:01:07Z"),
            ("2026-01-01T00:01:06Z", "2026-01-01T00:01:07Z"),
            ("2026-01-01T05:00:00Z", "2026-01-01T05:00:07Z"),
            ("2025-12-31T23:59:00Z", "2025-12-31T23:59:07Z"),
        ] {
            assert_eq!(every.next(at(after), anchor), Some(at(next)), "{after}");
        }
    }

    /// Four zones, both ways: the hour that is named is skipped, and repeated. Each day has one run.
    #[test]
    fn a_skipped_hour_runs_once_right_after_and_a_repeated_one_once() {
        for (zone, pattern, from, to, expected) in [
            // 02:00 to 03:00 is skipped on 29 March and repeated on 25 October.
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-03-28T12:00:00Z",
                "2026-03-30T12:00:00Z",
                ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            ),
            (
                "Europe/Berlin",
                "30 2 * * *",
                "2026-10-24T12:00:00Z",
                "2026-10-26T12:00:00Z",
                ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            (
                "America/New_York",
                "15,45 2 * * *",
                "2026-03-07T12:00:00Z",
                "2026-03-08T12:00:00Z",
                ["2026-03-08T07:00:00Z", ""],
            ),
            (
                "America/New_York",
                "30 1 * * *",
                "2026-10-31T12:00:00Z",
                "2026-11-02T12:00:00Z",
                ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"],
            ),
            // Half an hour.
            (
                "Australia/Lord_Howe",
                "15 2 * * *",
                "2026-10-03T00:00:00Z",
                "2026-10-05T00:00:00Z",
                ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
            ),
            (
                "Australia/Lord_Howe",
                "45 1 * * *",
                "2026-04-04T00:00:00Z",
                "2026-04-06T00:00:00Z",
                ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"],
            ),
            // The clock goes on at midnight.
            (
                "America/Santiago",
                "30 0 * * *",
                "2026-09-05T12:00:00Z",
                "2026-09-07T12:00:00Z",
                ["2026-09-06T04:00:00Z", "2026-09-07T03:30:00Z"],
            ),
            (
                "America/Santiago",
                "30 23 * * *",
                "2026-04-04T12:00:00Z",
                "2026-04-06T12:00:00Z",
                ["2026-04-05T02:30:00Z", "2026-04-06T03:30:00Z"],
            ),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .filter(|time| !time.is_empty())
                .collect();
            assert_eq!(times(pattern, zone, from, to), expected, "{zone} {pattern}");
        }
    }

    #[test]
    fn a_pattern_of_every_hour_goes_on_with_the_time_that_passes() {
        let spring = times(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "2026-03-29T02:00:00Z",
        );
        let autumn = times(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            "2026-10-25T02:00:00Z",
        );
        let minutes = |times: &[String]| {
            times
                .iter()
                .map(|time| time[11..16].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(minutes(&spring), ["00:30", "01:00", "01:30"]);
        assert_eq!(minutes(&autumn), ["00:30", "01:00", "01:30"]);
        // By half hours, too.
        let howe = times(
            "0 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T13:00:00Z",
            "2026-04-04T18:00:00Z",
        );
        assert_eq!(minutes(&howe), ["14:00", "15:30", "16:30", "17:30"]);
    }

    /// A walk through three years in many zones: times only ever go up, and each day of a daily job
    /// has exactly one.
    #[test]
    fn each_day_has_one_run_of_a_daily_job() {
        for zone in [
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
        ] {
            let tz = TimeZone::get(zone).unwrap();
            for pattern in [
                "30 2 * * *",
                "0 0 * * *",
                "59 23 * * *",
                "15 1 * * *",
                "0 3 * * *",
            ] {
                let runs = times(
                    pattern,
                    zone,
                    "2025-01-01T12:00:00Z",
                    "2028-01-01T12:00:00Z",
                );
                let days: Vec<_> = runs
                    .iter()
                    .map(|run| tz.to_datetime(at(run)).date())
                    .collect();
                for pair in days.windows(2) {
                    assert_eq!(pair[0].tomorrow().unwrap(), pair[1], "{zone} {pattern}");
                }
                assert_eq!(days.len(), 1095, "{zone} {pattern}");
            }
        }
    }

    #[test]
    fn mistakes_name_what_is_wrong() {
        for (pattern, zone, part) in [
            ("61 * * * *", "UTC", "cron: "),
            ("x", "UTC", "cron: "),
            ("0 0 30 2 *", "UTC", "has no time, ever"),
            ("* * * * *", "Europe/Berlyn", "timezone: there is no"),
        ] {
            let why = Schedule::cron(pattern, zone).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
