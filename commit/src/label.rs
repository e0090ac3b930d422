//! Names of load transactions: derived from pipeline, nonce and table, so that whoever finds an intent can name its
//! loads again.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::domain::{Label, Nonce, Table};

/// Longest part of a table's own name inside a label; the label stays below 128 characters.
const LABEL_TABLE_MAX: usize = 48;

/// Eight hex digits of a name's hash: what intents and labels say instead of the name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u32);

impl Tag {
    /// Tag of a name.
    pub fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        let first = digest.iter().take(4).fold(0_u32, |tag, byte| (tag << 8) | u32::from(*byte));
        Self(first)
    }

    /// Tag of a table, database included.
    pub fn of_table(table: &Table) -> Self {
        Self::of(&table.to_string())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}

/// Label of one table's load in one attempt.
///
/// The table's name stands in it for people only (characters that a label can't hold become `_`); the tags and the
/// nonce make it unique.
pub fn label(pipeline: Tag, nonce: Nonce, table: &Table) -> Label {
    let readable: String = table
        .name
        .chars()
        .take(LABEL_TABLE_MAX)
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
        .collect();
    Label(Arc::from(format!("loadlock-{readable}-{}-{pipeline}-{nonce}", Tag::of_table(table))))
}

/// Pattern of all labels of a pipeline, for SQL's LIKE: `%` is any text.
pub fn labels_of(pipeline: Tag) -> String {
    format!("loadlock-%-{pipeline}-%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str) -> Table {
        Table { database: "d".into(), name: name.into() }
    }

    #[test]
    fn labels_are_legal_in_both_engines() {
        for name in ["ods_device", "订单.表", &"x".repeat(300)] {
            let label = label(Tag::of("p"), Nonce(7), &table(name));
            assert!(label.0.len() <= 128, "{label}");
            assert!(label.0.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{label}");
        }
    }

    #[test]
    fn a_pipelines_labels_are_known_by_their_pattern() {
        let pattern = labels_of(Tag::of("p"));
        let fits = |label: &Label| {
            let (front, back) =
                (pattern.split('%').next().unwrap_or_default(), pattern.split('%').nth(1).unwrap_or(""));
            label.0.starts_with(front) && label.0.contains(back)
        };
        assert!(fits(&label(Tag::of("p"), Nonce(7), &table("a-b"))));
        assert!(!fits(&label(Tag::of("q"), Nonce(7), &table("a-b"))));
    }

    #[test]
    fn names_that_look_alike_stay_apart() {
        let of = |name| label(Tag::of("p"), Nonce(7), &table(name));
        assert_ne!(of("a.b"), of("a_b"));
        assert_ne!(label(Tag::of("p"), Nonce(7), &table("a")), label(Tag::of("q"), Nonce(7), &table("a")));
        assert_ne!(label(Tag::of("p"), Nonce(7), &table("a")), label(Tag::of("p"), Nonce(8), &table("a")));
    }
}
