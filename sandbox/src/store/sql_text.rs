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
CREATE TABLE IF NOT EXISTS _sandbox_last_id (id INTEGER NOT NULL) STRICT;";

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

pub(crate) fn create_table(table: &Table) -> String {
    let columns = table.columns.iter().map(|c| {
        let collation = if c.ty.is_numeric() { format!(" COLLATE {NUMERIC_COLLATION}") } else { String::new() };
        format!("{} TEXT{collation}", quote(&c.name))
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let mut sql = format!("CREATE TABLE IF NOT EXISTS {} ({columns}) STRICT;", quote(&table.name));
    if table.model == Model::Unique && !table.keys.is_empty() {
        // SQLite takes NULLs for different; in a Doris key two NULLs are one.
        let keys = table.keys.iter().map(|k| {
            let column = &table.columns[*k];
            let name = quote(&column.name);
            if column.nullable {
                format!("ifnull({name}, x'') COLLATE BINARY")
            } else {
                format!("{name} COLLATE BINARY")
            }
        });
        let keys = keys.collect::<Vec<_>>().join(", ");
        let index = quote(&format!("_sandbox_key_{}", table.name));
        sql.push_str(&format!("CREATE UNIQUE INDEX IF NOT EXISTS {index} ON {} ({keys});", quote(&table.name)));
    }
    sql
}

pub(crate) fn create_stage(id: i64, table: &Table) -> String {
    let columns: Vec<String> = quoted_columns(table).into_iter().map(|c| format!("{c} TEXT")).collect();
    format!("CREATE TABLE {} (_sandbox_deletes INTEGER NOT NULL, {}) STRICT", stage_name(id), columns.join(", "))
}

pub(crate) fn insert_staged(id: i64, table: &Table) -> String {
    let marks = (1..=table.columns.len()).map(|n| format!("?{}", n + 1)).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {} VALUES (?1, {marks})", stage_name(id))
}

pub(crate) fn has_deletes(id: i64) -> String {
    format!("SELECT EXISTS (SELECT 1 FROM {} WHERE _sandbox_deletes = 1)", stage_name(id))
}

/// Moves staged rows in their order; a unique table keeps the last row of a key.
pub(crate) fn move_rows(id: i64, table: &Table) -> String {
    let columns = quoted_columns(table).join(", ");
    let (name, stage) = (quote(&table.name), stage_name(id));
    format!("INSERT OR REPLACE INTO {name} ({columns}) SELECT {columns} FROM {stage} ORDER BY rowid")
}

pub(crate) fn move_row(id: i64, table: &Table) -> String {
    let columns = quoted_columns(table).join(", ");
    let (name, stage) = (quote(&table.name), stage_name(id));
    format!("INSERT OR REPLACE INTO {name} ({columns}) SELECT {columns} FROM {stage} WHERE rowid = ?1")
}

/// Deletes the row whose key is that of a staged row.
pub(crate) fn delete_row(id: i64, table: &Table) -> String {
    let (name, stage) = (quote(&table.name), stage_name(id));
    let same = table.keys.iter().map(|k| {
        let key = quote(&table.columns[*k].name);
        format!("{name}.{key} IS (SELECT {key} FROM {stage} WHERE rowid = ?1) COLLATE BINARY")
    });
    format!("DELETE FROM {name} WHERE {}", same.collect::<Vec<_>>().join(" AND "))
}

pub(crate) fn drop_stage(id: i64) -> String {
    format!("DROP TABLE IF EXISTS {}", stage_name(id))
}
