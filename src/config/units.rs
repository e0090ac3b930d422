//! Durations, sizes and times as people write them. Pure.

use std::time::Duration;

/// Units of a duration, in milliseconds.
const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Units of a size, in bytes.
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// Epoch milliseconds below this are nearly always seconds: as milliseconds they lie before 1973-03-03.
pub(super) const EPOCH_MS_MIN: i64 = 100_000_000_000;

/// `"5s"`, `"500ms"`, `"2m"`, `"1h"`, `"3d"`: one number, one unit.
pub(super) fn duration(text: &str) -> Option<Duration> {
    scaled(text, &DURATIONS, |found, unit| found == unit).map(Duration::from_millis)
}

/// `"90MiB"`, `"64KiB"`, `"1GB"`, `"512"`: one number, one unit, bytes without one.
pub(super) fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZES, str::eq_ignore_ascii_case)
}

fn scaled(text: &str, units: &[(&str, u64)], same: impl Fn(&str, &str) -> bool) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.replace('_', "").parse().ok()?;
    let unit = unit.trim_start();
    // Bytes need no unit; a duration without one would be a guess.
    if unit.is_empty() && units.first().is_some_and(|(name, _)| *name == "B") {
        return Some(number);
    }
    let (_, scale) = units.iter().find(|(name, _)| same(unit, name))?;
    number.checked_mul(*scale)
}

/// An RFC 3339 time with its zone, as milliseconds since the Unix epoch.
pub(super) fn time(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(|time| time.as_millisecond())
}

/// A duration in its largest whole unit, as it would be written in the file.
pub fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(ms, &DURATIONS)
}

/// A size in its largest whole binary unit, as it would be written in the file.
pub fn show_size(bytes: u64) -> String {
    let binary: Vec<_> = SIZES.into_iter().filter(|(_, scale)| scale.is_power_of_two()).collect();
    show(bytes, &binary)
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().rev().find(|(_, scale)| number >= *scale && number.is_multiple_of(*scale));
    match fits.or(units.first()) {
        Some((name, scale)) => format!("{}{name}", number / scale),
        None => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [("5s", 5_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), (" 1_500 ms ", 1_500)] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["5", "s", "", "-5s", "5.5s", "5 parsecs", "5S", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("90MiB", 94_371_840), ("64KiB", 65_536), ("1GB", 1_000_000_000), ("512", 512), ("1 mib", 1 << 20)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["MiB", "", "-1MiB", "1.5GiB", "1TiB", "18446744073709551615GiB"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn shown_as_written() {
        for text in ["5s", "500ms", "10m", "1d"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Some(text));
        }
        for text in ["90MiB", "64KiB", "1GiB", "1000B"] {
            assert_eq!(size(text).map(show_size).as_deref(), Some(text));
        }
    }

    #[test]
    fn times() {
        assert_eq!(time("2026-11-20T08:00:00+08:00"), Some(1_795_132_800_000));
        assert_eq!(time("2026-11-20T00:00:00Z"), Some(1_795_132_800_000));
        assert_eq!(time("2026-11-20T00:00:00"), None, "a time without zone means another instant on every machine");
        assert_eq!(time("2026-11-20"), None);
    }
}
