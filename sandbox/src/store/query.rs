//! Read-only SQL: the databases' files are attached under their names.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::sql_text::{NUMERIC_COLLATION, quote};
use super::writer::register_collation;
use crate::sql::register_functions;

/// Rows that a query may return.
const ROWS_MAX: usize = 1_000_000;
/// Bytes that a query may return.
const BYTES_MAX: usize = 256 << 20;
/// Longest value that a query may make on its way; a row of a load is shorter.
const VALUE_BYTES_MAX: i32 = 128 << 20;
/// How long a query may run.
const TIME_MAX: Duration = Duration::from_secs(60);

/// What a query found. Numbers are texts, as the engines' text protocol gives them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryResult {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A table that exists for one query only.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Its database; none of the sandbox's own.
    pub(crate) schema: String,
    /// Its name.
    pub(crate) table: String,
    /// Column names, and whether they are ordered as numbers.
    pub(crate) columns: Vec<(String, bool)>,
    /// Rows; `None` is NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// Runs one SELECT over the databases, given as name and file, and over the views.
///
/// # Errors
/// When SQLite refuses it, it isn't a query, returns too many rows, or takes too long.
pub(crate) async fn query(
    databases: Vec<(String, PathBuf)>,
    views: Vec<View>,
    sql: String,
) -> Result<QueryResult, StoreError> {
    let connection = attach(&databases)?;
    let interrupt = connection.get_interrupt_handle();
    let mut work = tokio::task::spawn_blocking(move || {
        create(&connection, &views)?;
        run(&connection, &sql)
    });
    let joined = tokio::select! {
        joined = &mut work => joined,
        () = tokio::time::sleep(TIME_MAX) => {
            interrupt.interrupt();
            work.await
        }
    };
    joined.unwrap_or_else(|e| Err(StoreError(format!("the query died: {e}"))))
}

fn attach(databases: &[(String, PathBuf)]) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_MEMORY;
    let connection = Connection::open_with_flags(":memory:", flags)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
    register_collation(&connection)?;
    register_functions(&connection)?;
    for (name, path) in databases {
        let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        connection.execute(&format!("ATTACH ?1 AS {}", quote(name)), [format!("file:{path}?mode=ro")])?;
    }
    Ok(connection)
}

fn create(connection: &Connection, views: &[View]) -> Result<(), StoreError> {
    let mut schemas: Vec<&str> = Vec::new();
    for View { schema, table, columns, rows } in views {
        if !schemas.contains(&schema.as_str()) {
            connection.execute_batch(&format!("ATTACH ':memory:' AS {}", quote(schema)))?;
            schemas.push(schema);
        }
        let marks = vec!["?"; columns.len()].join(", ");
        let columns = columns.iter().map(|(name, is_numeric)| {
            let collation = if *is_numeric { format!(" COLLATE {NUMERIC_COLLATION}") } else { String::new() };
            format!("{} TEXT{collation}", quote(name))
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let name = format!("{}.{}", quote(schema), quote(table));
        connection.execute_batch(&format!("CREATE TABLE {name} ({columns}) STRICT"))?;
        let mut insert = connection.prepare(&format!("INSERT INTO {name} VALUES ({marks})"))?;
        for row in rows {
            insert.execute(params_from_iter(row))?;
        }
    }
    Ok(())
}

fn run(connection: &Connection, sql: &str) -> Result<QueryResult, StoreError> {
    let mut statement = connection.prepare(sql)?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(StoreError("only SELECT is allowed here".to_owned()));
    }
    let columns: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut found = statement.query([])?;
    let mut rows = Vec::new();
    let mut bytes = 0;
    while let Some(row) = found.next()? {
        if rows.len() == ROWS_MAX {
            return Err(StoreError(format!("the query returns more than {ROWS_MAX} rows; add a LIMIT")));
        }
        let cells = (0..columns.len()).map(|i| Ok(text(row.get_ref(i)?)));
        let cells: Vec<Option<String>> = cells.collect::<Result<_, rusqlite::Error>>()?;
        bytes += cells.iter().flatten().map(String::len).sum::<usize>();
        if bytes > BYTES_MAX {
            return Err(StoreError(format!("the query returns more than {BYTES_MAX} bytes; add a LIMIT")));
        }
        rows.push(cells);
    }
    Ok(QueryResult { columns, rows })
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Real(n) => Some(n.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}
