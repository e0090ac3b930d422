//! The functions that expressions may call. What isn't here is refused by name.

use jiff::civil::DateTime;

use super::{Scope, TEXT_MAX_BYTES, Value};
use crate::cells::{Decimal, Stamp, format_date, format_micros, hll_hash, to_binary, to_bitmap};

/// A function with its name and how many arguments it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Upper,
    Lower,
    Trim,
    TrimLeft,
    TrimRight,
    Concat,
    Substring,
    Replace,
    Length,
    CharLength,
    Coalesce,
    NullIf,
    If,
    Abs,
    FromUnixTime,
    StringToDate,
    Year,
    Month,
    Day,
    Now,
    Today,
    ToBitmap,
    EmptyBitmap,
    HllHash,
    EmptyHll,
    ToBinary,
}

/// Names, function, least and most arguments.
const FUNCTIONS: &[(&[&str], Function, usize, usize)] = &[
    (&["upper", "ucase"], Function::Upper, 1, 1),
    (&["lower", "lcase"], Function::Lower, 1, 1),
    (&["trim"], Function::Trim, 1, 1),
    (&["ltrim"], Function::TrimLeft, 1, 1),
    (&["rtrim"], Function::TrimRight, 1, 1),
    (&["concat"], Function::Concat, 1, usize::MAX),
    (&["substring", "substr"], Function::Substring, 2, 3),
    (&["replace"], Function::Replace, 3, 3),
    (&["length"], Function::Length, 1, 1),
    (&["char_length", "character_length"], Function::CharLength, 1, 1),
    (&["coalesce"], Function::Coalesce, 1, usize::MAX),
    (&["ifnull", "nvl"], Function::Coalesce, 2, 2),
    (&["nullif"], Function::NullIf, 2, 2),
    (&["if"], Function::If, 3, 3),
    (&["abs"], Function::Abs, 1, 1),
    (&["from_unixtime"], Function::FromUnixTime, 1, 1),
    (&["str_to_date"], Function::StringToDate, 2, 2),
    (&["year"], Function::Year, 1, 1),
    (&["month"], Function::Month, 1, 1),
    (&["day", "dayofmonth"], Function::Day, 1, 1),
    (&["now", "current_timestamp"], Function::Now, 0, 0),
    (&["curdate", "current_date"], Function::Today, 0, 0),
    (&["to_bitmap"], Function::ToBitmap, 1, 1),
    (&["bitmap_empty"], Function::EmptyBitmap, 0, 0),
    (&["hll_hash"], Function::HllHash, 1, 1),
    (&["hll_empty"], Function::EmptyHll, 0, 0),
    (&["to_binary"], Function::ToBinary, 1, 2),
];

impl Function {
    /// The function of a name that takes so many arguments.
    ///
    /// # Errors
    /// Which function isn't imitated, or how many arguments it takes.
    pub(super) fn of(name: &str, arguments: usize) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let Some((_, function, least, most)) = FUNCTIONS.iter().find(|(names, ..)| names.contains(&lower.as_str()))
        else {
            return Err(format!("the sandbox does not imitate the function {lower}"));
        };
        if (*least..=*most).contains(&arguments) {
            return Ok(*function);
        }
        let takes = match (least, most) {
            (1, 1) => "1 argument".to_owned(),
            (_, &usize::MAX) => format!("{least} or more arguments"),
            (least, most) if least == most => format!("{least} arguments"),
            (least, most) => format!("{least} to {most} arguments"),
        };
        Err(format!("{lower} takes {takes}, not {arguments}"))
    }

    /// Calls the function; a NULL argument makes NULL but where the function is about NULL.
    pub(super) fn call(self, arguments: &[Value], scope: &Scope<'_>) -> Value {
        match self {
            Self::Coalesce => arguments.iter().find(|a| **a != Value::Null).cloned().unwrap_or(Value::Null),
            Self::NullIf => {
                let is_same = arguments[0].order(&arguments[1]).is_some_and(std::cmp::Ordering::is_eq);
                if is_same { Value::Null } else { arguments[0].clone() }
            }
            Self::If => arguments[if arguments[0].truth() == Some(true) { 1 } else { 2 }].clone(),
            Self::Now => Value::Time(scope.now.to_owned()),
            Self::Today => Value::Time(scope.now.get(..10).unwrap_or_default().to_owned()),
            Self::EmptyBitmap | Self::EmptyHll => Value::Text(String::new()),
            Self::Upper
            | Self::Lower
            | Self::Trim
            | Self::TrimLeft
            | Self::TrimRight
            | Self::Concat
            | Self::Substring
            | Self::Replace
            | Self::Length
            | Self::CharLength
            | Self::Abs
            | Self::FromUnixTime
            | Self::StringToDate
            | Self::Year
            | Self::Month
            | Self::Day
            | Self::ToBitmap
            | Self::HllHash
            | Self::ToBinary => self.strict(arguments, scope).unwrap_or(Value::Null),
        }
    }

    /// Functions of which NULL makes NULL.
    fn strict(self, arguments: &[Value], scope: &Scope<'_>) -> Option<Value> {
        let texts = arguments.iter().map(Value::text).collect::<Option<Vec<_>>>()?;
        let first = texts.first()?;
        let count = |count: usize| Value::Number(count.to_string());
        let date = || Stamp::parse(first).map(|stamp| stamp.at);
        Some(match self {
            Self::Upper => Value::Text(first.to_uppercase()),
            Self::Lower => Value::Text(first.to_lowercase()),
            Self::Trim => Value::Text(first.trim_matches(' ').to_owned()),
            Self::TrimLeft => Value::Text(first.trim_start_matches(' ').to_owned()),
            Self::TrimRight => Value::Text(first.trim_end_matches(' ').to_owned()),
            Self::Concat => Value::Text(texts.concat()),
            Self::Substring => {
                let start = number(arguments.get(1)?)?;
                let length = arguments.get(2).map_or(Some(i128::MAX), number)?;
                Value::Text(substring(first, start, length))
            }
            Self::Replace => Value::Text(replace(first, &texts[1], &texts[2])?),
            Self::Length => count(first.len()),
            Self::CharLength => count(first.chars().count()),
            Self::Abs => match arguments[0].whole() {
                Some(whole) => Value::Number(whole.unsigned_abs().to_string()),
                None => Value::Double(arguments[0].double()?.abs()),
            },
            Self::FromUnixTime => {
                let at = jiff::Timestamp::from_second(i64::try_from(number(&arguments[0])?).ok()?).ok()?;
                Value::Time(format_micros(scope.rules.zone.to_datetime(at)))
            }
            Self::StringToDate => string_to_date(first, &texts[1])?,
            Self::Year => Value::Number(date()?.year().to_string()),
            Self::Month => Value::Number(date()?.month().to_string()),
            Self::Day => Value::Number(date()?.day().to_string()),
            Self::ToBitmap => Value::Text(to_bitmap(first)?),
            Self::HllHash => Value::Text(hll_hash(first)),
            Self::ToBinary => Value::Text(to_binary(first, texts.get(1).map_or("hex", String::as_str))?),
            Self::Coalesce | Self::NullIf | Self::If | Self::Now | Self::Today | Self::EmptyBitmap | Self::EmptyHll => {
                return None;
            }
        })
    }
}

/// A whole number, the fraction of a text cut off.
fn number(value: &Value) -> Option<i128> {
    Decimal::parse(&value.text()?)?.truncated()
}

/// `None` if the text becomes too long.
fn replace(text: &str, from: &str, to: &str) -> Option<String> {
    if from.is_empty() {
        return Some(text.to_owned());
    }
    let times = text.matches(from).count();
    let bytes = (text.len() - times * from.len()).checked_add(times.checked_mul(to.len())?)?;
    (bytes <= TEXT_MAX_BYTES).then(|| text.replace(from, to))
}

/// Characters from a place counted from 1, or from the end if it is negative; nothing from place 0.
fn substring(text: &str, start: i128, length: i128) -> String {
    let total = i128::try_from(text.chars().count()).unwrap_or(i128::MAX);
    let from = if start < 0 { total + start } else { start - 1 };
    if start == 0 || from < 0 || length <= 0 {
        return String::new();
    }
    let (from, length) = (usize::try_from(from).unwrap_or(usize::MAX), usize::try_from(length).unwrap_or(usize::MAX));
    text.chars().skip(from).take(length).collect()
}

/// MySQL's format letters, as far as they are fixed places; a format without a time gives a date.
fn string_to_date(text: &str, format: &str) -> Option<Value> {
    if !format.contains(['H', 'h', 'T', 'i', 's', 'S', 'k', 'f']) {
        let date = jiff::civil::Date::strptime(jiff_format(format)?, text).ok()?;
        return Some(Value::Time(format_date(date)));
    }
    DateTime::strptime(jiff_format(format)?, text).ok().map(|at| Value::Time(format_micros(at)))
}

fn jiff_format(format: &str) -> Option<String> {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        out.push_str(match letters.next()? {
            'Y' => "%Y",
            'y' => "%y",
            'm' | 'c' => "%m",
            'd' | 'e' => "%d",
            'H' | 'k' => "%H",
            'i' => "%M",
            's' | 'S' => "%S",
            'T' => "%H:%M:%S",
            'f' => "%f",
            '%' => "%%",
            _ => return None,
        });
    }
    Some(out)
}
