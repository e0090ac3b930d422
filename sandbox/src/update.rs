//! What a loaded row does to the row of its key. Pure.

use serde::{Deserialize, Serialize};

use crate::aggregate::{aggregate, order};
use crate::table::{Model, Table};

/// How the rows of a load change a table, besides what the table's model says. The same for all rows of a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    /// Positions of the columns that the load carries; `None` is all of them.
    pub(crate) partial: Option<Vec<usize>>,
    /// What a new key gets in the columns that the load doesn't carry.
    pub(crate) fill: Vec<Option<String>>,
    /// `merge_condition`: a row counts only if its value in this column is not below the held one.
    pub(crate) condition: Option<usize>,
    /// Why the load fails when it carries a key that the table doesn't hold.
    pub(crate) needs_held: Option<String>,
}

/// A staged row on its way into its table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Staged<'a> {
    /// True if it deletes.
    pub(crate) deletes: bool,
    /// The columns in DDL order.
    pub(crate) cells: &'a [Option<String>],
}

/// What becomes of the row of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing changes.
    Stays,
    /// The row is deleted.
    Goes,
    /// The row is now this.
    Becomes(Vec<Option<String>>),
}

impl Update {
    /// True if a later row simply replaces an earlier one.
    #[must_use]
    pub(crate) fn is_plain(&self) -> bool {
        self.partial.is_none() && self.condition.is_none()
    }

    /// True if the load carries the column.
    #[must_use]
    pub(crate) fn carries(&self, position: usize) -> bool {
        self.partial.as_ref().is_none_or(|columns| columns.contains(&position))
    }
}

/// Folds a row into what the table holds of its key.
#[must_use]
pub(crate) fn fold(table: &Table, update: &Update, held: Option<&[Option<String>]>, row: Staged<'_>) -> Outcome {
    if row.deletes {
        return if held.is_some() { Outcome::Goes } else { Outcome::Stays };
    }
    if let (Some(position), Some(held)) = (update.condition, held)
        && let (Some(held), Some(new)) = (held.get(position), row.cells.get(position))
        && is_below(table.columns[position].ty, new.as_deref(), held.as_deref())
    {
        return Outcome::Stays;
    }
    let cells = row.cells.iter().enumerate().map(|(position, new)| {
        let before = held.and_then(|held| held.get(position));
        match (update.carries(position), before) {
            (false, Some(before)) => before.clone(),
            (false, None) => update.fill.get(position).cloned().flatten(),
            (true, before) => match (table.columns[position].aggregate, before) {
                (Some(how), Some(before)) if table.model == Model::Aggregate => {
                    aggregate(how, table.columns[position].ty, before.as_deref(), new.as_deref())
                }
                _ => new.clone(),
            },
        }
    });
    Outcome::Becomes(cells.collect())
}

/// True if a value lies below another; NULL lies below all others (StarRocks `TabletUpdates::_do_update` and Doris'
/// `MemTable::_aggregate_two_row_in_block` compare so). Of equals the later one counts.
#[must_use]
pub(crate) fn is_below(ty: crate::table::ColumnType, new: Option<&str>, held: Option<&str>) -> bool {
    match (new, held) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(new), Some(held)) => order(ty, new, held).is_lt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddl;
    use crate::table::EngineKind;

    fn row(text: &str) -> Vec<Option<String>> {
        text.split('|').map(|cell| (cell != "-").then(|| cell.to_owned())).collect()
    }

    #[test]
    fn a_row_meets_the_row_of_its_key() {
        let table = |ddl: &str| ddl::read(EngineKind::StarRocks, ddl).unwrap().tables.remove(0);
        let primary = table("CREATE TABLE d.t (k INT, a INT, b INT) PRIMARY KEY(k)");
        let sums = table("CREATE TABLE d.t (k INT, a INT SUM, b INT REPLACE_IF_NOT_NULL) AGGREGATE KEY(k)");
        let plain = Update::default();
        let partial = Update { partial: Some(vec![0, 1]), fill: row("-|-|7"), ..Update::default() };
        let condition = Update { condition: Some(1), ..Update::default() };
        let becomes = |text: &str| Outcome::Becomes(row(text));
        // table, update, held, staged, outcome
        let cases = [
            (&primary, &plain, None, "1|2|3", becomes("1|2|3")),
            (&primary, &plain, Some("1|9|9"), "1|2|-", becomes("1|2|-")),
            (&primary, &partial, Some("1|9|8"), "1|2|-", becomes("1|2|8")),
            (&primary, &partial, None, "1|2|-", becomes("1|2|7")),
            (&primary, &condition, Some("1|9|9"), "1|10|1", becomes("1|10|1")),
            (&primary, &condition, Some("1|9|9"), "1|9|1", becomes("1|9|1")),
            (&primary, &condition, Some("1|9|9"), "1|8|1", Outcome::Stays),
            (&primary, &condition, Some("1|9|9"), "1|-|1", Outcome::Stays),
            (&primary, &condition, Some("1|-|9"), "1|-|1", becomes("1|-|1")),
            (&sums, &plain, Some("1|9|9"), "1|2|-", becomes("1|11|9")),
            (&sums, &plain, None, "1|-|-", becomes("1|-|-")),
        ];
        for (table, update, held, staged, want) in cases {
            let (held, cells) = (held.map(row), row(staged));
            let staged_row = Staged { deletes: false, cells: &cells };
            assert_eq!(fold(table, update, held.as_deref(), staged_row), want, "{staged} on {held:?}");
        }
        let cells = row("1|-|-");
        let deletes = Staged { deletes: true, cells: &cells };
        assert_eq!(fold(&primary, &plain, Some(&cells), deletes), Outcome::Goes);
        assert_eq!(fold(&primary, &plain, None, deletes), Outcome::Stays);
    }
}
