//! SQL as the engines' clients speak it: one statement in, a typed result or the engine's error out.
//!
//! ```text
//!  mysql, drivers ──> mysql::connection ──> run ──┬─ SELECT ──> select (translate) ──> store::query
//!                                                 ├─ SHOW, DESC, ADMIN SHOW ──> show ─────┘ (WHERE, LIMIT)
//!                                                 ├─ USE, SET ──> the session
//!                                                 └─ CREATE, DROP, INSERT, DELETE ──> change ──> cluster
//! ```
//!
//! The translation is pure. SQLite does the work over values that are texts; arithmetic, casts and comparisons of
//! numbers go by their digits. What isn't understood is refused: no answer is nearly right.

mod change;
mod describe;
mod error;
mod functions;
mod loads;
mod nodes;
mod number;
mod schema_tables;
mod select;
mod session;
mod show;
mod time;
mod types;
mod variables;
mod version;
mod words;

use std::path::PathBuf;

use serde_json::Value;

use crate::like::like;
use crate::store::{View, query};

pub(crate) use error::SqlError;
pub(crate) use functions::register as register_functions;
pub(crate) use nodes::settings;
pub(crate) use select::{OutputColumn, Parameter};
pub(crate) use session::{Server, Session};
pub(crate) use types::SqlType;
pub(crate) use version::mysql as mysql_version;

use schema_tables::SCHEMA;
use select::{Environment, Plan};
use types::VARCHAR;
use words::Words;

/// Longest statement, bytes.
pub(crate) const STATEMENT_MAX_BYTES: usize = 1 << 20;

/// Rows with their columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) columns: Vec<OutputColumn>,
    /// Cells are texts as the engines show them; `None` is NULL.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Grid {
    /// Columns of texts, as `SHOW` has them, without rows.
    pub(crate) fn of_texts(names: &[&str]) -> Self {
        let column = |name: &&str| OutputColumn { name: (*name).to_owned(), ty: VARCHAR, origin: None };
        Self { columns: names.iter().map(column).collect(), rows: Vec::new() }
    }

    /// A cell as JSON: numbers that a double holds exactly enough for a client are numbers, everything else is text.
    pub(crate) fn json(&self, column: usize, cell: Option<&str>) -> Value {
        let Some(cell) = cell else { return Value::Null };
        let is_number = match self.columns.get(column).map(|c| c.ty) {
            Some(SqlType::Integer { .. } | SqlType::Float | SqlType::Double) => true,
            Some(
                SqlType::Null
                | SqlType::Boolean
                | SqlType::LargeInt
                | SqlType::Decimal { .. }
                | SqlType::Date
                | SqlType::DateTime { .. }
                | SqlType::Text { .. }
                | SqlType::Json,
            )
            | None => false,
        };
        let number = serde_json::from_str::<serde_json::Number>(cell).ok().filter(|_| is_number);
        number.map_or_else(|| Value::from(cell), Value::Number)
    }

    /// The same with titles that have no spaces, divided by spaces.
    pub(crate) fn titled(titles: &str) -> Self {
        Self::of_texts(&titles.split_whitespace().collect::<Vec<_>>())
    }

    /// Rows of the same columns, each with its cell.
    pub(crate) fn of_rows<const N: usize>(rows: impl IntoIterator<Item = [(&'static str, String); N]>) -> Self {
        let mut grid = Self::of_texts(&[]);
        for row in rows {
            let (titles, cells): (Vec<_>, Vec<_>) = row.into_iter().unzip();
            if grid.rows.is_empty() {
                grid = Self::of_texts(&titles);
            }
            grid.push(cells);
        }
        grid
    }

    /// Adds a row of texts.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(|cell| Some(cell.into())).collect());
    }
}

/// What a statement gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A result set.
    Rows(Grid),
    /// No result set, but rows that were changed.
    Done(u64),
}

/// Runs one statement.
///
/// # Errors
/// As the engine: what the client is told.
pub(crate) async fn run(
    server: &Server,
    session: &mut Session,
    sql: &str,
    parameters: Vec<Parameter>,
) -> Result<Answer, SqlError> {
    if sql.len() > STATEMENT_MAX_BYTES {
        return Err(SqlError::failed(format!("the statement is longer than {STATEMENT_MAX_BYTES} bytes")));
    }
    let mut words = Words::of(server.kind, sql)?;
    if words.is_end() {
        return Err(SqlError::new(1065, "42000", "Query was empty"));
    }
    if words.is_query() {
        let environment = server.environment(session, parameters);
        let plan = select::translate(&environment, sql)?;
        return Ok(Answer::Rows(answer_query(server, session, plan, None).await?));
    }
    if !parameters.is_empty() {
        return Err(SqlError::not_imitated(server.kind, "a prepared statement that is no SELECT"));
    }
    if words.take("SHOW") || words.next_is("DESC") || words.next_is("DESCRIBE") || words.next_is("ADMIN") {
        let of_transactions = words.next_is("TRANSACTION");
        let grid = show::grid(server, session, &mut words)?;
        let unknown = if of_transactions { loads::unknown_transaction(server.kind, words.rest()) } else { None };
        let found = filtered(server, session, grid, &mut words).await?;
        return match unknown.filter(|_| found.rows.is_empty()) {
            Some(unknown) => Err(unknown),
            None => Ok(Answer::Rows(found)),
        };
    }
    if words.take("USE") {
        let (_, database) = words.table_name()?;
        words.expect_end()?;
        session.choose(server, &database)?;
        return Ok(Answer::Done(0));
    }
    if words.take("SET") {
        session.set(&mut words)?;
        return Ok(Answer::Done(0));
    }
    // Nothing is left open between statements, so there is nothing to commit or to take back.
    if words.take_any(&["COMMIT", "ROLLBACK"]) && words.is_end() {
        return Ok(Answer::Done(0));
    }
    change::run(server, session, sql, &mut words).await.map(Answer::Done)
}

/// The columns that a query will give, its parameters being unknown.
///
/// # Errors
/// When the statement is no query, or can't be translated.
pub(crate) fn prepare(server: &Server, session: &Session, sql: &str) -> Result<(usize, Vec<OutputColumn>), SqlError> {
    if !Words::of(server.kind, sql)?.is_query() {
        return Err(SqlError::not_imitated(server.kind, "a prepared statement that is no SELECT"));
    }
    let count = select::placeholders(server.kind, sql)?.len();
    let environment = server.environment(session, vec![Parameter::Null; count]);
    Ok((count, select::translate(&environment, sql)?.columns))
}

/// Runs a plan; `shown` is what `information_schema.shown` holds.
async fn answer_query(server: &Server, session: &Session, plan: Plan, shown: Option<&Grid>) -> Result<Grid, SqlError> {
    let files: Vec<(String, PathBuf)> = server
        .cluster
        .stores()
        .into_iter()
        .filter(|(name, _)| plan.databases.contains(name.as_str()))
        .map(|(name, store)| (name, store.path().to_owned()))
        .collect();
    let mut views = Vec::new();
    for (schema, table) in &plan.schema_tables {
        let grid = match shown {
            Some(shown) if table == schema_tables::SHOWN => Some(shown.clone()),
            _ => schema_tables::grid(server, session, schema, table),
        };
        let Some(grid) = grid else { return Err(SqlError::unknown_table(server.kind, schema, table)) };
        views.push(View {
            schema: schema.clone(),
            table: table.clone(),
            columns: grid.columns.iter().map(|c| (c.name.clone(), c.ty.is_numeric())).collect(),
            rows: grid.rows,
        });
    }
    let found = query(files, views, plan.sql).await.map_err(|error| SqlError::failed(error.0))?;
    Ok(Grid { columns: plan.columns, rows: found.rows })
}

/// `LIKE`, or `WHERE`, `ORDER BY` and `LIMIT` behind a SHOW.
async fn filtered(server: &Server, session: &Session, mut grid: Grid, words: &mut Words<'_>) -> Result<Grid, SqlError> {
    if words.take("LIKE") {
        let pattern = words.text()?.to_lowercase();
        let matches = |row: &Vec<Option<String>>| {
            row.first().and_then(Option::as_ref).is_some_and(|cell| like(&cell.to_lowercase(), &pattern))
        };
        grid.rows.retain(matches);
    }
    if words.is_end() {
        return Ok(grid);
    }
    if !["WHERE", "ORDER", "LIMIT"].iter().any(|word| words.next_is(word)) {
        return words.expected("WHERE, ORDER BY, LIMIT");
    }
    let sql = format!("SELECT * FROM {SCHEMA}.{} {}", schema_tables::SHOWN, words.rest());
    let shown = with_short_names(&grid);
    let environment = Environment { shown: Some(shown.columns.clone()), ..server.environment(session, Vec::new()) };
    let plan = select::translate(&environment, &sql)?;
    let mut rows = answer_query(server, session, plan, Some(&shown)).await?.rows;
    rows.iter_mut().for_each(|row| row.truncate(grid.columns.len()));
    Ok(Grid { rows, ..grid })
}

/// `SHOW TRANSACTION` is asked by `id` and `status`, which are no columns of it.
fn with_short_names(grid: &Grid) -> Grid {
    let mut shown = grid.clone();
    for (name, short, ty) in [("TransactionId", "id", types::BIGINT), ("TransactionStatus", "status", VARCHAR)] {
        if let Some(at) = grid.columns.iter().position(|c| c.name == name) {
            shown.columns.push(OutputColumn { name: short.to_owned(), ty, origin: None });
            shown.rows.iter_mut().for_each(|row| row.push(row[at].as_ref().map(|text| text.to_lowercase())));
        }
    }
    shown
}
