//! Statements that change something: DDL, `INSERT … VALUES`, `DELETE … WHERE`, `TRUNCATE`.

use std::sync::Arc;

use jiff::tz::TimeZone;
use sqlparser::tokenizer::Token;

use super::error::SqlError;
use super::select;
use super::session::{Server, Session};
use super::show::find;
use super::words::Words;
use crate::cells::{Cell, Misfit, Rules, convert};
use crate::cluster::DefineError;
use crate::ddl;
use crate::options::Op;
use crate::rows::RowChunk;
use crate::table::{Column, ColumnType, DefaultValue, Table};
use crate::transactions::{Begin, Coordinator, Counts};

/// Rows that one INSERT may have.
const INSERT_ROWS_MAX: usize = 10_000;

/// Runs a statement that isn't a query; returns the number of rows that it changed.
///
/// # Errors
/// As the engine, or when the statement isn't imitated.
pub(crate) async fn run(
    server: &Server,
    session: &mut Session,
    sql: &str,
    words: &mut Words<'_>,
) -> Result<u64, SqlError> {
    // Followers have the leader carry out what changes something.
    server.cluster.leader_answers().map_err(SqlError::failed)?;
    if words.take_all(&["CREATE", "DATABASE"]) || words.take_all(&["CREATE", "SCHEMA"]) {
        return create_database(server, words);
    }
    if words.take_all(&["DROP", "DATABASE"]) || words.take_all(&["DROP", "SCHEMA"]) {
        return drop_database(server, words).await;
    }
    if words.take_all(&["CREATE", "TABLE"]) {
        return create_table(server, session, sql, words).await;
    }
    if words.take_all(&["DROP", "TABLE"]) {
        return drop_table(server, session, words).await;
    }
    if words.take_all(&["TRUNCATE", "TABLE"]) {
        let (database, name) = words.table_name()?;
        words.expect_end()?;
        let table = find(server, session, database, &name)?;
        server.cluster.delete_rows(&table, "t", "1").await.map_err(|e| refused(server, e))?;
        return Ok(0);
    }
    if words.take_all(&["INSERT", "INTO"]) {
        return insert(server, session, words).await;
    }
    if words.next_is("DELETE") {
        let environment = server.environment(session, Vec::new());
        let deletion = select::translate_delete(&environment, sql)?;
        let table = find(server, session, Some(deletion.database), &deletion.table)?;
        return server
            .cluster
            .delete_rows(&table, &deletion.alias, &deletion.condition)
            .await
            .map_err(|e| refused(server, e));
    }
    let verb = words.name().unwrap_or_default().to_uppercase();
    Err(SqlError::not_imitated(server.kind, &format!("the statement {verb}")))
}

fn refused(server: &Server, error: DefineError) -> SqlError {
    match error {
        DefineError::Busy(table) => {
            let text = format!("There are still some transactions of table {table} waiting to be completed");
            SqlError::analysis(server.kind, &text)
        }
        DefineError::TooMany(count) => SqlError::not_imitated(server.kind, &format!("more than {count} databases")),
        DefineError::Store(error) => SqlError::failed(error.0),
    }
}

fn create_database(server: &Server, words: &mut Words<'_>) -> Result<u64, SqlError> {
    let if_not_exists = words.take_all(&["IF", "NOT", "EXISTS"]);
    let name = words.name()?;
    words.expect_end()?;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(SqlError::new(1102, "42000", format!("Incorrect database name '{name}'")));
    }
    if server.cluster.has_database(&name) {
        let text = format!("Can't create database '{name}'; database exists");
        return if if_not_exists { Ok(0) } else { Err(SqlError::new(1007, "HY000", text)) };
    }
    server.cluster.create_database(&name).map_err(|e| refused(server, e))?;
    Ok(0)
}

async fn drop_database(server: &Server, words: &mut Words<'_>) -> Result<u64, SqlError> {
    let if_exists = words.take_all(&["IF", "EXISTS"]);
    let name = words.name()?;
    let force = words.take("FORCE");
    words.expect_end()?;
    if !server.cluster.has_database(&name) {
        let text = format!("Can't drop database '{name}'; database doesn't exist");
        return if if_exists { Ok(0) } else { Err(SqlError::new(1008, "HY000", text)) };
    }
    server.cluster.drop_database(&name, force).await.map_err(|e| refused(server, e))?;
    Ok(0)
}

async fn create_table(server: &Server, session: &Session, sql: &str, words: &mut Words<'_>) -> Result<u64, SqlError> {
    let if_not_exists = words.take_all(&["IF", "NOT", "EXISTS"]);
    let (database, name) = words.table_name()?;
    let database = session.database_or(database)?;
    if !server.cluster.has_database(&database) {
        return Err(SqlError::unknown_database(server.kind, &database));
    }
    if server.cluster.table(&database, &name).is_some() {
        let text = format!("Table '{name}' already exists");
        return if if_not_exists { Ok(0) } else { Err(SqlError::new(1050, "42S01", text)) };
    }
    let ddl = format!("USE `{database}`; {sql}");
    let schema = ddl::read(server.kind, &ddl).map_err(|e| SqlError::analysis(server.kind, &e.message))?;
    let Some(table) = schema.tables.into_iter().find(|t| t.database == database && t.name == name) else {
        return Err(SqlError::not_imitated(server.kind, "this form of CREATE TABLE"));
    };
    server.cluster.create_table(table, &ddl).await.map_err(|e| refused(server, e))?;
    Ok(0)
}

async fn drop_table(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<u64, SqlError> {
    let if_exists = words.take_all(&["IF", "EXISTS"]);
    let (database, name) = words.table_name()?;
    words.take("FORCE");
    words.expect_end()?;
    let table = match find(server, session, database, &name) {
        Ok(table) => table,
        Err(_) if if_exists => return Ok(0),
        Err(error) => return Err(error),
    };
    server.cluster.drop_table(&table).await.map_err(|e| refused(server, e))?;
    Ok(0)
}

/// What stands in a VALUES list.
enum Given {
    Number(String),
    Text(String),
    Boolean(bool),
    Null,
    Default,
}

impl Given {
    fn read(words: &mut Words<'_>) -> Result<Self, SqlError> {
        if words.take("NULL") {
            return Ok(Self::Null);
        }
        if words.take("DEFAULT") {
            return Ok(Self::Default);
        }
        if words.next_is("TRUE") || words.next_is("FALSE") {
            return Ok(Self::Boolean(words.take("TRUE") || !words.take("FALSE")));
        }
        if words.is_text() {
            return words.text().map(Self::Text);
        }
        words.number().map(Self::Number)
    }
}

async fn insert(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<u64, SqlError> {
    let (database, name) = words.table_name()?;
    let table = find(server, session, database, &name)?;
    check_insertable(server, &table)?;
    let mut positions: Vec<usize> = (0..table.columns.len()).collect();
    if words.take_token(&Token::LParen) {
        positions.clear();
        loop {
            let column = words.name()?;
            match table.columns.iter().position(|c| c.name.eq_ignore_ascii_case(&column)) {
                Some(at) if !positions.contains(&at) => positions.push(at),
                Some(_) => return Err(SqlError::new(1110, "42000", format!("Column '{column}' specified twice"))),
                None => return Err(SqlError::unknown_column(server.kind, &column)),
            }
            if !words.take_token(&Token::Comma) {
                break;
            }
        }
        words.expect_token(&Token::RParen)?;
    }
    words.expect("VALUES")?;
    let rules = Rules { kind: server.kind, strict: true, zone: TimeZone::UTC };
    let now = super::time::of_millis(server.cluster.clock.now_ms());
    let mut chunk = RowChunk::default();
    let mut rows = 0;
    loop {
        words.expect_token(&Token::LParen)?;
        let mut given: Vec<Given> = table.columns.iter().map(|_| Given::Default).collect();
        for (number, at) in positions.iter().enumerate() {
            if number > 0 {
                words.expect_token(&Token::Comma)?;
            }
            given[*at] = Given::read(words)?;
        }
        words.expect_token(&Token::RParen)?;
        for (column, given) in table.columns.iter().zip(given) {
            push(&rules, column, &given, &now, &mut chunk).map_err(|why| SqlError::analysis(server.kind, &why))?;
        }
        chunk.end_row(Op::Upsert);
        rows += 1;
        if rows > INSERT_ROWS_MAX {
            return Err(SqlError::not_imitated(server.kind, &format!("an INSERT of more than {INSERT_ROWS_MAX} rows")));
        }
        if !words.take_token(&Token::Comma) {
            break;
        }
    }
    words.expect_end()?;
    load(server, &table, chunk, rows as u64).await?;
    Ok(rows as u64)
}

/// What only a load checks or fills, an INSERT can't write.
fn check_insertable(server: &Server, table: &Table) -> Result<(), SqlError> {
    let is_filled =
        |column: &Column| matches!(column.ty, ColumnType::Bitmap | ColumnType::Hll | ColumnType::Binary { .. });
    let what = if table.has_hidden_sequence() {
        "a hidden sequence"
    } else if table.partitions.is_some() {
        "partitions"
    } else if table.columns.iter().any(is_filled) {
        "columns that functions fill"
    } else {
        return Ok(());
    };
    Err(SqlError::not_imitated(server.kind, &format!("INSERT into a table with {what}")))
}

/// Adds one value; the error says why it doesn't fit.
fn push(rules: &Rules, column: &Column, given: &Given, now: &str, chunk: &mut RowChunk) -> Result<(), String> {
    let cell = match given {
        Given::Number(digits) => Some(Cell::Number(digits)),
        Given::Text(text) => Some(Cell::Text(text.into())),
        Given::Boolean(truth) => Some(Cell::Text(if *truth { "1" } else { "0" }.into())),
        Given::Null => None,
        Given::Default => match &column.default {
            DefaultValue::None if !column.nullable => {
                return Err(format!("Column has no default value, column={}", column.name));
            }
            DefaultValue::None | DefaultValue::Null => None,
            DefaultValue::Text(text) => Some(Cell::Text(text.into())),
            DefaultValue::Now => Some(Cell::Text(now.into())),
        },
    };
    match cell {
        Some(cell) => {
            let fits = chunk.push_with(|out| convert(rules, column, &cell, out));
            fits.map_err(|misfit: Misfit| format!("Insert has filtered data: column {} ({misfit:?})", column.name))
        }
        None if column.nullable => {
            chunk.push_null();
            Ok(())
        }
        None => Err(format!("NULL value in non-nullable column '{}'", column.name)),
    }
}

/// Loads rows by a transaction of their own, as the engines do for an INSERT.
async fn load(server: &Server, table: &Arc<Table>, chunk: RowChunk, rows: u64) -> Result<(), SqlError> {
    let cluster = &server.cluster;
    let failed = |why: String| SqlError::failed(why);
    let label = format!("insert_{}", cluster.fresh_label());
    let timeout = cluster.settings.load_timeout;
    let begin = Begin {
        database: &table.database,
        table: &table.name,
        label: &label,
        coordinator: Coordinator::Frontend,
        timeout,
    };
    let transaction = cluster.begin(&begin).map_err(|e| failed(format!("the insert can't begin: {e:?}")))?;
    if !cluster.settings.discard {
        cluster.append(&transaction, table, chunk).await;
    }
    let counts = Counts { total: rows, loaded: rows, ..Counts::default() };
    let id = transaction.id;
    cluster.prepare(id, counts, cluster.settings.prepared_timeout).await.map_err(|e| failed(e.to_string()))?;
    cluster.commit(id).await.map_err(|e| failed(e.to_string()))?;
    cluster.wait_visible(id, cluster.settings.publish_wait).await;
    Ok(())
}
