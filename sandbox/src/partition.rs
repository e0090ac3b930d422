//! Partitions: which rows of a table have a place. Pure.

use std::cmp::Ordering;

use crate::aggregate::order;
use crate::table::ColumnType;

/// The declared partitions of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partitions {
    /// Positions of the partition columns.
    pub(crate) columns: Vec<usize>,
    /// The partitions in DDL order.
    pub(crate) parts: Vec<Partition>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Name.
    pub(crate) name: String,
    /// What it takes.
    pub(crate) takes: Takes,
}

/// What a partition takes; values are in the form that their columns keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// From the first bound on (`None`: from the lowest value), up to but not with the second.
    Range {
        /// Lower bound, taken.
        from: Option<Vec<Bound>>,
        /// Upper bound, not taken.
        to: Vec<Bound>,
    },
    /// `VALUES IN`: one of these.
    List(Vec<Vec<Option<String>>>),
}

/// A value of a range's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// A value.
    Value(String),
    /// `MAXVALUE`.
    Max,
}

impl Partitions {
    /// The name of the partition that takes a row with these partition values; `types` are those of the partition columns.
    #[must_use]
    pub(crate) fn find(&self, types: &[ColumnType], values: &[Option<&str>]) -> Option<&str> {
        let takes = |partition: &&Partition| match &partition.takes {
            Takes::Range { from, to } => {
                from.as_ref().is_none_or(|from| compare(types, values, from).is_ge())
                    && compare(types, values, to).is_lt()
            }
            Takes::List(lists) => lists.iter().any(|list| list.iter().map(Option::as_deref).eq(values.iter().copied())),
        };
        self.parts.iter().find(takes).map(|partition| partition.name.as_str())
    }
}

/// NULL lies before every value, as both engines keep it in the lowest range.
fn compare(types: &[ColumnType], values: &[Option<&str>], bounds: &[Bound]) -> Ordering {
    for ((ty, value), bound) in types.iter().zip(values).zip(bounds) {
        let found = match (value, bound) {
            (_, Bound::Max) | (None, Bound::Value(_)) => Ordering::Less,
            (Some(value), Bound::Value(bound)) => order(*ty, value, bound),
        };
        if found.is_ne() {
            return found;
        }
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_finds_its_partition() {
        let value = |text: &str| vec![Bound::Value(text.to_owned())];
        let range = |name: &str, from, to| Partition { name: name.to_owned(), takes: Takes::Range { from, to } };
        let ranges = Partitions {
            columns: vec![0],
            parts: vec![
                range("low", None, value("10")),
                range("gap", Some(value("20")), value("30")),
                range("high", Some(value("100")), vec![Bound::Max]),
            ],
        };
        let list = Partition { name: "list".into(), takes: Takes::List(vec![vec![Some("a".into())], vec![None]]) };
        let lists = Partitions { columns: vec![0], parts: vec![list] };
        let int = [ColumnType::Integer { bits: 64 }];
        let text = [ColumnType::Text { max_bytes: 9 }];
        let cases = [
            (&ranges, &int, Some("9"), Some("low")),
            (&ranges, &int, Some("10"), None),
            (&ranges, &int, None, Some("low")),
            (&ranges, &int, Some("20"), Some("gap")),
            (&ranges, &int, Some("30"), None),
            (&ranges, &int, Some("9000"), Some("high")),
            (&lists, &text, Some("a"), Some("list")),
            (&lists, &text, None, Some("list")),
            (&lists, &text, Some("b"), None),
        ];
        for (partitions, types, value, want) in cases {
            assert_eq!(partitions.find(types, &[value]), want, "{value:?}");
        }
    }
}
