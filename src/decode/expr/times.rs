//! Times: epochs and texts of any form become `YYYY-MM-DD hh:mm:ss`, with a fraction where there is one.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;

use super::Mistake;
use super::number::scaled;

/// A name that is no zone.
#[derive(Debug)]
pub(super) struct NoZone(String);

impl NoZone {
    /// The mistake at its place.
    pub(super) fn at(self, at: usize) -> Mistake {
        Mistake::new(at, format!("unknown time zone {:?}", self.0), "'Asia/Shanghai', 'UTC' or '+08:00'")
    }
}

fn zone(name: &str) -> Result<TimeZone, NoZone> {
    DateTimeParser::new().parse_time_zone(name).map_err(|_| NoZone(name.to_owned()))
}

/// `datetime_from_epoch_s` and `datetime_from_epoch_ms`.
#[derive(Debug)]
pub(super) struct FromEpoch {
    pub(super) name: &'static str,
    /// Digits from its unit to microseconds.
    power: u8,
    zone: TimeZone,
}

impl FromEpoch {
    pub(super) fn new(name: &'static str, power: u8, zone: &str) -> Result<Self, NoZone> {
        Ok(Self { name, power, zone: self::zone(zone)? })
    }

    /// The time in the zone.
    pub(super) fn datetime(&self, number: &str) -> Result<String, String> {
        let micros =
            scaled(number, self.power).ok_or("the number has too many digits, or is finer than a microsecond")?;
        let time = Timestamp::from_microsecond(micros).map_err(|_| BEYOND)?;
        shown(time.to_zoned(self.zone.clone()).datetime())
    }
}

const BEYOND: &str = "the time is not in the years 0000 to 9999";

/// `parse_datetime`.
#[derive(Debug)]
pub(super) struct Parse {
    format: String,
    /// Where the text says its offset: the zone that the result is in.
    zone: Option<TimeZone>,
    /// The format has a time of day.
    has_time: bool,
}

impl Parse {
    /// Checks the format by writing a time in it and reading that.
    pub(super) fn new(format: String, at: usize, zone: Option<(String, usize)>) -> Result<Self, Mistake> {
        const FORMS: &str = "'%Y-%m-%d %H:%M:%S%.f'; %d/%m/%Y, %b, %p with %I, %z for an offset";
        let zone = match zone {
            Some((name, at)) => Some((self::zone(&name).map_err(|error| error.at(at))?, at)),
            None => None,
        };
        let wrong = |what: String| Mistake::new(at, what, FORMS);
        let sample = date(2024, 11, 23).at(13, 14, 15, 123_000_000).to_zoned(TimeZone::UTC);
        let sample = sample.map_err(|error| wrong(error.to_string()))?;
        let written = jiff::fmt::strtime::format(&format, &sample);
        let written = written.map_err(|error| wrong(format!("no format of a time: {error}")))?;
        let read = BrokenDownTime::parse(&format, &written);
        let read = read.map_err(|error| wrong(format!("a text of this format can't be read: {error}")))?;
        let is_moment = read.offset().is_some() || read.iana_time_zone().is_some() || read.timestamp().is_some();
        let found = if is_moment { read.to_timestamp().map(drop) } else { read.to_date().map(drop) };
        found.map_err(|_| wrong("the format does not name a whole date".to_owned()))?;
        match (&zone, is_moment) {
            (None, true) => Err(wrong(
                "the format has an offset, and nothing says in which zone the result is".to_owned(),
            ))
            .map_err(|mistake| Mistake { hint: "name it behind the format: 'Asia/Shanghai'".to_owned(), ..mistake }),
            (Some((_, at)), false) => Err(Mistake::new(
                *at,
                "the format has no offset, so a zone says nothing",
                "remove the zone, or read the offset of the text with %z",
            )),
            (Some(_), true) | (None, false) => {
                let has_time = is_moment || read.hour().is_some();
                Ok(Self { format, zone: zone.map(|(zone, _)| zone), has_time })
            }
        }
    }

    /// The time that a text stands for, or its date if the format has no time of day.
    pub(super) fn datetime(&self, text: &str) -> Result<String, String> {
        let other = || format!("the text does not have the form {:?}, or is no time", self.format);
        let read = BrokenDownTime::parse(&self.format, text).map_err(|_| other())?;
        match &self.zone {
            Some(zone) => {
                let time = read.to_timestamp().map_err(|_| other())?;
                shown(time.to_zoned(zone.clone()).datetime())
            }
            None if self.has_time => shown(read.to_datetime().map_err(|_| other())?),
            None => shown_date(read.to_date().map_err(|_| other())?),
        }
    }
}

fn shown_date(date: Date) -> Result<String, String> {
    let (year, month, day) = (date.year(), date.month(), date.day());
    if year < 0 {
        return Err(BEYOND.to_owned());
    }
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}

/// Milliseconds or microseconds stand behind the seconds where they are not zero.
fn shown(time: DateTime) -> Result<String, String> {
    let date = shown_date(time.date())?;
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    let nanos = time.subsec_nanosecond();
    let fraction = match nanos {
        0 => String::new(),
        nanos if nanos % 1_000_000 == 0 => format!(".{:03}", nanos / 1_000_000),
        nanos if nanos % 1000 == 0 => format!(".{:06}", nanos / 1000),
        _ => return Err("the time is finer than a microsecond".to_owned()),
    };
    Ok(format!("{date} {hour:02}:{minute:02}:{second:02}{fraction}"))
}
