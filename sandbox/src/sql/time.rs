//! Dates and times of SQL functions.

use std::fmt::Write as _;

use jiff::civil::{DateTime, Weekday};
use jiff::{Span, tz::TimeZone};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn day_name(day: Weekday) -> &'static str {
    DAYS[usize::try_from(day.to_monday_zero_offset()).unwrap_or(0)]
}

fn month_name(month: i8) -> &'static str {
    MONTHS[usize::try_from(month - 1).unwrap_or(0)]
}

/// The letters of [`format`].
pub(crate) const FORMAT_LETTERS: &str = "YymcMbdejHkhIlisSfpTrWaw%";

/// `DATE_FORMAT`, for patterns whose letters are among [`FORMAT_LETTERS`]; `None` for others.
pub(crate) fn format(at: DateTime, pattern: &str) -> Option<String> {
    let hour12 = (at.hour() + 11) % 12 + 1;
    let half = if at.hour() < 12 { "AM" } else { "PM" };
    let mut out = String::new();
    let mut letters = pattern.chars();
    while let Some(c) = letters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let written = match letters.next()? {
            'Y' => write!(out, "{:04}", at.year()),
            'y' => write!(out, "{:02}", at.year() % 100),
            'm' => write!(out, "{:02}", at.month()),
            'c' => write!(out, "{}", at.month()),
            'M' => write!(out, "{}", month_name(at.month())),
            'b' => write!(out, "{}", &month_name(at.month())[..3]),
            'd' => write!(out, "{:02}", at.day()),
            'e' => write!(out, "{}", at.day()),
            'j' => write!(out, "{:03}", at.date().day_of_year()),
            'H' => write!(out, "{:02}", at.hour()),
            'k' => write!(out, "{}", at.hour()),
            'h' | 'I' => write!(out, "{hour12:02}"),
            'l' => write!(out, "{hour12}"),
            'i' => write!(out, "{:02}", at.minute()),
            's' | 'S' => write!(out, "{:02}", at.second()),
            'f' => write!(out, "{:06}", at.subsec_nanosecond() / 1000),
            'p' => write!(out, "{half}"),
            'T' => write!(out, "{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
            'r' => write!(out, "{hour12:02}:{:02}:{:02} {half}", at.minute(), at.second()),
            'W' => write!(out, "{}", day_name(at.weekday())),
            'a' => write!(out, "{}", &day_name(at.weekday())[..3]),
            'w' => write!(out, "{}", at.weekday().to_sunday_zero_offset()),
            '%' => write!(out, "%"),
            _ => return None,
        };
        written.ok()?;
    }
    Some(out)
}

/// A part of a date by the name of its function, such as `year`.
pub(crate) fn part(at: DateTime, name: &str) -> Option<i64> {
    Some(match name {
        "year" => i64::from(at.year()),
        "quarter" => i64::from((at.month() - 1) / 3 + 1),
        "month" => i64::from(at.month()),
        "day" => i64::from(at.day()),
        "hour" => i64::from(at.hour()),
        "minute" => i64::from(at.minute()),
        "second" => i64::from(at.second()),
        "dayofyear" => i64::from(at.date().day_of_year()),
        "dayofweek" => i64::from(at.weekday().to_sunday_one_offset()),
        _ => return None,
    })
}

/// A time so many units later; the day of a shorter month is its last one. `None` beyond the calendar.
pub(crate) fn add(at: DateTime, amount: i64, unit: &str) -> Option<DateTime> {
    let span = Span::new();
    let span = match unit {
        "YEAR" => span.try_years(amount),
        "MONTH" => span.try_months(amount),
        "WEEK" => span.try_weeks(amount),
        "DAY" => span.try_days(amount),
        "HOUR" => span.try_hours(amount),
        "MINUTE" => span.try_minutes(amount),
        "SECOND" => span.try_seconds(amount),
        _ => return None,
    };
    at.checked_add(span.ok()?).ok()
}

/// Days from `b` to `a`, times of day not counted.
pub(crate) fn days_between(a: DateTime, b: DateTime) -> i64 {
    let days = |at: DateTime| at.date().at(0, 0, 0, 0).to_zoned(TimeZone::UTC).map_or(0, |z| z.timestamp().as_second());
    (days(a) - days(b)) / 86_400
}

/// Seconds since the epoch, the time being UTC.
pub(crate) fn unix_seconds(at: DateTime) -> i64 {
    at.to_zoned(TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_second())
}

/// Milliseconds since the epoch as `YYYY-MM-DD HH:MM:SS`, in UTC.
pub(crate) fn of_millis(millis: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format(TimeZone::UTC.to_datetime(at), "%Y-%m-%d %T").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::datetime;

    #[test]
    fn formats() {
        let at = datetime(2024, 2, 3, 14, 5, 6, 70_000_000);
        let cases = [
            ("%Y-%m-%d %H:%i:%s", "2024-02-03 14:05:06"),
            ("%y/%c/%e %l:%i %p", "24/2/3 2:05 PM"),
            ("%W %a %w, %M %b, day %j", "Saturday Sat 6, February Feb, day 034"),
            ("%T.%f %r 100%%", "14:05:06.070000 02:05:06 PM 100%"),
        ];
        for (pattern, want) in cases {
            assert_eq!(format(at, pattern).as_deref(), Some(want), "{pattern}");
        }
        assert_eq!((format(at, "%Q"), format(at, "%")), (None, None));
        for letter in FORMAT_LETTERS.chars() {
            assert!(format(at, &format!("%{letter}")).is_some(), "%{letter}");
        }
    }

    #[test]
    fn calendar() {
        let at = datetime(2024, 1, 31, 12, 0, 0, 0);
        assert_eq!(add(at, 1, "MONTH"), Some(datetime(2024, 2, 29, 12, 0, 0, 0)));
        assert_eq!(add(at, -36, "HOUR"), Some(datetime(2024, 1, 30, 0, 0, 0, 0)));
        assert_eq!(add(at, i64::MAX, "YEAR"), None);
        assert_eq!(days_between(at, datetime(2023, 12, 31, 23, 59, 59, 0)), 31);
        assert_eq!(of_millis(1_700_000_000_999), "2023-11-14 22:13:20");
        assert_eq!(part(at, "quarter"), Some(1));
    }
}
