//! What SQLite computes with our own code: exact arithmetic, casts, dates, `LIKE` and sums over values that are texts.
//!
//! Every value that goes in or comes out is a text or NULL; a NULL argument makes the result NULL. An error stops the
//! statement: what can't be computed exactly is refused.

use jiff::civil::DateTime;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::{Connection, Error};

use super::number::{Exact, double_text};
use super::time;
use crate::cells::{Decimal, Stamp, format_date, format_micros, format_rounded};
use crate::like::like;

type Outcome = rusqlite::Result<Option<String>>;

fn fail(message: String) -> Error {
    Error::UserFunctionError(message.into())
}

fn overflow() -> Error {
    fail("a result is out of the range of its type; that is not imitated by the sandbox".to_owned())
}

/// Registers all functions.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let scalar = |name: &'static str, arguments: i32, function: fn(&[&str]) -> Outcome| {
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection.create_scalar_function(name, arguments, flags, move |context| {
            let mut texts = Vec::with_capacity(context.len());
            for position in 0..context.len() {
                match context.get_raw(position).as_str_or_null() {
                    Ok(Some(text)) => texts.push(text),
                    Ok(None) => return Ok(None),
                    Err(error) => return Err(Error::UserFunctionError(error.into())),
                }
            }
            function(&texts)
        })
    };
    scalar("sb_add", 3, |a| exact(a, Exact::plus))?;
    scalar("sb_subtract", 3, |a| exact(a, |x, y| x.plus(y.negated()?)))?;
    scalar("sb_multiply", 3, |a| exact(a, Exact::times))?;
    scalar("sb_modulo", 3, modulo)?;
    scalar("sb_double_op", 3, double_operator)?;
    scalar("sb_float_to_double", 1, |a| Ok(a[0].parse::<f32>().ok().map(|n| double_text(f64::from(n)))))?;
    scalar("sb_to_double", 1, |a| Ok(a[0].trim().parse().ok().map(double_text)))?;
    scalar("sb_to_integer", 2, to_integer)?;
    scalar("sb_to_decimal", 3, to_decimal)?;
    scalar("sb_to_date", 1, |a| Ok(Stamp::parse(a[0]).map(|s| format_date(s.at.date()))))?;
    scalar("sb_to_datetime", 2, to_datetime)?;
    scalar("sb_stamp", 1, |a| Ok(Stamp::parse(a[0]).and_then(|s| format_rounded(s.at, 6))))?;
    scalar("sb_like", 2, |a| Ok(Some(truth(like(a[0], a[1])))))?;
    scalar("sb_date_format", 2, |a| Ok(moment(a[0]).and_then(|at| time::format(at, a[1]))))?;
    scalar("sb_date_part", 2, |a| Ok(moment(a[1]).and_then(|at| time::part(at, a[0])).map(|n| n.to_string())))?;
    scalar("sb_date_add", 3, |a| date_add(a[0], a[1], a[2]))?;
    scalar("sb_date_diff", 2, |a| {
        Ok(moment(a[0]).zip(moment(a[1])).map(|(x, y)| time::days_between(x, y).to_string()))
    })?;
    scalar("sb_unix", 1, |a| Ok(moment(a[0]).map(|at| time::unix_seconds(at).to_string())))?;
    scalar("sb_bytes", 1, |a| Ok(Some(a[0].len().to_string())))?;
    scalar("sb_chars", 1, |a| Ok(Some(a[0].chars().count().to_string())))?;
    scalar("sb_upper", 1, |a| in_case(a[0], str::to_ascii_uppercase))?;
    scalar("sb_lower", 1, |a| in_case(a[0], str::to_ascii_lowercase))?;
    scalar("sb_locate", 2, |a| Ok(Some(locate(a[0], a[1]).to_string())))?;
    scalar("sb_substring", 3, |a| Ok(substring(a[0], a[1], a[2])))?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_aggregate_function("sb_sum", 1, flags, ExactSum)?;
    connection.create_aggregate_function("sb_only", 1, flags, Only)?;
    connection.create_aggregate_function("sb_double_sum", 1, flags, DoubleSum { mean: false })?;
    connection.create_aggregate_function("sb_average", 1, flags, DoubleSum { mean: true })?;
    Ok(())
}

fn truth(value: bool) -> String {
    if value { "1" } else { "0" }.to_owned()
}

fn number(text: &str) -> rusqlite::Result<Exact> {
    Exact::parse(text).ok_or_else(|| fail(format!("a number of {} digits is not computed with", text.len())))
}

/// Versions differ in what they do with letters beyond ASCII.
fn in_case(text: &str, change: fn(&str) -> String) -> Outcome {
    if text.is_ascii() {
        Ok(Some(change(text)))
    } else {
        Err(fail("upper and lower case beyond ASCII is not imitated".to_owned()))
    }
}

/// Checks a result against `limit`: bits of an integer, or as a negative number the digits of a decimal.
fn within(result: Option<Exact>, limit: &str) -> Outcome {
    let limit: i32 = limit.parse().map_err(|_| fail("no such limit".to_owned()))?;
    let size = limit.unsigned_abs();
    let fits = |n: &Exact| if limit < 0 { n.fits_digits(u16::try_from(size).unwrap_or(0)) } else { n.fits_bits(size) };
    result.filter(fits).map(|n| Some(n.to_string())).ok_or_else(overflow)
}

fn exact(arguments: &[&str], operator: fn(Exact, Exact) -> Option<Exact>) -> Outcome {
    within(operator(number(arguments[0])?, number(arguments[1])?), arguments[2])
}

fn modulo(arguments: &[&str]) -> Outcome {
    let (a, b) = (number(arguments[0])?, number(arguments[1])?);
    if b.is_zero() { Ok(None) } else { within(a.remainder(b), arguments[2]) }
}

fn double_operator(arguments: &[&str]) -> Outcome {
    let double = |text: &str| text.parse::<f64>().map_err(|_| fail("a value is no number".to_owned()));
    let (a, b) = (double(arguments[0])?, double(arguments[1])?);
    let result = match arguments[2] {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" if b == 0.0 => return Ok(None),
        "/" => a / b,
        _ => return Err(fail("no such operator".to_owned())),
    };
    if result.is_finite() { Ok(Some(double_text(result))) } else { Err(overflow()) }
}

/// A number or a text of digits as an integer of so many bits, the fraction cut off; NULL if it doesn't fit or is no
/// number.
fn to_integer(arguments: &[&str]) -> Outcome {
    let Some(number) = Decimal::parse(arguments[0]) else { return Ok(None) };
    let whole = number.truncated().map(|n| n.to_string());
    let bits = arguments[1].parse().unwrap_or(0);
    Ok(whole.filter(|text| Exact::parse(text).is_some_and(|n| n.fits_bits(bits))))
}

fn to_decimal(arguments: &[&str]) -> Outcome {
    let (precision, scale) = (arguments[1].parse().unwrap_or(0), arguments[2].parse().unwrap_or(0));
    Ok(Decimal::parse(arguments[0]).and_then(|n| n.fixed(precision, scale)))
}

/// A date or time with so many digits of fraction; `*` keeps StarRocks' form, six digits or none.
fn to_datetime(arguments: &[&str]) -> Outcome {
    let Some(at) = moment(arguments[0]) else { return Ok(None) };
    Ok(match arguments[1] {
        "*" => Some(format_micros(at)),
        digits => digits.parse().ok().and_then(|digits| format_rounded(at, digits)),
    })
}

fn moment(text: &str) -> Option<DateTime> {
    Stamp::parse(text).map(|stamp| stamp.at)
}

fn date_add(text: &str, amount: &str, unit: &str) -> Outcome {
    let Some(at) = moment(text) else { return Ok(None) };
    let amount = amount.parse().map_err(|_| fail("an interval is no whole number".to_owned()))?;
    let later = time::add(at, amount, unit);
    // A date stays a date unless a time of day is added.
    let is_date = !text.contains(':') && matches!(unit, "DAY" | "WEEK" | "MONTH" | "YEAR");
    let digits = text.split_once('.').map_or(0, |(_, fraction)| u8::try_from(fraction.len()).unwrap_or(6));
    Ok(later.and_then(|at| if is_date { Some(format_date(at.date())) } else { format_rounded(at, digits) }))
}

/// Characters from a position that counts from 1, or from the end if it is negative; 0 finds nothing.
fn substring(text: &str, from: &str, length: &str) -> Option<String> {
    let (from, length): (i64, i64) = (from.parse().ok()?, length.parse().ok()?);
    let count = i64::try_from(text.chars().count()).ok()?;
    let start = if from < 0 { count + from } else { from - 1 };
    if from == 0 || start < 0 || length <= 0 {
        return Some(String::new());
    }
    let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
    Some(text.chars().skip(start).take(length).collect())
}

/// Where a part begins in a text, in characters counted from 1; 0 if it is not in it.
fn locate(part: &str, text: &str) -> usize {
    text.find(part).map_or(0, |at| text[..at].chars().count() + 1)
}

/// `SUM` of exact numbers.
struct ExactSum;

impl Aggregate<Option<Exact>, Option<String>> for ExactSum {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Option<Exact>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut Option<Exact>) -> rusqlite::Result<()> {
        if let Some(text) = context.get::<Option<String>>(0)? {
            let so_far = sum.unwrap_or(Exact::ZERO);
            *sum = Some(so_far.plus(number(&text)?).ok_or_else(overflow)?);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Option<Exact>>) -> Outcome {
        Ok(sum.flatten().map(|n| n.to_string()))
    }
}

/// The value of the one row that a scalar subquery may have.
struct Only;

impl Aggregate<(u64, Option<String>), Option<String>> for Only {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<(u64, Option<String>)> {
        Ok((0, None))
    }

    fn step(&self, context: &mut Context<'_>, (rows, value): &mut (u64, Option<String>)) -> rusqlite::Result<()> {
        *rows += 1;
        if *rows > 1 {
            return Err(fail("Expected LE 1 rows to be returned by the subquery".to_owned()));
        }
        *value = context.get(0)?;
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, state: Option<(u64, Option<String>)>) -> Outcome {
        Ok(state.and_then(|(_, value)| value))
    }
}

/// `SUM` and `AVG` in doubles.
struct DoubleSum {
    mean: bool,
}

impl Aggregate<(f64, u64), Option<String>> for DoubleSum {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<(f64, u64)> {
        Ok((0.0, 0))
    }

    fn step(&self, context: &mut Context<'_>, (sum, count): &mut (f64, u64)) -> rusqlite::Result<()> {
        if let Some(text) = context.get::<Option<String>>(0)? {
            *sum += text.parse::<f64>().map_err(|_| fail("a value is no number".to_owned()))?;
            *count += 1;
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "the engines divide by a double, too")]
    fn finalize(&self, _: &mut Context<'_>, state: Option<(f64, u64)>) -> Outcome {
        let Some((sum, count)) = state.filter(|(_, count)| *count > 0) else { return Ok(None) };
        Ok(Some(double_text(if self.mean { sum / count as f64 } else { sum })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("abc", "abc", true),
            ("abc", "ABC", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("aXbXc", "a%b%c", true),
            ("aab", "%ab", true),
            ("", "%", true),
            ("", "_", false),
            ("10%", "10\\%", true),
            ("100", "10\\%", false),
            ("Zoë", "Zo_", true),
            ("a\\", "a\\", true),
        ];
        for (text, pattern, want) in cases {
            assert_eq!(like(text, pattern), want, "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn substrings() {
        let cases =
            [("hello", "2", "3", "ell"), ("hello", "-3", "2", "ll"), ("hello", "0", "2", ""), ("Zoë", "3", "9", "ë")];
        for (text, from, length, want) in cases {
            assert_eq!(substring(text, from, length).as_deref(), Some(want));
        }
    }
}
