//! Dates and times as both engines read them from text.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

/// A date with a time of day, and the zone suffix if the text had one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Date and time as written.
    pub(crate) at: DateTime,
    /// Seconds east of UTC of a `Z` or `+08:00` behind it.
    pub(crate) offset: Option<i32>,
}

impl Stamp {
    /// Reads `YYYY-MM-DD[( |T)HH:MM[:SS[.fraction]][Z|±HH:MM]]`, `YYYYMMDD` or `YYYYMMDDHHMMSS`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Self::parse_compact(text);
        }
        let (date, time) = match text.find([' ', 'T']) {
            Some(at) => (&text[..at], Some(text[at + 1..].trim_start())),
            None => (text, None),
        };
        let separator = if date.contains('/') { '/' } else { '-' };
        let mut parts = date.split(separator);
        let (y, m, d) = (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
        if parts.next().is_some() || y < 100 {
            return None;
        }
        let date = civil(y, m, d)?;
        let Some(time) = time else {
            return Some(Self { at: date.at(0, 0, 0, 0), offset: None });
        };
        let (clock, offset) = split_offset(time)?;
        let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(c, f)| (c, Some(f)));
        let mut parts = clock.split(':');
        let (h, mi) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
        let s = parts.next().map_or(Some(0), |s| number(s, 2))?;
        if parts.next().is_some() {
            return None;
        }
        Some(Self { at: at(date, h, mi, s, fraction.map_or(Some(0), nanoseconds)?)?, offset })
    }

    fn parse_compact(text: &str) -> Option<Self> {
        let piece = |from: usize, to: usize| text.get(from..to).and_then(|s| s.parse::<u32>().ok());
        let date = civil(piece(0, 4)?, piece(4, 6)?, piece(6, 8)?)?;
        let at = match text.len() {
            8 => date.at(0, 0, 0, 0),
            14 => at(date, piece(8, 10)?, piece(10, 12)?, piece(12, 14)?, 0)?,
            _ => return None,
        };
        Some(Self { at, offset: None })
    }

    /// The same instant as a wall clock in `zone` shows it, if the text named an offset; else as written.
    pub(crate) fn in_zone(self, zone: &TimeZone) -> Option<DateTime> {
        let Some(seconds) = self.offset else { return Some(self.at) };
        let offset = Offset::from_seconds(seconds).ok()?;
        Some(zone.to_datetime(offset.to_timestamp(self.at).ok()?))
    }
}

/// `YYYY-MM-DD`.
pub(crate) fn format_date(date: Date) -> String {
    format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day())
}

/// StarRocks' form: six digits of fraction, or none if they are all zero; more digits are cut off.
pub(crate) fn format_micros(at: DateTime) -> String {
    match at.subsec_nanosecond() / 1000 {
        0 => format_seconds(at),
        micros => format!("{}.{micros:06}", format_seconds(at)),
    }
}

/// Doris' form: rounded half up to `digits` of fraction, all of them shown.
pub(crate) fn format_rounded(at: DateTime, digits: u8) -> Option<String> {
    let unit = 10_i64.pow(9 - u32::from(digits.min(6)));
    let nanos = i64::from(at.subsec_nanosecond());
    let rounded = (nanos + unit / 2) / unit * unit;
    let at = at.checked_add(jiff::SignedDuration::from_nanos(rounded - nanos)).ok()?;
    if digits == 0 {
        return Some(format_seconds(at));
    }
    let fraction = format!("{:09}", at.subsec_nanosecond());
    Some(format!("{}.{}", format_seconds(at), &fraction[..usize::from(digits.min(6))]))
}

fn format_seconds(at: DateTime) -> String {
    format!("{} {:02}:{:02}:{:02}", format_date(at.date()), at.hour(), at.minute(), at.second())
}

fn number(text: &str, max_digits: usize) -> Option<u32> {
    let ok = !text.is_empty() && text.len() <= max_digits && text.bytes().all(|b| b.is_ascii_digit());
    if ok { text.parse().ok() } else { None }
}

fn nanoseconds(fraction: &str) -> Option<i32> {
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<9}").get(..9)?.parse().ok()
}

fn civil(y: u32, m: u32, d: u32) -> Option<Date> {
    Date::new(i16::try_from(y).ok()?, i8::try_from(m).ok()?, i8::try_from(d).ok()?).ok()
}

fn at(date: Date, h: u32, m: u32, s: u32, nanos: i32) -> Option<DateTime> {
    let (h, m, s) = (i8::try_from(h).ok()?, i8::try_from(m).ok()?, i8::try_from(s).ok()?);
    DateTime::new(date.year(), date.month(), date.day(), h, m, s, nanos).ok()
}

/// Splits a time of day from its `Z` or `±HH:MM`.
fn split_offset(time: &str) -> Option<(&str, Option<i32>)> {
    if let Some(clock) = time.strip_suffix(['Z', 'z']) {
        return Some((clock.trim_end(), Some(0)));
    }
    let Some(at) = time.find(['+', '-']) else { return Some((time, None)) };
    let digits: String = time[at + 1..].chars().filter(|c| *c != ':').collect();
    let (h, m) = match digits.len() {
        2 => (number(&digits, 2)?, 0),
        4 => (number(&digits[..2], 2)?, number(&digits[2..], 2)?),
        _ => return None,
    };
    let seconds = i32::try_from(h * 3600 + m * 60).ok()?;
    let sign = if time[at..].starts_with('-') { -1 } else { 1 };
    Some((time[..at].trim_end(), Some(sign * seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_what_each_engine_keeps() {
        // text, StarRocks DATETIME, Doris DATETIME(3) with a load in UTC+8
        let cases = [
            ("2024-05-06", "2024-05-06 00:00:00", "2024-05-06 00:00:00.000"),
            ("2024-5-6 7:8:9", "2024-05-06 07:08:09", "2024-05-06 07:08:09.000"),
            ("2024-05-06T07:08:09.5", "2024-05-06 07:08:09.500000", "2024-05-06 07:08:09.500"),
            ("2024-05-06 07:08:09.1234567", "2024-05-06 07:08:09.123456", "2024-05-06 07:08:09.123"),
            ("2024-12-31 23:59:59.9996", "2024-12-31 23:59:59.999600", "2025-01-01 00:00:00.000"),
            ("20240506070809", "2024-05-06 07:08:09", "2024-05-06 07:08:09.000"),
            ("2024-05-06T07:08:09Z", "2024-05-06 07:08:09", "2024-05-06 15:08:09.000"),
            ("2024-05-06T07:08:09+02:00", "2024-05-06 07:08:09", "2024-05-06 13:08:09.000"),
        ];
        let zone = TimeZone::fixed(Offset::constant(8));
        for (text, starrocks, doris) in cases {
            let stamp = Stamp::parse(text).expect(text);
            assert_eq!(format_micros(stamp.at), starrocks, "{text}");
            assert_eq!(format_rounded(stamp.in_zone(&zone).unwrap(), 3).unwrap(), doris, "{text}");
        }
    }

    #[test]
    fn what_is_no_date() {
        let texts = [
            "",
            "2024",
            "1717171717000",
            "2024-13-01",
            "2024-02-30",
            "2024-05-06 25:00:00",
            "2024-05-06 07",
            "tomorrow",
            "2024-05-06 07:08:09.",
            "2024-05-06 07:08:09 UTC",
            "5-6-2024",
            "2024-05-06-07",
        ];
        for text in texts {
            assert_eq!(Stamp::parse(text), None, "{text}");
        }
    }
}
