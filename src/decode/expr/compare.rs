//! Comparisons. Null compared with anything is null; kinds that have no common order are told, not guessed.

use std::cmp::Ordering;

use super::lex::Compare;
use super::number::{self, is_number};
use super::value::Value;

impl Compare {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// Compares two values; `None` if one of them is null.
pub(super) fn compare(compare: Compare, one: &Value<'_>, other: &Value<'_>) -> Result<Option<bool>, String> {
    if matches!((one, other), (Value::Null, _) | (_, Value::Null)) {
        return Ok(None);
    }
    Ok(Some(compare.holds(order(compare, one, other)?)))
}

fn order(compare: Compare, one: &Value<'_>, other: &Value<'_>) -> Result<Ordering, String> {
    let numbers = |one: &str, other: &str| {
        number::compare(one, other).ok_or_else(|| "a comparison: an exponent is beyond all measure".to_owned())
    };
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => numbers(one, other),
        // Writers that send decimals as texts, and literals in quotes.
        (Value::Number(one), Value::Text(other)) | (Value::Text(one), Value::Number(other))
            if is_number(one) && is_number(other) =>
        {
            numbers(one, other)
        }
        (Value::Text(one), Value::Text(other)) => Ok(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) if matches!(compare, Compare::Equal | Compare::Unequal) => {
            Ok(one.cmp(other))
        }
        _ => Err(format!("a comparison: {} can't be compared with {}", one.name(), other.name())),
    }
}
