//! The SQL that the store sends to SQLite.
//!
//! Every value is TEXT in a STRICT table: a numeric affinity would turn 12.50 into 12.5.

use crate::table::{Model, Table};

/// Order of numeric columns, see [`crate::cells::numeric_order`].
pub(crate) const NUMERIC_COLLATION: &str = "NUMERIC_TEXT";
/// Prefix of the tables that hold staged rows; the transaction's id follows.
pub(crate) const STAGE_PREFIX: &str = "_sandbox_stage_";

pub(crate) const CREATE_TRANSACTIONS: &str = "CREATE TABLE IF NOT EXISTS _sandbox_transactions (
    id INTEGER PRIMARY KEY, label TEXT NOT NULL, table_name TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
    begun_ms INTEGER NOT NULL, changed_ms INTEGER NOT NULL, deadline_ms INTEGER NOT NULL,
    total INTEGER NOT NULL, loaded INTEGER NOT NULL, filtered INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS _sandbox_last_id (id INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS _sandbox_updates (id INTEGER PRIMARY KEY, how TEXT NOT NULL) STRICT;";

pub(crate) const WRITE_TRANSACTION: &str = "INSERT OR REPLACE INTO _sandbox_transactions
    (id, label, table_name, state, reason, begun_ms, changed_ms, deadline_ms, total, loaded, filtered, bytes)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

pub(crate) const READ_TRANSACTIONS: &str = "SELECT
    id, label, table_name, state, reason, begun_ms, changed_ms, deadline_ms, total, loaded, filtered, bytes
    FROM _sandbox_transactions ORDER BY id";

/// A name as SQLite takes it.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn quoted_columns(table: &Table) -> Vec<String> {
    table.columns.iter().map(|c| quote(&c.name)).collect()
}

pub(crate) fn stage_name(id: i64) -> String {
    quote(&format!("{STAGE_PREFIX}{id}"))
}

/// The condition that a row has the key given as parameters, in a form that the key's index serves.
fn key_condition(table: &Table) -> String {
    let same = table.keys.iter().enumerate().map(|(number, k)| {
        let (column, parameter) = (key_expression(table, *k), number + 1);
        if table.columns[*k].nullable {
            format!("{column} = ifnull(?{parameter}, x'')")
        } else {
            format!("{column} = ?{parameter}")
        }
    });
    same.collect::<Vec<_>>().join(" AND ")
}

/// SQLite takes NULLs for different; in a Doris key two NULLs are one.
fn key_expression(table: &Table, position: usize) -> String {
    let column = &table.columns[position];
    let name = quote(&column.name);
    if column.nullable { format!("ifnull({name}, x'') COLLATE BINARY") } else { format!("{name} COLLATE BINARY") }
}

/// The table that holds the sequence of every key of a table.
pub(crate) fn sequence_name(table: &str) -> String {
    format!("_sandbox_sequence_{table}")
}

/// Drops a table with what is noted of its keys.
pub(crate) fn drop_table(table: &str) -> String {
    format!("DROP TABLE IF EXISTS {}; DROP TABLE IF EXISTS {}", quote(table), quote(&sequence_name(table)))
}

pub(crate) fn create_table(table: &Table) -> String {
    let columns = table.columns.iter().map(|c| {
        let collation = if c.ty.is_numeric() { format!(" COLLATE {NUMERIC_COLLATION}") } else { String::new() };
        format!("{} TEXT{collation}", quote(&c.name))
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let mut sql = format!("CREATE TABLE IF NOT EXISTS {} ({columns}) STRICT;", quote(&table.name));
    if table.model != Model::Duplicate && !table.keys.is_empty() {
        let keys = table.keys.iter().map(|k| key_expression(table, *k)).collect::<Vec<_>>().join(", ");
        let index = quote(&format!("_sandbox_key_{}", table.name));
        sql.push_str(&format!("CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {} ({keys});", quote(&table.name)));
    }
    if table.sequence.is_some() {
        let name = quote(&sequence_name(&table.name));
        sql.push_str(&format!(
            "CREATE TABLE IF NOT EXISTS {name} (key TEXT NOT NULL PRIMARY KEY, sequence TEXT) STRICT, WITHOUT ROWID;"
        ));
    }
    sql
}

/// The columns of a staged row: the table's, then a hidden sequence.
fn staged_columns(table: &Table) -> Vec<String> {
    let hidden = table.has_hidden_sequence().then(|| "_sandbox_sequence".to_owned());
    quoted_columns(table).into_iter().chain(hidden).collect()
}

pub(crate) fn create_stage(id: i64, table: &Table) -> String {
    let columns: Vec<String> = staged_columns(table).into_iter().map(|c| format!("{c} TEXT")).collect();
    format!("CREATE TABLE {} (_sandbox_deletes INTEGER NOT NULL, {}) STRICT", stage_name(id), columns.join(", "))
}

pub(crate) fn insert_staged(id: i64, table: &Table) -> String {
    let marks = (1..=staged_columns(table).len()).map(|n| format!("?{}", n + 1)).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {} VALUES (?1, {marks})", stage_name(id))
}

pub(crate) fn has_deletes(id: i64) -> String {
    format!("SELECT EXISTS (SELECT 1 FROM {} WHERE _sandbox_deletes = 1)", stage_name(id))
}

/// Staged rows in their order: whether they delete, then their columns.
pub(crate) fn read_staged(id: i64, table: &Table) -> String {
    let columns = staged_columns(table).join(", ");
    format!("SELECT _sandbox_deletes, {columns} FROM {} ORDER BY rowid", stage_name(id))
}

/// Moves staged rows in their order; a unique table keeps the last row of a key.
pub(crate) fn move_rows(id: i64, table: &Table) -> String {
    let columns = quoted_columns(table).join(", ");
    let (name, stage) = (quote(&table.name), stage_name(id));
    format!("INSERT OR REPLACE INTO {name} ({columns}) SELECT {columns} FROM {stage} ORDER BY rowid")
}

/// The row of a key.
pub(crate) fn find_row(table: &Table) -> String {
    let columns = quoted_columns(table).join(", ");
    format!("SELECT {columns} FROM {} WHERE {}", quote(&table.name), key_condition(table))
}

/// Puts a row in the place of its key.
pub(crate) fn put_row(table: &Table) -> String {
    let marks = (1..=table.columns.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    format!("INSERT OR REPLACE INTO {} ({}) VALUES ({marks})", quote(&table.name), quoted_columns(table).join(", "))
}

/// Deletes the row of a key.
pub(crate) fn delete_row(table: &Table) -> String {
    format!("DELETE FROM {} WHERE {}", quote(&table.name), key_condition(table))
}

/// The highest sequence that a key was loaded with.
pub(crate) fn find_sequence(table: &Table) -> String {
    format!("SELECT sequence FROM {} WHERE key = ?1", quote(&sequence_name(&table.name)))
}

/// Notes the sequence of a key.
pub(crate) fn put_sequence(table: &Table) -> String {
    format!("INSERT OR REPLACE INTO {} (key, sequence) VALUES (?1, ?2)", quote(&sequence_name(&table.name)))
}

/// How the rows of a transaction change their table, if not by replacing.
pub(crate) const WRITE_UPDATE: &str = "INSERT OR REPLACE INTO _sandbox_updates (id, how) VALUES (?1, ?2)";

pub(crate) const READ_UPDATES: &str = "SELECT id, how FROM _sandbox_updates";

pub(crate) fn drop_stage(id: i64) -> String {
    format!("DROP TABLE IF EXISTS {}; DELETE FROM _sandbox_updates WHERE id = {id};", stage_name(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddl;
    use crate::table::EngineKind;

    #[test]
    fn the_key_of_a_row_is_found_by_its_index() {
        let ddl = "CREATE TABLE d.t (a INT, b VARCHAR(9) NOT NULL, c INT) UNIQUE KEY(a, b)";
        let table = ddl::read(EngineKind::Doris, ddl).unwrap().tables.remove(0);
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        crate::store::writer::register_collation(&connection).unwrap();
        connection.execute_batch(&create_table(&table)).unwrap();
        for statement in [find_row(&table), delete_row(&table)] {
            let plan: String =
                connection.query_row(&format!("EXPLAIN QUERY PLAN {statement}"), ["1", "x"], |row| row.get(3)).unwrap();
            assert!(plan.contains("USING INDEX _sandbox_key_t"), "{statement}: {plan}");
        }
    }
}
