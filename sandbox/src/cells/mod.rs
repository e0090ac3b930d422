//! Cell checks: what becomes of one value of a body in one typed column. Pure.

mod date;
mod decimal;
mod nested;
mod special;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde_json::value::RawValue;

use crate::table::{Column, ColumnType, Element, EngineKind};
pub(crate) use date::{Stamp, format_date, format_micros, format_rounded};
pub(crate) use decimal::Decimal;
pub(crate) use special::{hll_hash, to_binary, to_bitmap};

/// A JSON value with its number tokens untouched.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(&'a str),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// An array or object, as written.
    Nested(&'a str),
}

impl<'a> Cell<'a> {
    /// Sorts a value by its first byte. `RawValue` has been validated, so the rest follows.
    #[must_use]
    pub(crate) fn of(raw: &'a RawValue) -> Self {
        let token = raw.get().trim();
        match token.as_bytes().first() {
            Some(b'n') | None => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => Self::Text(unescape(token)),
            Some(b'{' | b'[') => Self::Nested(token),
            Some(_) => Self::Number(token),
        }
    }
}

fn unescape(token: &str) -> Cow<'_, str> {
    let inner = &token[1..token.len() - 1];
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    // A lone surrogate is the one escape that serde_json lets pass in a raw value and refuses here.
    serde_json::from_str::<String>(token).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// Order of two kept values of a numeric column; what is no number (`Infinity`) sorts as text.
#[must_use]
pub(crate) fn numeric_order(a: &str, b: &str) -> Ordering {
    match (Decimal::parse(a), Decimal::parse(b)) {
        (Some(a), Some(b)) => a.compare(&b),
        _ => a.cmp(b),
    }
}

/// Why a value doesn't fit its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Not a value of the type.
    Unparsable,
    /// A value of the type, too large for it.
    OutOfRange,
    /// A text longer than the column.
    TooLong {
        /// Bytes of the text.
        bytes: usize,
        /// Bytes that the column takes.
        max: usize,
    },
}

/// What a conversion needs to know besides the value.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Whose rules.
    pub(crate) kind: EngineKind,
    /// Header `strict_mode`.
    pub(crate) strict: bool,
    /// Header `timezone`; Doris turns offsets in date-times into it.
    pub(crate) zone: TimeZone,
}

/// Appends the text that the column keeps to `out`. The cell must not be [`Cell::Null`].
///
/// # Errors
/// When the value doesn't fit; `out` is then as before.
pub(crate) fn convert(rules: &Rules, column: &Column, cell: &Cell<'_>, out: &mut String) -> Result<(), Misfit> {
    let kept = out.len();
    let result = convert_into(rules, column.ty, &column.elements, cell, out);
    if result.is_err() {
        out.truncate(kept);
    }
    result
}

/// `CAST(text AS type)`: NULL where the text is no value of the type.
#[must_use]
pub(crate) fn cast(rules: &Rules, ty: ColumnType, text: &str) -> Option<String> {
    let mut out = String::new();
    convert_into(rules, ty, &[], &Cell::Text(text.into()), &mut out).ok().map(|()| out)
}

fn convert_into(
    rules: &Rules,
    ty: ColumnType,
    elements: &[Element],
    cell: &Cell<'_>,
    out: &mut String,
) -> Result<(), Misfit> {
    match ty {
        ColumnType::Boolean => boolean(rules.kind, cell, out),
        ColumnType::Integer { bits } => integer(rules, bits, cell, out),
        ColumnType::LargeInt => large_int(rules, cell, out),
        ColumnType::Float | ColumnType::Double => float(rules, ty, cell, out),
        ColumnType::Decimal { precision, scale } => {
            let number = Decimal::parse(scalar(cell)?).ok_or(Misfit::Unparsable)?;
            out.push_str(&number.fixed(precision, scale).ok_or(Misfit::OutOfRange)?);
            Ok(())
        }
        ColumnType::Date => {
            let stamp = Stamp::parse(scalar(cell)?).ok_or(Misfit::Unparsable)?;
            out.push_str(&date::format_date(stamp.at.date()));
            Ok(())
        }
        ColumnType::DateTime { digits } => {
            let stamp = Stamp::parse(scalar(cell)?).ok_or(Misfit::Unparsable)?;
            match rules.kind {
                EngineKind::StarRocks => out.push_str(&date::format_micros(stamp.at)),
                EngineKind::Doris => {
                    let at = stamp.in_zone(&rules.zone).ok_or(Misfit::OutOfRange)?;
                    out.push_str(&date::format_rounded(at, digits).ok_or(Misfit::OutOfRange)?);
                }
            }
            Ok(())
        }
        ColumnType::Text { max_bytes } => text(rules.kind, max_bytes, cell, out),
        ColumnType::Json => json(rules.kind, cell, out),
        ColumnType::Nested(shape) => nested::nested(rules, shape, elements, cell, out),
        // Only functions give such values, so they are well-formed.
        ColumnType::Bitmap | ColumnType::Hll => {
            out.push_str(scalar(cell)?);
            Ok(())
        }
        ColumnType::Binary { max_bytes } => {
            let digits = scalar(cell)?;
            let bytes = digits.len() / 2;
            if bytes > max_bytes {
                return Err(Misfit::TooLong { bytes, max: max_bytes });
            }
            out.push_str(digits);
            Ok(())
        }
    }
}

/// The text that the engines cast from: strings unescaped, numbers raw, booleans as 1 and 0.
fn scalar<'a>(cell: &'a Cell<'_>) -> Result<&'a str, Misfit> {
    match cell {
        Cell::Bool(true) => Ok("1"),
        Cell::Bool(false) => Ok("0"),
        Cell::Number(token) => Ok(token),
        Cell::Text(text) => Ok(text),
        Cell::Null | Cell::Nested(_) => Err(Misfit::Unparsable),
    }
}

fn boolean(kind: EngineKind, cell: &Cell<'_>, out: &mut String) -> Result<(), Misfit> {
    let text = scalar(cell)?;
    let value = match (text.to_ascii_lowercase().as_str(), kind, cell) {
        ("1" | "true", ..) => true,
        ("0" | "false", ..) => false,
        (_, EngineKind::StarRocks, Cell::Number(token)) => {
            Decimal::parse(token).and_then(|n| n.truncated()).ok_or(Misfit::Unparsable)? != 0
        }
        _ => return Err(Misfit::Unparsable),
    };
    out.push(if value { '1' } else { '0' });
    Ok(())
}

fn integer(rules: &Rules, bits: u32, cell: &Cell<'_>, out: &mut String) -> Result<(), Misfit> {
    if rules.kind == EngineKind::StarRocks && matches!(cell, Cell::Bool(_)) {
        return Err(Misfit::Unparsable);
    }
    let number = Decimal::parse(scalar(cell)?).ok_or(Misfit::Unparsable)?;
    // StarRocks goes on through a double and cuts the fraction off; Doris does so only when not strict.
    if rules.kind == EngineKind::Doris && (number.has_exponent || (number.is_fractional && rules.strict)) {
        return Err(Misfit::Unparsable);
    }
    let value = number.truncated().ok_or(Misfit::OutOfRange)?;
    let limit = 1_i128 << (bits - 1);
    if value < -limit || value >= limit {
        return Err(Misfit::OutOfRange);
    }
    let _ = write!(out, "{value}");
    Ok(())
}

fn large_int(rules: &Rules, cell: &Cell<'_>, out: &mut String) -> Result<(), Misfit> {
    let number = Decimal::parse(scalar(cell)?).ok_or(Misfit::Unparsable)?;
    let may_cut = rules.kind == EngineKind::Doris && !rules.strict && !number.has_exponent;
    if number.is_fractional && !may_cut {
        return Err(Misfit::Unparsable);
    }
    let _ = write!(out, "{}", number.truncated().ok_or(Misfit::OutOfRange)?);
    Ok(())
}

fn float(rules: &Rules, ty: ColumnType, cell: &Cell<'_>, out: &mut String) -> Result<(), Misfit> {
    if rules.kind == EngineKind::StarRocks && matches!(cell, Cell::Bool(_)) {
        return Err(Misfit::Unparsable);
    }
    let text = scalar(cell)?.trim();
    Decimal::parse(text).ok_or(Misfit::Unparsable)?;
    let (value, shown) = if ty == ColumnType::Float {
        let value: f32 = text.parse().map_err(|_| Misfit::Unparsable)?;
        (f64::from(value), shortest(f64::from(value.abs()), &value))
    } else {
        let value: f64 = text.parse().map_err(|_| Misfit::Unparsable)?;
        (value, shortest(value.abs(), &value))
    };
    if value.is_infinite() {
        if rules.kind == EngineKind::StarRocks || rules.strict {
            return Err(Misfit::OutOfRange);
        }
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
        return Ok(());
    }
    out.push_str(&shown);
    Ok(())
}

/// The shortest text that reads back as the same float, with an exponent only for very large and small ones.
fn shortest(size: f64, value: &(impl std::fmt::Display + std::fmt::LowerExp)) -> String {
    if size == 0.0 || (1e-5..1e15).contains(&size) { format!("{value}") } else { format!("{value:e}") }
}

fn text(kind: EngineKind, max: usize, cell: &Cell<'_>, out: &mut String) -> Result<(), Misfit> {
    let start = out.len();
    match (cell, kind) {
        (Cell::Nested(token), EngineKind::StarRocks) => minify(token, out),
        (Cell::Nested(token), EngineKind::Doris) => out.push_str(token),
        (Cell::Null | Cell::Bool(_) | Cell::Number(_) | Cell::Text(_), _) => out.push_str(scalar(cell)?),
    }
    let bytes = out.len() - start;
    if bytes > max { Err(Misfit::TooLong { bytes, max }) } else { Ok(()) }
}

fn json(kind: EngineKind, cell: &Cell<'_>, out: &mut String) -> Result<(), Misfit> {
    match cell {
        Cell::Nested(token) | Cell::Number(token) => nested::json(kind, token, out),
        Cell::Text(text) if kind == EngineKind::Doris => nested::json(kind, text, out),
        Cell::Text(text) => {
            out.push_str(&serde_json::to_string(text).map_err(|_| Misfit::Unparsable)?);
            Ok(())
        }
        Cell::Bool(value) => {
            out.push_str(if *value { "true" } else { "false" });
            Ok(())
        }
        Cell::Null => Err(Misfit::Unparsable),
    }
}

/// Copies JSON without the white space between its tokens; the tokens stay as they are.
fn minify(json: &str, out: &mut String) {
    let (mut is_string, mut is_escaped) = (false, false);
    for c in json.chars() {
        if is_string {
            is_string = is_escaped || c != '"';
            is_escaped = !is_escaped && c == '\\';
        } else if matches!(c, ' ' | '\t' | '\n' | '\r') {
            continue;
        } else {
            is_string = c == '"';
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minified_text_keeps_its_tokens() {
        let mut out = String::new();
        minify("{ \"a b\" : [ 1.50 , \"x \\\" y\\\\\" , null ],\n\t\"c\":1E+3 }", &mut out);
        assert_eq!(out, r#"{"a b":[1.50,"x \" y\\",null],"c":1E+3}"#);
    }
}
