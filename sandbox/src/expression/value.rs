//! Values of expressions.

use std::cmp::Ordering;

use super::Operator;
use crate::cells::{Decimal, Stamp, format_micros};
use crate::table::ColumnType;

/// A value while an expression is worked out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// NULL.
    Null,
    /// What a comparison gives.
    Bool(bool),
    /// A number by its digits.
    Number(String),
    /// What arithmetic gives.
    Double(f64),
    /// A date or date-time column.
    Time(String),
    /// Everything else.
    Text(String),
}

impl Value {
    /// A value that a column of this type keeps.
    #[must_use]
    pub(crate) fn of_column(ty: ColumnType, text: String) -> Self {
        if ty.is_numeric() {
            return Self::Number(text);
        }
        if matches!(ty, ColumnType::Date | ColumnType::DateTime { .. }) { Self::Time(text) } else { Self::Text(text) }
    }

    /// The value as text; `None` for NULL.
    #[must_use]
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(if *value { "1" } else { "0" }.to_owned()),
            Self::Number(text) | Self::Time(text) | Self::Text(text) => Some(text.clone()),
            Self::Double(value) => value.is_finite().then(|| value.to_string()),
        }
    }

    /// Bytes of its text.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Double(_) => 0,
            Self::Number(text) | Self::Time(text) | Self::Text(text) => text.len(),
        }
    }

    /// The value as a condition; `None` for NULL and for what is no truth value.
    #[must_use]
    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Double(value) => Some(*value != 0.0),
            Self::Null | Self::Time(_) => None,
            Self::Number(text) | Self::Text(text) => match text.to_ascii_lowercase().as_str() {
                "true" => Some(true),
                "false" => Some(false),
                number => Some(Decimal::parse(number)?.compare(&Decimal::parse("0")?).is_ne()),
            },
        }
    }

    /// The value as a double, as arithmetic on text takes it.
    #[must_use]
    pub(crate) fn double(&self) -> Option<f64> {
        match self {
            Self::Double(value) => Some(*value),
            Self::Null | Self::Time(_) => None,
            Self::Bool(value) => Some(if *value { 1.0 } else { 0.0 }),
            Self::Number(text) | Self::Text(text) => {
                Decimal::parse(text)?;
                text.trim().parse().ok()
            }
        }
    }

    /// The value as a whole number, if it is one by its type.
    #[must_use]
    pub(crate) fn whole(&self) -> Option<i128> {
        match self {
            Self::Number(text) => text.parse().ok(),
            Self::Bool(value) => Some((*value).into()),
            Self::Null | Self::Double(_) | Self::Time(_) | Self::Text(_) => None,
        }
    }

    /// Order of two values; `None` if one is NULL or they can't be compared.
    #[must_use]
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, _) | (_, Self::Null) => None,
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Time(_), _) | (_, Self::Time(_)) => Some(self.stamp()?.cmp(&other.stamp()?)),
            _ => {
                let number = |value: &Self| Decimal::parse(&value.text()?);
                Some(number(self)?.compare(&number(other)?))
            }
        }
    }

    /// The value as a date-time in one form, whatever the form it was written in.
    fn stamp(&self) -> Option<String> {
        Stamp::parse(&self.text()?).map(|stamp| format_micros(stamp.at))
    }
}

/// Arithmetic: exact on two whole numbers (but for `/`), else on doubles. A division by zero is NULL.
pub(super) fn calculate(operator: Operator, a: &Value, b: &Value) -> Value {
    if let (Some(a), Some(b)) = (a.whole(), b.whole()) {
        let exact = match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Remainder => a.checked_rem(b),
            Operator::Divide => None,
        };
        if let Some(exact) = exact {
            return Value::Number(exact.to_string());
        }
    }
    let (Some(a), Some(b)) = (a.double(), b.double()) else { return Value::Null };
    match operator {
        Operator::Divide | Operator::Remainder if b == 0.0 => Value::Null,
        Operator::Add => Value::Double(a + b),
        Operator::Subtract => Value::Double(a - b),
        Operator::Multiply => Value::Double(a * b),
        Operator::Divide => Value::Double(a / b),
        Operator::Remainder => Value::Double(a % b),
    }
}
