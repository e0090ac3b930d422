//! Moves the staged rows of a transaction into their table.

use rusqlite::{CachedStatement, Connection, Row, params_from_iter};

use super::StoreError;
use super::sql_text as sql;
use crate::table::{Model, Sequence, Table};
use crate::update::{Outcome, Staged, Update, fold, is_below};

/// Moves all staged rows of a transaction, in the order in which they were loaded.
pub(super) fn publish(connection: &Connection, id: i64, table: &Table, update: &Update) -> Result<(), StoreError> {
    let is_plain = table.model == Model::Duplicate
        || (table.model == Model::Unique
            && table.sequence.is_none()
            && update.is_plain()
            && !has_deletes(connection, id)?);
    if is_plain {
        connection.execute(&sql::move_rows(id, table), [])?;
        return Ok(());
    }
    let mut folder = Folder::new(connection, table, update)?;
    let mut statement = connection.prepare(&sql::read_staged(id, table))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        folder.fold(row)?;
    }
    Ok(())
}

fn has_deletes(connection: &Connection, id: i64) -> Result<bool, StoreError> {
    Ok(connection.query_row(&sql::has_deletes(id), [], |row| row.get(0))?)
}

/// Folds rows one by one into a table.
struct Folder<'a> {
    table: &'a Table,
    update: &'a Update,
    find: CachedStatement<'a>,
    put: CachedStatement<'a>,
    delete: CachedStatement<'a>,
    sequences: Option<Sequences<'a>>,
}

/// The sequence of every key ever loaded, deleted ones too: an old row must not come back behind a delete.
struct Sequences<'a> {
    find: CachedStatement<'a>,
    put: CachedStatement<'a>,
}

impl<'a> Folder<'a> {
    fn new(connection: &'a Connection, table: &'a Table, update: &'a Update) -> Result<Self, StoreError> {
        let sequences = match table.sequence {
            None => None,
            Some(_) => Some(Sequences {
                find: connection.prepare_cached(&sql::find_sequence(table))?,
                put: connection.prepare_cached(&sql::put_sequence(table))?,
            }),
        };
        Ok(Self {
            table,
            update,
            find: connection.prepare_cached(&sql::find_row(table))?,
            put: connection.prepare_cached(&sql::put_row(table))?,
            delete: connection.prepare_cached(&sql::delete_row(table))?,
            sequences,
        })
    }

    fn fold(&mut self, row: &Row<'_>) -> Result<(), StoreError> {
        let deletes: bool = row.get(0)?;
        let width = self.table.columns.len();
        let cells = (1..=width).map(|i| row.get(i)).collect::<Result<Vec<Option<String>>, _>>()?;
        let key: Vec<Option<&str>> = self.table.keys.iter().map(|k| cells[*k].as_deref()).collect();
        if self.is_outrun(&key, &cells, row)? {
            return Ok(());
        }
        let held = {
            let mut found = self.find.query(params_from_iter(&key))?;
            match found.next()? {
                None => None,
                Some(held) => Some((0..width).map(|i| held.get(i)).collect::<Result<Vec<Option<String>>, _>>()?),
            }
        };
        match fold(self.table, self.update, held.as_deref(), Staged { deletes, cells: &cells }) {
            Outcome::Stays => {}
            Outcome::Goes => drop(self.delete.execute(params_from_iter(&key))?),
            Outcome::Becomes(cells) => drop(self.put.execute(params_from_iter(&cells))?),
        }
        Ok(())
    }

    /// True if a row with a higher sequence came before; else the row's own sequence is noted.
    fn is_outrun(&mut self, key: &[Option<&str>], cells: &[Option<String>], row: &Row<'_>) -> Result<bool, StoreError> {
        let Some(sequences) = &mut self.sequences else { return Ok(false) };
        let own: Option<String> = match self.table.sequence {
            None => return Ok(false),
            Some(Sequence::Hidden(_)) => row.get(self.table.columns.len() + 1)?,
            // A partial update without the sequence column leaves the order as it is.
            Some(Sequence::Column(position)) if !self.update.carries(position) => return Ok(false),
            Some(Sequence::Column(position)) => cells[position].clone(),
        };
        let key = serde_json::to_string(key)?;
        let held: Option<Option<String>> = {
            let mut found = sequences.find.query([&key])?;
            found.next()?.map(|held| held.get(0)).transpose()?
        };
        if let (Some(held), Some(ty)) = (held, self.table.sequence_type())
            && is_below(ty, own.as_deref(), held.as_deref())
        {
            return Ok(true);
        }
        sequences.put.execute((key, own))?;
        Ok(false)
    }
}
