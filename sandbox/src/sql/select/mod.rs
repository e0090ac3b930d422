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

use sqlparser::ast::{FromTable, Statement};
use sqlparser::dialect::MySqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::error::SqlError;
use super::types::SqlType;
use super::variables::Variables;
use crate::table::{EngineKind, Table};

pub(crate) use scope::Origin;

/// How deep expressions may be nested; a query counts as [`QUERY_DEPTH`] of them.
const DEPTH_MAX: usize = 100;
/// Depth of a query or of one side of a UNION, in expressions.
const QUERY_DEPTH: usize = 6;
/// Words and signs of a query, commas and literals not counted: chains of operators become deep trees.
const QUERY_WORDS_MAX: usize = 2000;

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
    /// Databases and tables that are made for the query.
    pub(crate) schema_tables: BTreeSet<(String, String)>,
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
    let tokens = tokenize(kind, sql)?;
    Ok(tokens.iter().filter(|t| matches!(t.token, Token::Placeholder(_))).map(|t| t.span.start).collect())
}

fn tokenize(kind: EngineKind, sql: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    let tokens = Tokenizer::new(&MySqlDialect {}, sql).tokenize_with_location();
    tokens.map_err(|e| SqlError::syntax(kind, &e.to_string()))
}

/// Translates a query.
///
/// # Errors
/// When it can't be parsed, names what there is not, or needs what isn't imitated.
pub(crate) fn translate(environment: &Environment<'_>, sql: &str) -> Result<Plan, SqlError> {
    let statement = parse_one(environment.kind, sql)?;
    let Statement::Query(query) = &statement else {
        return Err(SqlError::not_imitated(environment.kind, "this statement"));
    };
    let mut translator = Translator::new(environment, sql)?;
    // What a SHOW gives isn't a SELECT of the user's.
    let rows_max = if environment.shown.is_some() { None } else { environment.variables.select_limit() };
    let relation = translator.query(query, None, rows_max)?;
    Ok(Plan {
        sql: relation.sql,
        columns: relation.columns,
        databases: translator.databases,
        schema_tables: translator.schema_tables,
    })
}

/// Rows to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deletion {
    pub(crate) database: String,
    pub(crate) table: String,
    /// What the condition calls the table.
    pub(crate) alias: String,
    /// SQLite's condition.
    pub(crate) condition: String,
}

/// Translates `DELETE FROM t WHERE …`.
///
/// # Errors
/// As for a query; and without a WHERE, or when it reads other tables.
pub(crate) fn translate_delete(environment: &Environment<'_>, sql: &str) -> Result<Deletion, SqlError> {
    let kind = environment.kind;
    let refused = || SqlError::not_imitated(kind, "this form of DELETE");
    let mut translator = Translator::new(environment, sql)?;
    let statement = parse_one(kind, sql)?;
    let Statement::Delete(delete) = &statement else { return Err(refused()) };
    let FromTable::WithFromKeyword(from) = &delete.from else { return Err(refused()) };
    let is_plain = delete.tables.is_empty()
        && delete.using.is_none()
        && delete.returning.is_none()
        && delete.output.is_none()
        && delete.order_by.is_empty()
        && delete.limit.is_none();
    let Some(condition) = delete.selection.as_ref().filter(|_| is_plain) else {
        return Err(SqlError::analysis(kind, "Where clause is not set"));
    };
    let mut scope = scope::Scope::default();
    translator.from(from, &mut scope)?;
    let condition = translator.expr(&scope, condition)?;
    let condition = translator.matched(condition.into_condition())?;
    let reads_one = translator.next_source == 1 && translator.schema_tables.is_empty();
    let source = scope.sources.first().filter(|_| reads_one).ok_or_else(refused)?;
    let origin = source.columns.first().and_then(|c| c.origin.clone()).ok_or_else(refused)?;
    Ok(Deletion { database: origin.database, table: origin.table, alias: source.inner.clone(), condition })
}

fn parse_one(kind: EngineKind, sql: &str) -> Result<Statement, SqlError> {
    let counts = |t: &&TokenWithSpan| {
        !matches!(t.token, Token::Whitespace(_) | Token::Comma | Token::Number(..) | Token::SingleQuotedString(_))
    };
    if tokenize(kind, sql)?.iter().filter(counts).count() > QUERY_WORDS_MAX {
        return Err(SqlError::not_imitated(kind, &format!("a query of more than {QUERY_WORDS_MAX} words")));
    }
    let syntax = |e: sqlparser::parser::ParserError| SqlError::syntax(kind, &e.to_string());
    let mut parser = Parser::new(&MySqlDialect {}).with_recursion_limit(DEPTH_MAX).try_with_sql(sql).map_err(syntax)?;
    let mut statements = parser.parse_statements().map_err(syntax)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        _ => Err(SqlError::syntax(kind, "one statement at a time")),
    }
}

/// Translates one statement.
struct Translator<'a> {
    environment: &'a Environment<'a>,
    placeholders: Vec<Location>,
    depth: usize,
    next_source: usize,
    databases: BTreeSet<String>,
    schema_tables: BTreeSet<(String, String)>,
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

impl<'a> Translator<'a> {
    fn new(environment: &'a Environment<'a>, sql: &str) -> Result<Self, SqlError> {
        Ok(Self {
            environment,
            placeholders: placeholders(environment.kind, sql)?,
            depth: 0,
            next_source: 0,
            databases: BTreeSet::new(),
            schema_tables: BTreeSet::new(),
            named_queries: BTreeMap::new(),
            saw_aggregate: false,
        })
    }

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

    /// Goes one step down, or several.
    fn deeper<T>(&mut self, steps: usize, step: impl FnOnce(&mut Self) -> Result<T, SqlError>) -> Result<T, SqlError> {
        if self.depth + steps > DEPTH_MAX {
            return self.not_imitated(format!("an expression or a query nested deeper than {DEPTH_MAX}"));
        }
        self.depth += steps;
        let result = step(self);
        self.depth -= steps;
        result
    }

    /// A name for a source that no other source of the statement has.
    fn source_name(&mut self) -> String {
        self.next_source += 1;
        format!("s{}", self.next_source)
    }
}
