//! `SHOW`, `DESC` and `ADMIN SHOW`: the rows before LIKE, WHERE and LIMIT.

use std::sync::Arc;

use super::describe::{create_table, default_text, type_text};
use super::error::SqlError;
use super::schema_tables::{self, SCHEMA, column_key, engine_row};
use super::session::{Server, Session};
use super::words::Words;
use super::{Grid, loads, nodes};
use crate::table::{EngineKind, Model, Table};

/// How MySQL's lists of routines, triggers and events end.
const CHARACTERS: [&str; 3] = ["character_set_client", "collation_connection", "Database Collation"];

/// Reads the statement up to its LIKE or WHERE and gives all rows. `SHOW` itself has been taken.
pub(crate) fn grid(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Grid, SqlError> {
    if words.take_any(&["DESC", "DESCRIBE"]) {
        let table = named_table(server, session, words)?;
        return Ok(describe(server.kind, &table));
    }
    if words.take("ADMIN") {
        if !words.take_all(&["SHOW", "FRONTEND", "CONFIG"]) {
            return words.expected("SHOW FRONTEND CONFIG");
        }
        return Ok(nodes::frontend_config(server));
    }
    let _ = words.take_any(&["GLOBAL", "SESSION"]);
    let full = words.take("FULL");
    if words.take("TABLES") {
        return tables(server, session, words, full);
    }
    if words.take_any(&["COLUMNS", "FIELDS"]) {
        words.take_any(&["FROM", "IN"]);
        let table = table_from(server, session, words)?;
        return Ok(if full { full_columns(server.kind, &table) } else { describe(server.kind, &table) });
    }
    if words.take("PROCESSLIST") {
        return Ok(nodes::processes(server, session.id));
    }
    if full {
        return words.expected("TABLES, COLUMNS, PROCESSLIST");
    }
    if words.take("CREATE") {
        return create(server, session, words);
    }
    if words.take("TRANSACTION") {
        return loads::transactions(server, session, words);
    }
    if words.take("LOAD") {
        return loads::jobs(server, session, words);
    }
    if words.take_all(&["STREAM", "LOAD"]) {
        return loads::stream_loads(server, session, words);
    }
    if words.take_any(&["INDEX", "INDEXES", "KEYS"]) {
        words.take_any(&["FROM", "IN"]);
        table_from(server, session, words)?;
        return Ok(Grid::titled(
            "Table Non_unique Key_name Seq_in_index Column_name Collation Cardinality Sub_part Packed Null \
                 Index_type Comment",
        ));
    }
    if words.take_all(&["TABLE", "STATUS"]) {
        return table_status(server, session, words);
    }
    constant(server, session, words)
}

/// What doesn't depend on a table.
fn constant(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Grid, SqlError> {
    if words.take_any(&["DATABASES", "SCHEMAS"]) {
        let mut grid = Grid::of_texts(&["Database"]);
        let mut names = server.databases();
        names.push(SCHEMA.to_owned());
        names.sort();
        names.into_iter().for_each(|name| grid.push([name]));
        return Ok(grid);
    }
    if words.take("FRONTENDS") {
        return Ok(nodes::frontends(server));
    }
    if words.take("BACKENDS") {
        return Ok(nodes::backends(server));
    }
    if words.take("VARIABLES") {
        let mut grid = Grid::of_texts(&["Variable_name", "Value"]);
        session.variables.all().for_each(|(name, value)| grid.push([name, value]));
        return Ok(grid);
    }
    if words.take("STATUS") {
        return Ok(Grid::of_texts(&["Variable_name", "Value"]));
    }
    if words.take_any(&["WARNINGS", "ERRORS"]) {
        let mut grid = Grid::titled("Level Code Message");
        if let Some(error) = &session.last_error {
            grid.push(["Error".to_owned(), error.code.to_string(), error.message.clone()]);
        }
        return Ok(grid);
    }
    if words.take_any(&["ENGINES"]) || words.take_all(&["STORAGE", "ENGINES"]) {
        let mut grid = Grid::titled("Engine Support Comment Transactions XA Savepoints");
        grid.push(engine_row(server.kind));
        return Ok(grid);
    }
    if words.take("CHARSET") || words.take_all(&["CHARACTER", "SET"]) {
        let mut grid = Grid::of_texts(&["Charset", "Description", "Default collation", "Maxlen"]);
        grid.push(["utf8", "UTF-8 Unicode", "utf8_general_ci", "3"]);
        return Ok(grid);
    }
    if words.take("COLLATION") {
        let mut grid = Grid::titled("Collation Charset Id Default Compiled Sortlen");
        grid.push(["utf8_general_ci", "utf8", "33", "Yes", "Yes", "1"]);
        return Ok(grid);
    }
    if words.take("CATALOGS") {
        return Ok(catalogs(server.kind));
    }
    if words.take("PLUGINS") {
        return Ok(Grid::titled("Name Type Description Version ClassName SoName Sources Status"));
    }
    if words.take_all(&["PROCEDURE", "STATUS"]) || words.take_all(&["FUNCTION", "STATUS"]) {
        let common = ["Db", "Name", "Type", "Definer", "Modified", "Created", "Security_type", "Comment"];
        return Ok(Grid::of_texts(&[&common[..], &CHARACTERS].concat()));
    }
    if words.take("TRIGGERS") {
        let common = ["Trigger", "Event", "Table", "Statement", "Timing", "Created", "sql_mode", "Definer"];
        return Ok(Grid::of_texts(&[&common[..], &CHARACTERS].concat()));
    }
    if words.take("EVENTS") {
        let common = [
            "Db",
            "Name",
            "Definer",
            "Time",
            "Type",
            "Execute at",
            "Interval value",
            "Interval field",
            "Starts",
            "Ends",
            "Status",
            "Originator",
        ];
        return Ok(Grid::of_texts(&[&common[..], &CHARACTERS].concat()));
    }
    words.expected("DATABASES, TABLES, COLUMNS, CREATE TABLE, LOAD, TRANSACTION, VARIABLES, FRONTENDS, BACKENDS")
}

fn catalogs(kind: EngineKind) -> Grid {
    match kind {
        EngineKind::StarRocks => {
            let mut grid = Grid::titled("Catalog Type Comment");
            grid.push([
                "default_catalog",
                "Internal",
                "An internal catalog contains this cluster's self-managed tables.",
            ]);
            grid
        }
        EngineKind::Doris => {
            let mut grid = Grid::titled("CatalogId CatalogName Type IsCurrent CreateTime LastUpdateTime Comment");
            grid.push(["0", "internal", "internal", "Yes", "UNRECORDED", "NULL", "Doris internal catalog"]);
            grid
        }
    }
}

fn database(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<String, SqlError> {
    let named = if words.take_any(&["FROM", "IN"]) { Some(words.table_name()?.1) } else { None };
    let database = session.database_or(named)?;
    if database.eq_ignore_ascii_case(SCHEMA) || server.cluster.has_database(&database) {
        return Ok(database);
    }
    Err(SqlError::unknown_database(server.kind, &database))
}

fn tables(server: &Server, session: &Session, words: &mut Words<'_>, full: bool) -> Result<Grid, SqlError> {
    let database = database(server, session, words)?;
    let heading = format!("Tables_in_{database}");
    let mut grid = match (full, server.kind) {
        (false, _) => Grid::of_texts(&[&heading]),
        (true, EngineKind::StarRocks) => Grid::of_texts(&[&heading, "Table_type"]),
        (true, EngineKind::Doris) => {
            Grid::of_texts(&[&heading, "Table_type", "Storage_format", "Inverted_index_storage_format"])
        }
    };
    let is_schema = database.eq_ignore_ascii_case(SCHEMA);
    let all = schema_tables::grid(server, session, SCHEMA, "tables").map(|grid| grid.rows).unwrap_or_default();
    for row in all {
        let cell = |position: usize| row.get(position).cloned().flatten().unwrap_or_default();
        let (schema, name) = (cell(1), cell(2));
        if schema != database && !(is_schema && schema == SCHEMA) {
            continue;
        }
        match (full, server.kind) {
            (false, _) => grid.push([name]),
            (true, EngineKind::StarRocks) => grid.push([name, cell(3)]),
            (true, EngineKind::Doris) => grid.push([name, cell(3), "V2".to_owned(), "V3".to_owned()]),
        }
    }
    Ok(grid)
}

fn table_status(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Grid, SqlError> {
    let database = database(server, session, words)?;
    let mut grid = Grid::titled(
        "Name Engine Version Row_format Rows Avg_row_length Data_length Max_data_length Index_length \
                 Data_free Auto_increment Create_time Update_time Check_time Collation Checksum Create_options \
                 Comment",
    );
    for table in server.cluster.tables().iter().filter(|t| t.database == database) {
        let mut row = vec![Some(table.name.clone()), Some(server.kind.to_string())];
        row.resize(14, None);
        row.extend([Some("utf8_general_ci".to_owned()), None, None, Some(String::new())]);
        grid.rows.push(row);
    }
    Ok(grid)
}

fn create(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Grid, SqlError> {
    if words.take_any(&["DATABASE", "SCHEMA"]) {
        let name = words.name()?;
        if !server.cluster.has_database(&name) {
            return Err(SqlError::unknown_database(server.kind, &name));
        }
        let mut grid = Grid::of_texts(&["Database", "Create Database"]);
        grid.push([name.clone(), format!("CREATE DATABASE `{name}`")]);
        return Ok(grid);
    }
    words.expect("TABLE")?;
    let table = named_table(server, session, words)?;
    let mut grid = Grid::of_texts(&["Table", "Create Table"]);
    grid.push([table.name.clone(), create_table(server.kind, &table)]);
    Ok(grid)
}

fn named_table(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Arc<Table>, SqlError> {
    let (database, name) = words.table_name()?;
    find(server, session, database, &name)
}

/// `table`, `db.table`, or `table FROM db`.
fn table_from(server: &Server, session: &Session, words: &mut Words<'_>) -> Result<Arc<Table>, SqlError> {
    let (mut database, name) = words.table_name()?;
    if words.take_any(&["FROM", "IN"]) {
        database = Some(words.name()?);
    }
    find(server, session, database, &name)
}

/// The table of a name.
///
/// # Errors
/// When there is no such table or database, or none was chosen.
pub(crate) fn find(
    server: &Server,
    session: &Session,
    database: Option<String>,
    name: &str,
) -> Result<Arc<Table>, SqlError> {
    let database = session.database_or(database)?;
    if !server.cluster.has_database(&database) {
        return Err(SqlError::unknown_database(server.kind, &database));
    }
    server.cluster.table(&database, name).ok_or_else(|| SqlError::unknown_table(server.kind, &database, name))
}

/// `DESC` (`DescribeStmt` of both engines).
fn describe(kind: EngineKind, table: &Table) -> Grid {
    let mut grid = Grid::titled("Field Type Null Key Default Extra");
    for (position, column) in table.columns.iter().enumerate() {
        let is_key = table.keys.contains(&position);
        let extra = if is_key || table.model == Model::Duplicate { "" } else { extra(kind) };
        let mut row: Vec<Option<String>> = [
            column.name.as_str(),
            &type_text(kind, column.ty, &column.elements, false),
            if column.nullable {
                "YES"
            } else if kind == EngineKind::Doris {
                "No"
            } else {
                "NO"
            },
            if is_key { "true" } else { "false" },
        ]
        .map(|text| Some(text.to_owned()))
        .to_vec();
        if kind == EngineKind::Doris && column.nullable {
            row[2] = Some("Yes".to_owned());
        }
        row.extend([default_text(column), Some(extra.to_owned())]);
        grid.rows.push(row);
    }
    grid
}

/// How values of a unique key's columns replace each other.
fn extra(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::StarRocks => "",
        EngineKind::Doris => "NONE",
    }
}

fn full_columns(kind: EngineKind, table: &Table) -> Grid {
    let mut grid = Grid::titled("Field Type Collation Null Key Default Extra Privileges Comment");
    for (position, column) in table.columns.iter().enumerate() {
        let text = |text: &str| Some(text.to_owned());
        grid.rows.push(vec![
            text(&column.name),
            Some(type_text(kind, column.ty, &column.elements, false)),
            None,
            text(if column.nullable { "YES" } else { "NO" }),
            text(column_key(table, position)),
            default_text(column),
            text(""),
            text(""),
            text(""),
        ]);
    }
    grid
}
