//! A translated expression: SQLite's text for it and its type. Conversions, comparisons and arithmetic keep the rule
//! that every value is a text or NULL; only predicates are SQLite's integers.

use super::super::number::{DECIMAL_DIGITS_MAX, double_text};
use super::super::types::SqlType;
use crate::cells::{Decimal, Stamp, format_date, format_micros, format_rounded};
use crate::like::like;
use crate::store::NUMERIC_COLLATION;
use crate::table::EngineKind;

/// A translated expression.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    /// SQLite's text.
    pub(super) sql: String,
    /// Type of the value.
    pub(super) ty: SqlType,
    /// True if SQLite gives 1, 0 or NULL as an integer, as conditions do.
    pub(super) is_predicate: bool,
    /// What a literal says.
    pub(super) literal: Option<String>,
}

/// Why two operands don't go together: a text for the error.
pub(super) type Mismatch = String;

/// A text as SQLite takes it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Typed {
    pub(super) fn value(sql: impl Into<String>, ty: SqlType) -> Self {
        Self { sql: sql.into(), ty, is_predicate: false, literal: None }
    }

    pub(super) fn literal(text: &str, ty: SqlType) -> Self {
        Self { sql: quoted(text), ty, is_predicate: false, literal: Some(text.to_owned()) }
    }

    /// A literal number: the narrowest integer that holds it, a decimal with its digits, or with an exponent a double.
    pub(super) fn number(text: &str) -> Option<Self> {
        let decimal = Decimal::parse(text)?;
        if !decimal.is_fractional {
            let whole = decimal.truncated()?;
            let bits =
                [8, 16, 32, 64].into_iter().find(|bits| (-(1_i128 << (bits - 1))..1 << (bits - 1)).contains(&whole));
            return Some(Self::literal(
                &whole.to_string(),
                bits.map_or(SqlType::LargeInt, |bits| SqlType::Integer { bits }),
            ));
        }
        let scale = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let fits = decimal.fixed(DECIMAL_DIGITS_MAX, u16::try_from(scale).ok().filter(|s| *s <= DECIMAL_DIGITS_MAX)?);
        match fits.filter(|_| !decimal.has_exponent) {
            Some(fixed) => {
                let digits =
                    fixed.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count().max(scale);
                let (precision, scale) = (u16::try_from(digits).ok()?, u16::try_from(scale).ok()?);
                Some(Self::literal(&fixed, SqlType::Decimal { precision, scale }))
            }
            None => Some(Self::literal(&double_text(text.parse().ok()?), SqlType::Double)),
        }
    }

    pub(super) fn null() -> Self {
        Self::value("NULL", SqlType::Null)
    }

    pub(super) fn predicate(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), ty: SqlType::Boolean, is_predicate: true, literal: None }
    }

    /// The expression as a value: a predicate becomes the text `1` or `0`.
    pub(super) fn into_value(self) -> Self {
        if self.is_predicate { Self::value(format!("CAST({} AS TEXT)", self.sql), SqlType::Boolean) } else { self }
    }

    /// The expression as a condition.
    pub(super) fn into_condition(self) -> Result<String, Mismatch> {
        match self.ty {
            _ if self.is_predicate => Ok(self.sql),
            SqlType::Null => Ok("NULL".to_owned()),
            ty if ty.is_numeric() => Ok(format!("({} COLLATE {NUMERIC_COLLATION} <> '0')", self.sql)),
            ty => Err(format!("a condition of type {ty}")),
        }
    }

    /// The value with the collation that orders and groups its type.
    pub(super) fn collated(&self) -> String {
        if self.ty.is_numeric() { format!("{} COLLATE {NUMERIC_COLLATION}", self.sql) } else { self.sql.clone() }
    }

    /// The value converted as the engines convert by themselves: to a type that holds all its values.
    pub(super) fn widened(self, kind: EngineKind, to: SqlType) -> Result<Self, Mismatch> {
        let from = self.ty;
        if from == to || from == SqlType::Null {
            return Ok(Self { ty: to, ..self });
        }
        match to {
            SqlType::Integer { .. } | SqlType::LargeInt if from.is_whole() => Ok(Self { ty: to, ..self }),
            SqlType::Text { .. } if from.is_text() => Ok(Self { ty: to, ..self }),
            SqlType::Decimal { precision, scale } if from.is_exact() => {
                Ok(Self::value(format!("sb_to_decimal({}, '{precision}', '{scale}')", self.sql), to))
            }
            SqlType::Double if from == SqlType::Float => {
                Ok(Self::value(format!("sb_float_to_double({})", self.sql), to))
            }
            SqlType::Double if from.is_exact() => Ok(Self::value(format!("sb_to_double({})", self.sql), to)),
            SqlType::DateTime { digits } if from.is_time() => Ok(Self::value(to_datetime(kind, &self.sql, digits), to)),
            _ => Err(format!("{from} where {to} is wanted; a CAST may help: this conversion")),
        }
    }

    /// `CAST`.
    pub(super) fn cast(self, kind: EngineKind, to: SqlType) -> Result<Self, Mismatch> {
        let from = self.ty;
        let sql = &self.sql;
        let number = |sql: String| if from == SqlType::Float { format!("sb_float_to_double({sql})") } else { sql };
        let is_number = from.is_numeric() || from.is_text();
        Ok(match to {
            _ if from == SqlType::Null => Self::value("NULL", to),
            SqlType::Text { .. } if from != SqlType::Boolean && !from.is_floating() => Self::value(sql.as_str(), to),
            SqlType::Integer { bits } if is_number => {
                Self::value(format!("sb_to_integer({}, '{bits}')", number(sql.clone())), to)
            }
            SqlType::LargeInt if is_number => Self::value(format!("sb_to_integer({}, '128')", number(sql.clone())), to),
            SqlType::Decimal { precision, scale } if is_number => {
                Self::value(format!("sb_to_decimal({}, '{precision}', '{scale}')", number(sql.clone())), to)
            }
            SqlType::Double if from.is_text() => Self::value(format!("sb_to_double({sql})"), to),
            SqlType::Date if from.is_time() || from.is_text() => Self::value(format!("sb_to_date({sql})"), to),
            SqlType::DateTime { digits } if from.is_time() || from.is_text() => {
                Self::value(to_datetime(kind, sql, digits), to)
            }
            _ => return self.widened(kind, to).map_err(|_| format!("CAST of {from} to {to}")),
        })
    }

    /// A literal read as the type that it is compared with; `None` if this is no text literal.
    fn read_as(&self, kind: EngineKind, ty: SqlType) -> Option<Result<Self, Mismatch>> {
        let text = self.literal.as_deref().filter(|_| self.ty.is_text())?;
        let wrong = || Err(format!("the literal '{text}' compared with {ty}"));
        Some(if ty.is_numeric() {
            Self::number(text.trim()).map_or_else(wrong, Ok)
        } else if ty.is_time() {
            let Some(at) = Stamp::parse(text).filter(|s| s.offset.is_none()).map(|s| s.at) else {
                return Some(wrong());
            };
            let is_date = at.time() == jiff::civil::Time::midnight();
            Ok(match (ty, kind) {
                (SqlType::Date, _) if is_date => Self::literal(&format_date(at.date()), SqlType::Date),
                (_, EngineKind::StarRocks) => Self::literal(&format_micros(at), SqlType::DateTime { digits: 6 }),
                (_, EngineKind::Doris) => {
                    Self::literal(&format_rounded(at, 6).unwrap_or_default(), SqlType::DateTime { digits: 6 })
                }
            })
        } else {
            return None;
        })
    }
}

fn to_datetime(kind: EngineKind, sql: &str, digits: u8) -> String {
    match kind {
        EngineKind::StarRocks => format!("sb_to_datetime({sql}, '*')"),
        EngineKind::Doris => format!("sb_to_datetime({sql}, '{digits}')"),
    }
}

/// Two operands brought to one form; the left one carries the collation of the comparison.
pub(super) fn comparable(kind: EngineKind, a: Typed, b: Typed) -> Result<(String, String), Mismatch> {
    let (mut a, mut b) = (a.into_value(), b.into_value());
    if let Some(read) = b.read_as(kind, a.ty) {
        b = read?;
    }
    if let Some(read) = a.read_as(kind, b.ty) {
        a = read?;
    }
    let pair = |a: String, b: String| Ok((a, b));
    match (a.ty, b.ty) {
        (SqlType::Null, _) | (_, SqlType::Null) => pair(a.sql, b.sql),
        (x, y) if x.is_text() && y.is_text() => pair(a.sql, b.sql),
        (x, y) if x.is_numeric() && y.is_numeric() => {
            if x != y && (x.is_floating() || y.is_floating()) {
                (a, b) = (a.widened(kind, SqlType::Double)?, b.widened(kind, SqlType::Double)?);
            }
            pair(a.collated(), b.sql)
        }
        (SqlType::Date, SqlType::Date) => pair(a.sql, b.sql),
        (x, y) if x.is_time() && y.is_time() => pair(format!("sb_stamp({})", a.sql), format!("sb_stamp({})", b.sql)),
        (x, y) => Err(format!("a comparison of {x} with {y}")),
    }
}

/// `+`, `-`, `*`, `/` and `%`.
pub(super) fn arithmetic(kind: EngineKind, operator: char, a: Typed, b: Typed) -> Result<Typed, Mismatch> {
    let (a, b) = (a.into_value(), b.into_value());
    let (x, y) = (a.ty, b.ty);
    if x == SqlType::Null || y == SqlType::Null {
        return Ok(Typed::null());
    }
    if !x.is_numeric() || !y.is_numeric() {
        return Err(format!("`{operator}` between {x} and {y}"));
    }
    let both_whole = x.is_whole() && y.is_whole();
    if operator == '%' && !both_whole {
        return Err(format!("`%` between {x} and {y}"));
    }
    if x.is_floating() || y.is_floating() || (operator == '/' && both_whole) {
        let (a, b) = (a.widened(kind, SqlType::Double)?, b.widened(kind, SqlType::Double)?);
        return Ok(Typed::value(format!("sb_double_op({}, {}, '{operator}')", a.sql, b.sql), SqlType::Double));
    }
    let ty = exact_result(operator, x, y).ok_or_else(|| format!("`{operator}` between {x} and {y}"))?;
    let limit = match ty {
        SqlType::Integer { bits } => i64::from(bits),
        SqlType::LargeInt => 128,
        SqlType::Decimal { precision, .. } => -i64::from(precision),
        _ => return Err(format!("`{operator}` between {x} and {y}")),
    };
    let function = match operator {
        '+' => "sb_add",
        '-' => "sb_subtract",
        '*' => "sb_multiply",
        _ => "sb_modulo",
    };
    Ok(Typed::value(format!("{function}({}, {}, '{limit}')", a.sql, b.sql), ty))
}

/// Type of exact arithmetic. Integers are widened by one step, up to BIGINT; decimals have the digits that the result
/// can have.
fn exact_result(operator: char, x: SqlType, y: SqlType) -> Option<SqlType> {
    if x.is_whole() && y.is_whole() {
        let wider = match x.common(y)? {
            SqlType::Boolean => SqlType::Integer { bits: 8 },
            other => other,
        };
        return Some(match wider {
            SqlType::Integer { bits } if operator != '%' => SqlType::Integer { bits: (bits * 2).min(64) },
            other => other,
        });
    }
    let ((p, s), (q, t)) = (x.as_decimal()?, y.as_decimal()?);
    let (digits, scale) = match operator {
        '+' | '-' => ((p - s).max(q - t) + s.max(t) + 1, s.max(t)),
        '*' => (p + q, s + t),
        _ => return None,
    };
    (scale <= DECIMAL_DIGITS_MAX).then_some(SqlType::Decimal { precision: digits.min(DECIMAL_DIGITS_MAX), scale })
}

/// `LIKE`; a literal pattern is checked for what it means before it runs.
pub(super) fn like_predicate(text: Typed, pattern: Typed) -> Result<Typed, Mismatch> {
    let (text, pattern) = (text.into_value(), pattern.into_value());
    if let (Some(text), Some(pattern)) = (&text.literal, &pattern.literal) {
        return Ok(Typed::predicate(if like(text, pattern) { "1" } else { "0" }));
    }
    match (text.ty, pattern.ty) {
        (SqlType::Null, _) | (_, SqlType::Null) => Ok(Typed::predicate("NULL")),
        (x, y) if x.is_text() && y.is_text() => {
            Ok(Typed::predicate(format!("(sb_like({}, {}) = '1')", text.sql, pattern.sql)))
        }
        (x, y) => Err(format!("LIKE between {x} and {y}")),
    }
}
