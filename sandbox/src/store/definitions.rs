//! Tables that were made while the sandbox ran: their DDL lies beside their rows.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::sql_text::{create_table, drop_table, quote, sequence_name};
use super::{Change, StoreError};

const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS _sandbox_definitions (name TEXT PRIMARY KEY, ddl TEXT NOT NULL) STRICT";

/// Carries a change out; returns the number of rows that were deleted.
pub(super) fn change_by_sql(connection: &Connection, change: &Change) -> Result<u64, StoreError> {
    match change {
        Change::Create { table, ddl } => {
            connection.execute_batch(CREATE)?;
            connection.execute_batch(&create_table(table))?;
            let sql = "INSERT OR REPLACE INTO _sandbox_definitions (name, ddl) VALUES (?1, ?2)";
            connection.execute(sql, [&table.name, ddl])?;
            Ok(0)
        }
        Change::Drop { table } => {
            connection.execute_batch(CREATE)?;
            connection.execute("DELETE FROM _sandbox_definitions WHERE name = ?1", [table])?;
            // Statements that are kept ready would hold the table.
            connection.flush_prepared_statement_cache();
            connection.execute_batch(&drop_table(table))?;
            Ok(0)
        }
        Change::Delete { table, alias, condition } => {
            let sql = format!("DELETE FROM {} AS {} WHERE {condition}", quote(table), quote(alias));
            let rows = connection.execute(&sql, [])?;
            // Behind a TRUNCATE every sequence counts again.
            if condition == "1" && connection.table_exists(None, sequence_name(table).as_str())? {
                connection.execute(&format!("DELETE FROM {}", quote(&sequence_name(table))), [])?;
            }
            Ok(rows as u64)
        }
    }
}

/// Databases in a directory, each with the DDL of the tables that were made in it while a sandbox ran.
///
/// # Errors
/// When the directory or a file in it can't be read.
pub(crate) fn definitions(dir: &Path) -> Result<Vec<(String, Vec<String>)>, StoreError> {
    let unreadable = |e: std::io::Error| StoreError(format!("{} can't be read: {e}", dir.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(database) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        if path.extension().is_none_or(|extension| extension != "sqlite") {
            continue;
        }
        // Not read-only: a file that was left without being closed has a log that is taken in first.
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.execute_batch(CREATE)?;
        let mut statement = connection.prepare("SELECT ddl FROM _sandbox_definitions ORDER BY name")?;
        let ddl = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        found.push((database.to_owned(), ddl));
    }
    found.sort();
    Ok(found)
}
