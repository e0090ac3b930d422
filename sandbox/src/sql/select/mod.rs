//! Queries: a SELECT of the engines' dialect becomes one of SQLite's, with a type for each column.
//!
//! What isn't understood, or would have another meaning in SQLite, is refused. So an answer is either the engine's or an
//! error.

#![expect(clippy::wildcard_enum_match_arm, reason = "the enums are the parser's, with a hundred kinds of node")]

mod call;
mod expr;
mod from;
mod query;
mod scope;
mod typed;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlparser::ast::Statement;
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, Tokenizer};

use super::error::SqlError;
use super::types::SqlType;
use super::variables::Variables;
use crate::table::{EngineKind, Table};

pub(crate) use scope::Origin;

/// How deep expressions and queries may be nested.
const DEPTH_MAX: usize = 100;

/// What a query is translated against.
#[derive(Debug)]
pub(crate) struct Environment<'a> {
    pub(crate) kind: EngineKind,
    /// Databases with tables, not `information_schema`.
    pub(crate) databases: Vec<String>,
    pub(crate) tables: Vec<Arc<Table>>,
    /// The database that `USE` chose.
    pub(crate) database: Option<String>,
    pub(crate) user: String,
    /// The engine's own version.
    pub(crate) version: String,
    pub(crate) connection_id: u32,
    pub(crate) variables: &'a Variables,
    /// The sandbox's clock, ms since the epoch.
    pub(crate) now_ms: i64,
    /// Values for the `?` of a prepared statement, in their order; empty for others.
    pub(crate) parameters: Vec<Parameter>,
    /// Columns of what a SHOW gives, while its WHERE is translated.
    pub(crate) shown: Option<Vec<OutputColumn>>,
}

/// The value of a `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// NULL, or not bound yet.
    Null,
    /// A number by its digits.
    Number(String),
    /// A text, or a date as one.
    Text(String),
}

/// A query ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// SQLite's text.
    pub(crate) sql: String,
    pub(crate) columns: Vec<OutputColumn>,
    /// Databases that are read.
    pub(crate) databases: BTreeSet<String>,
    /// Tables of `information_schema` that are read.
    pub(crate) schema_tables: BTreeSet<String>,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputColumn {
    pub(crate) name: String,
    pub(crate) ty: SqlType,
    pub(crate) origin: Option<Origin>,
}

/// Where the `?` of a statement stand.
///
/// # Errors
/// When the statement has a token that doesn't end.
pub(crate) fn placeholders(kind: EngineKind, sql: &str) -> Result<Vec<Location>, SqlError> {
    let tokens = Tokenizer::new(&MySqlDialect {}, sql).tokenize_with_location();
    let tokens = tokens.map_err(|e| SqlError::syntax(kind, &e.to_string()))?;
    Ok(tokens.iter().filter(|t| matches!(t.token, Token::Placeholder(_))).map(|t| t.span.start).collect())
}

/// Translates a query.
///
/// # Errors
/// When it can't be parsed, names what there is not, or needs what isn't imitated.
pub(crate) fn translate(environment: &Environment<'_>, sql: &str) -> Result<Plan, SqlError> {
    let kind = environment.kind;
    let syntax = |e: sqlparser::parser::ParserError| SqlError::syntax(kind, &e.to_string());
    let mut parser = Parser::new(&MySqlDialect {}).with_recursion_limit(DEPTH_MAX).try_with_sql(sql).map_err(syntax)?;
    let statements = parser.parse_statements().map_err(syntax)?;
    let query = match statements.as_slice() {
        [Statement::Query(query)] => query,
        [_] => return Err(SqlError::not_imitated(kind, "this statement")),
        _ => return Err(SqlError::syntax(kind, "one statement at a time")),
    };
    let mut translator = Translator {
        environment,
        placeholders: placeholders(kind, sql)?,
        next_source: 0,
        databases: BTreeSet::new(),
        schema_tables: BTreeSet::new(),
        named_queries: BTreeMap::new(),
        saw_aggregate: false,
    };
    let relation = translator.query(query, None, environment.variables.select_limit())?;
    Ok(Plan {
        sql: relation.sql,
        columns: relation.columns,
        databases: translator.databases,
        schema_tables: translator.schema_tables,
    })
}

/// Translates one statement.
struct Translator<'a> {
    environment: &'a Environment<'a>,
    placeholders: Vec<Location>,
    next_source: usize,
    databases: BTreeSet<String>,
    schema_tables: BTreeSet<String>,
    /// `WITH` queries by name.
    named_queries: BTreeMap<String, Relation>,
    /// Set when an aggregate is met where rows are single.
    saw_aggregate: bool,
}

/// A translated query: SQLite's text, whose columns are named `c0`, `c1` and so on.
#[derive(Clone, Debug)]
struct Relation {
    sql: String,
    columns: Vec<OutputColumn>,
}

impl Translator<'_> {
    fn kind(&self) -> EngineKind {
        self.environment.kind
    }

    fn not_imitated<T>(&self, what: impl AsRef<str>) -> Result<T, SqlError> {
        Err(SqlError::not_imitated(self.kind(), what.as_ref()))
    }

    fn analysis<T>(&self, detail: impl AsRef<str>) -> Result<T, SqlError> {
        Err(SqlError::analysis(self.kind(), detail.as_ref()))
    }

    /// A mismatch of types as an error.
    fn matched<T>(&self, result: Result<T, typed::Mismatch>) -> Result<T, SqlError> {
        result.map_err(|what| SqlError::not_imitated(self.kind(), &what))
    }

    /// A name for a source that no other source of the statement has.
    fn source_name(&mut self) -> String {
        self.next_source += 1;
        format!("s{}", self.next_source)
    }
}
