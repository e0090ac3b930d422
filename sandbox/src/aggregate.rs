//! Two values of an `AGGREGATE KEY` table become one. Pure.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::cells::{Decimal, numeric_order};
use crate::table::{Aggregate, ColumnType};

/// The value that a column holds when `new` arrives behind `held`.
///
/// NULL is passed over by all but `REPLACE`, as in the engines' aggregators for nullable columns (StarRocks
/// `be/src/storage/column_aggregator.h`, Doris' load aggregates in `be/src/olap/memtable.cpp`).
#[must_use]
pub(crate) fn aggregate(how: Aggregate, ty: ColumnType, held: Option<&str>, new: Option<&str>) -> Option<String> {
    let own = |value: &str| Some(value.to_owned());
    match (how, held, new) {
        (Aggregate::Replace, _, new) => new.map(str::to_owned),
        (_, held, None) => held.map(str::to_owned),
        (_, None, Some(new)) | (Aggregate::ReplaceIfNotNull, _, Some(new)) => own(new),
        (Aggregate::Sum, Some(held), Some(new)) => Some(sum(ty, held, new)),
        (Aggregate::Min, Some(held), Some(new)) => own(if order(ty, new, held).is_lt() { new } else { held }),
        (Aggregate::Max, Some(held), Some(new)) => own(if order(ty, new, held).is_gt() { new } else { held }),
        (Aggregate::Union, Some(held), Some(new)) => Some(union(ty, held, new)),
    }
}

/// Order of two kept values of one column.
#[must_use]
pub(crate) fn order(ty: ColumnType, a: &str, b: &str) -> Ordering {
    if ty.is_numeric() { numeric_order(a, b) } else { a.cmp(b) }
}

/// Sums stay in the column's type: a whole number that leaves its range comes in again at the other end.
fn sum(ty: ColumnType, held: &str, new: &str) -> String {
    match ty {
        ColumnType::Float => {
            let add = |a: f32, b: f32| (a + b).to_string();
            held.parse().ok().zip(new.parse().ok()).map_or_else(|| held.to_owned(), |(a, b)| add(a, b))
        }
        ColumnType::Double => {
            let add = |a: f64, b: f64| (a + b).to_string();
            held.parse().ok().zip(new.parse().ok()).map_or_else(|| held.to_owned(), |(a, b)| add(a, b))
        }
        ColumnType::Decimal { scale, .. } => {
            let (Some(a), Some(b)) = (unscaled(held, scale), unscaled(new, scale)) else { return held.to_owned() };
            scaled(a.wrapping_add(b), scale)
        }
        ColumnType::Integer { bits } => {
            let (Ok(a), Ok(b)) = (held.parse::<i128>(), new.parse::<i128>()) else { return held.to_owned() };
            let shift = 128 - bits;
            ((a.wrapping_add(b) << shift) >> shift).to_string()
        }
        ColumnType::Boolean
        | ColumnType::LargeInt
        | ColumnType::Date
        | ColumnType::DateTime { .. }
        | ColumnType::Text { .. }
        | ColumnType::Json
        | ColumnType::Nested(_)
        | ColumnType::Binary { .. }
        | ColumnType::Bitmap
        | ColumnType::Hll => {
            let (Ok(a), Ok(b)) = (held.parse::<i128>(), new.parse::<i128>()) else { return held.to_owned() };
            a.wrapping_add(b).to_string()
        }
    }
}

fn unscaled(value: &str, scale: u16) -> Option<i128> {
    Decimal::parse(value)?.times_ten_to(scale).truncated()
}

fn scaled(value: i128, scale: u16) -> String {
    let scale = usize::from(scale);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

fn union(ty: ColumnType, held: &str, new: &str) -> String {
    let parts = held.split(',').chain(new.split(',')).filter(|part| !part.is_empty());
    if ty == ColumnType::Bitmap {
        let numbers: BTreeSet<u64> = parts.filter_map(|n| n.parse().ok()).collect();
        return numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    }
    parts.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_one() {
        use Aggregate::{Max, Min, Replace, ReplaceIfNotNull, Sum, Union};
        let int = ColumnType::Integer { bits: 32 };
        let decimal = ColumnType::Decimal { precision: 20, scale: 2 };
        let text = ColumnType::Text { max_bytes: 9 };
        // how, type, held, new, becomes
        let cases = [
            (Sum, int, Some("7"), Some("-10"), Some("-3")),
            (Sum, int, Some("2147483647"), Some("1"), Some("-2147483648")),
            (Sum, int, None, None, None),
            (Sum, int, Some("7"), None, Some("7")),
            (
                Sum,
                ColumnType::LargeInt,
                Some("170141183460469231731687303715884105726"),
                Some("1"),
                Some("170141183460469231731687303715884105727"),
            ),
            (Sum, decimal, Some("0.10"), Some("0.20"), Some("0.30")),
            (Sum, decimal, Some("0.05"), Some("-0.10"), Some("-0.05")),
            (Sum, decimal, Some("900719925474099.93"), Some("0.01"), Some("900719925474099.94")),
            (Sum, ColumnType::Double, Some("0.1"), Some("0.2"), Some("0.30000000000000004")),
            (Min, int, Some("9"), Some("10"), Some("9")),
            (Max, int, Some("9"), Some("10"), Some("10")),
            (Max, text, Some("9"), Some("10"), Some("9")),
            (Min, text, None, Some("a"), Some("a")),
            (Replace, text, Some("a"), None, None),
            (ReplaceIfNotNull, text, Some("a"), None, Some("a")),
            (ReplaceIfNotNull, text, Some("a"), Some("b"), Some("b")),
            (Union, ColumnType::Bitmap, Some("9,100"), Some("20"), Some("9,20,100")),
            (Union, ColumnType::Hll, Some("aa"), Some("aa"), Some("aa")),
            (Union, ColumnType::Bitmap, Some(""), Some("1"), Some("1")),
        ];
        for (how, ty, held, new, want) in cases {
            assert_eq!(aggregate(how, ty, held, new).as_deref(), want, "{how:?} of {held:?} and {new:?}");
        }
    }
}
