//! `information_schema`: what clients and tools ask it for.

use super::describe::{default_text, type_text};
use super::select::OutputColumn;
use super::session::{Server, Session};
use super::types::{BIGINT, SqlType, VARCHAR};
use super::{Grid, loads};
use crate::table::{ColumnType, EngineKind, Model, Table};

/// The schema's name.
pub(crate) const SCHEMA: &str = "information_schema";
/// The database in which StarRocks keeps finished loads (`LoadsHistorySyncer`).
const STATISTICS: &str = "_statistics_";
/// Its table; the real one lags behind by up to two minutes.
const HISTORY: &str = "loads_history";
/// The table that holds what a SHOW gives while its WHERE runs.
pub(crate) const SHOWN: &str = "shown";

/// Tables by name with their columns, as StarRocks' `catalog.system.information` classes and Doris' `SchemaTable`
/// declare them. `:n` marks a BIGINT, `:t` a DATETIME; others are texts.
const TABLES: &[(&str, &str)] = &[
    ("schemata", "CATALOG_NAME SCHEMA_NAME DEFAULT_CHARACTER_SET_NAME DEFAULT_COLLATION_NAME SQL_PATH"),
    (
        "tables",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_TYPE ENGINE VERSION:n ROW_FORMAT TABLE_ROWS:n AVG_ROW_LENGTH:n \
         DATA_LENGTH:n MAX_DATA_LENGTH:n INDEX_LENGTH:n DATA_FREE:n AUTO_INCREMENT:n CREATE_TIME:t UPDATE_TIME:t \
         CHECK_TIME:t TABLE_COLLATION CHECKSUM:n CREATE_OPTIONS TABLE_COMMENT",
    ),
    (
        "columns",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:n COLUMN_DEFAULT IS_NULLABLE DATA_TYPE \
         CHARACTER_MAXIMUM_LENGTH:n CHARACTER_OCTET_LENGTH:n NUMERIC_PRECISION:n NUMERIC_SCALE:n DATETIME_PRECISION:n \
         CHARACTER_SET_NAME COLLATION_NAME COLUMN_TYPE COLUMN_KEY EXTRA PRIVILEGES COLUMN_COMMENT COLUMN_SIZE:n \
         DECIMAL_DIGITS:n GENERATION_EXPRESSION SRS_ID:n",
    ),
    ("engines", "ENGINE SUPPORT COMMENT TRANSACTIONS XA SAVEPOINTS"),
    ("character_sets", "CHARACTER_SET_NAME DEFAULT_COLLATE_NAME DESCRIPTION MAXLEN:n"),
    ("collations", "COLLATION_NAME CHARACTER_SET_NAME ID:n IS_DEFAULT IS_COMPILED SORTLEN:n"),
    ("session_variables", "VARIABLE_NAME VARIABLE_VALUE"),
    ("global_variables", "VARIABLE_NAME VARIABLE_VALUE"),
    (
        "key_column_usage",
        "CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME \
         ORDINAL_POSITION:n POSITION_IN_UNIQUE_CONSTRAINT:n REFERENCED_TABLE_SCHEMA REFERENCED_TABLE_NAME \
         REFERENCED_COLUMN_NAME",
    ),
    (
        "table_constraints",
        "CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME TABLE_SCHEMA TABLE_NAME CONSTRAINT_TYPE",
    ),
    (
        "referential_constraints",
        "CONSTRAINT_CATALOG CONSTRAINT_SCHEMA CONSTRAINT_NAME UNIQUE_CONSTRAINT_CATALOG UNIQUE_CONSTRAINT_SCHEMA \
         UNIQUE_CONSTRAINT_NAME MATCH_OPTION UPDATE_RULE DELETE_RULE TABLE_NAME REFERENCED_TABLE_NAME",
    ),
    (
        "statistics",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME NON_UNIQUE:n INDEX_SCHEMA INDEX_NAME SEQ_IN_INDEX:n COLUMN_NAME \
         COLLATION CARDINALITY:n SUB_PART:n PACKED NULLABLE INDEX_TYPE COMMENT",
    ),
    (
        "views",
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME VIEW_DEFINITION CHECK_OPTION IS_UPDATABLE DEFINER SECURITY_TYPE \
         CHARACTER_SET_CLIENT COLLATION_CONNECTION",
    ),
    ("routines", "SPECIFIC_NAME ROUTINE_CATALOG ROUTINE_SCHEMA ROUTINE_NAME ROUTINE_TYPE"),
    ("triggers", "TRIGGER_CATALOG TRIGGER_SCHEMA TRIGGER_NAME EVENT_MANIPULATION EVENT_OBJECT_TABLE"),
    ("events", "EVENT_CATALOG EVENT_SCHEMA EVENT_NAME STATUS"),
];

/// The name of a database whose tables are made for a query; `None` if it is none.
pub(crate) fn own_database(kind: EngineKind, name: &str) -> Option<&'static str> {
    match kind {
        EngineKind::StarRocks if name == STATISTICS => Some(STATISTICS),
        EngineKind::StarRocks | EngineKind::Doris => name.eq_ignore_ascii_case(SCHEMA).then_some(SCHEMA),
    }
}

/// The columns of a table; `None` if the engine or the sandbox has no such table.
pub(crate) fn columns(kind: EngineKind, database: &str, name: &str) -> Option<Vec<(String, SqlType)>> {
    let listed = match (kind, database, name) {
        (EngineKind::StarRocks, SCHEMA, "loads") | (EngineKind::StarRocks, STATISTICS, HISTORY) => loads::COLUMNS,
        (_, SCHEMA, name) => TABLES.iter().find(|(table, _)| *table == name)?.1,
        _ => return None,
    };
    Some(listed.split_whitespace().map(typed_column).collect())
}

fn typed_column(column: &str) -> (String, SqlType) {
    match column.split_once(':') {
        Some((name, "n")) => (name.to_owned(), BIGINT),
        Some((name, _)) => (name.to_owned(), SqlType::DateTime { digits: 0 }),
        None => (column.to_owned(), VARCHAR),
    }
}

/// A table with its rows.
pub(crate) fn grid(server: &Server, session: &Session, database: &str, name: &str) -> Option<Grid> {
    let columns = columns(server.kind, database, name)?;
    let mut rows = match name {
        "schemata" => schemata(server),
        "tables" => tables(server),
        "columns" => server.cluster.tables().iter().flat_map(|t| columns_of(server.kind, t)).collect(),
        "engines" => vec![texts(engine_row(server.kind))],
        "character_sets" => vec![texts(["utf8", "utf8_general_ci", "UTF-8 Unicode", "3"])],
        "collations" => vec![texts(["utf8_general_ci", "utf8", "33", "Yes", "Yes", "1"])],
        "session_variables" | "global_variables" => {
            session.variables.all().map(|(name, value)| texts([name, value])).collect()
        }
        "loads" => loads::rows(server, server.cluster.transactions()),
        HISTORY => loads::rows(server, server.cluster.history()),
        // There are no views, keys in MySQL's sense, routines or events.
        _ => Vec::new(),
    };
    for row in &mut rows {
        row.resize(columns.len(), None);
    }
    let columns = columns.into_iter().map(|(name, ty)| OutputColumn { name, ty, origin: None }).collect();
    Some(Grid { columns, rows })
}

fn texts<T: Into<String>>(cells: impl IntoIterator<Item = T>) -> Vec<Option<String>> {
    cells.into_iter().map(|cell| Some(cell.into())).collect()
}

/// The one storage engine (StarRocks `ShowEnginesStmt`, Doris the same).
pub(crate) fn engine_row(kind: EngineKind) -> [&'static str; 6] {
    let comment = match kind {
        EngineKind::StarRocks => "Default storage engine of StarRocks",
        EngineKind::Doris => "Default storage engine of palo",
    };
    ["OLAP", "YES", comment, "NO", "NO", "NO"]
}

/// The catalog as `information_schema` names it.
fn catalog(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::StarRocks => "def",
        EngineKind::Doris => "internal",
    }
}

fn schemata(server: &Server) -> Vec<Vec<Option<String>>> {
    let names = server.databases().into_iter().chain([SCHEMA.to_owned()]);
    names.map(|name| texts([catalog(server.kind), name.as_str(), "utf8", "utf8_general_ci"])).collect()
}

fn tables(server: &Server) -> Vec<Vec<Option<String>>> {
    let catalog = catalog(server.kind);
    let engine = server.kind.to_string();
    let mut rows: Vec<Vec<Option<String>>> = server
        .cluster
        .tables()
        .iter()
        .map(|table| {
            let mut row = texts([catalog, &table.database, &table.name, "BASE TABLE", &engine]);
            row.resize(17, None);
            row.extend([Some("utf8_general_ci".to_owned()), None, None, Some(String::new())]);
            row
        })
        .collect();
    let own = TABLES.iter().map(|(name, _)| *name).chain((server.kind == EngineKind::StarRocks).then_some("loads"));
    rows.extend(own.map(|name| texts([catalog, SCHEMA, name, "SYSTEM VIEW", "MEMORY"])));
    rows
}

/// The key that a column belongs to, as `COLUMN_KEY` has it.
pub(crate) fn column_key(table: &Table, position: usize) -> &'static str {
    match (table.keys.contains(&position), table.model, table.primary) {
        (false, ..) => "",
        (true, Model::Unique, true) => "PRI",
        (true, Model::Unique, false) => "UNI",
        (true, Model::Duplicate, _) => "DUP",
        (true, Model::Aggregate, _) => "AGG",
    }
}

fn columns_of(kind: EngineKind, table: &Table) -> Vec<Vec<Option<String>>> {
    let describe = |(position, column): (usize, &crate::table::Column)| {
        let full = type_text(kind, column.ty, &column.elements, false);
        let short = full.split(['(', '<']).next().unwrap_or_default().to_owned();
        let (mut length, mut digits, mut scale, mut fraction) = (None, None, None, None);
        let mut charset = None;
        if let ColumnType::Text { max_bytes } = column.ty {
            length = Some(max_bytes.to_string());
            charset = Some("utf8".to_owned());
        } else if let ColumnType::DateTime { digits } = column.ty {
            fraction = Some(digits.to_string());
        } else if let Some((precision, places)) = SqlType::from(column.ty).as_decimal() {
            digits = Some(precision.to_string());
            scale = Some(places.to_string());
        }
        let collation = charset.as_ref().map(|_| "utf8_general_ci".to_owned());
        let mut row = texts([catalog(kind), &table.database, &table.name, &column.name]);
        row.push(Some((position + 1).to_string()));
        row.push(default_text(column));
        row.extend(texts([if column.nullable { "YES" } else { "NO" }, &short]));
        row.extend([length.clone(), length.clone(), digits.clone(), scale.clone(), fraction, charset, collation]);
        row.extend(texts([&full, column_key(table, position), "", "", ""]));
        row.extend([digits.or(length), scale]);
        row
    };
    table.columns.iter().enumerate().map(describe).collect()
}
