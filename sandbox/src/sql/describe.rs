//! Tables as text: types, `DESC`, `SHOW CREATE TABLE`.

use crate::table::{Aggregate, Column, ColumnType, DefaultValue, Element, EngineKind, Model, Nested, Table};

/// Bytes of a StarRocks `STRING`, as its statements show it (`ScalarType.DEFAULT_STRING_LENGTH`).
const STRING_BYTES: usize = 65_533;

/// A type as `DESC` and `information_schema` show it; `in_create` gives StarRocks' form in `SHOW CREATE TABLE`, which
/// has display widths.
pub(crate) fn type_text(kind: EngineKind, ty: ColumnType, elements: &[Element], in_create: bool) -> String {
    let wide = in_create && kind == EngineKind::StarRocks;
    let integer = |name: &str, width: u8| if wide { format!("{name}({width})") } else { name.to_owned() };
    match ty {
        ColumnType::Boolean => "boolean".to_owned(),
        ColumnType::Integer { bits: 8 } => integer("tinyint", 4),
        ColumnType::Integer { bits: 16 } => integer("smallint", 6),
        ColumnType::Integer { bits: 32 } => integer("int", 11),
        ColumnType::Integer { .. } => integer("bigint", 20),
        ColumnType::LargeInt => integer("largeint", 40),
        ColumnType::Float => "float".to_owned(),
        ColumnType::Double => "double".to_owned(),
        ColumnType::Decimal { precision, scale } if wide => format!("decimal({precision}, {scale})"),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnType::Date => "date".to_owned(),
        ColumnType::DateTime { digits } if kind == EngineKind::Doris && digits > 0 => format!("datetime({digits})"),
        ColumnType::DateTime { .. } => "datetime".to_owned(),
        ColumnType::Text { max_bytes } if max_bytes > STRING_BYTES && kind == EngineKind::Doris => "text".to_owned(),
        ColumnType::Text { max_bytes } => format!("varchar({})", max_bytes.min(STRING_BYTES)),
        ColumnType::Json => "json".to_owned(),
        ColumnType::Binary { max_bytes } => format!("varbinary({max_bytes})"),
        ColumnType::Bitmap => "bitmap".to_owned(),
        ColumnType::Hll => "hll".to_owned(),
        ColumnType::Nested(shape) => {
            let name = match shape {
                Nested::Array => "array",
                Nested::Map => "map",
                Nested::Struct => "struct",
            };
            let between = if kind == EngineKind::StarRocks { ' ' } else { ':' };
            let inner = elements.iter().map(|element| {
                let text = type_text(kind, element.ty, &element.elements, in_create);
                if shape == Nested::Struct { format!("{}{between}{text}", element.name) } else { text }
            });
            format!("{name}<{}>", inner.collect::<Vec<_>>().join(","))
        }
    }
}

fn aggregate_text(column: &Column) -> &'static str {
    match column.aggregate {
        None => "",
        Some(Aggregate::Sum) => " SUM",
        Some(Aggregate::Min) => " MIN",
        Some(Aggregate::Max) => " MAX",
        Some(Aggregate::Replace) => " REPLACE",
        Some(Aggregate::ReplaceIfNotNull) => " REPLACE_IF_NOT_NULL",
        Some(Aggregate::Union) if column.ty == ColumnType::Bitmap => " BITMAP_UNION",
        Some(Aggregate::Union) => " HLL_UNION",
    }
}

/// A default as `DESC` shows it; `None` without one.
pub(crate) fn default_text(column: &Column) -> Option<String> {
    match &column.default {
        DefaultValue::None | DefaultValue::Null => None,
        DefaultValue::Text(text) => Some(text.clone()),
        DefaultValue::Now => Some("CURRENT_TIMESTAMP".to_owned()),
    }
}

/// `SHOW CREATE TABLE`, as the engine writes it (StarRocks `AstToStringBuilder.getDdlStmt`, Doris `Env.getDdlStmt`).
pub(crate) fn create_table(kind: EngineKind, table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| column_text(kind, column)).collect();
    let names = |positions: &[usize]| {
        positions.iter().map(|k| format!("`{}`", table.columns[*k].name)).collect::<Vec<_>>().join(", ")
    };
    // Without a key clause the engines take the first columns as the duplicate key.
    let keys = if table.keys.is_empty() { names(&[0]) } else { names(&table.keys) };
    let model = match (table.model, table.primary) {
        (Model::Duplicate, _) => "DUPLICATE KEY",
        (Model::Unique, true) => "PRIMARY KEY",
        (Model::Unique, false) => "UNIQUE KEY",
        (Model::Aggregate, _) => "AGGREGATE KEY",
    };
    let (engine, properties) = match kind {
        EngineKind::StarRocks => ("ENGINE=OLAP ", "\"replication_num\" = \"1\""),
        EngineKind::Doris => ("ENGINE=OLAP", "\"replication_allocation\" = \"tag.location.default: 1\""),
    };
    let buckets = if kind == EngineKind::Doris { " BUCKETS 10" } else { "" };
    format!(
        "CREATE TABLE `{}` (\n{}\n) {engine}\n{model}({keys})\nDISTRIBUTED BY HASH({keys}){buckets}\nPROPERTIES (\n{properties}\n);",
        table.name,
        columns.join(",\n"),
    )
}

fn column_text(kind: EngineKind, column: &Column) -> String {
    let ty = type_text(kind, column.ty, &column.elements, true) + aggregate_text(column);
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    let default = match &column.default {
        DefaultValue::None => String::new(),
        DefaultValue::Null => " DEFAULT NULL".to_owned(),
        DefaultValue::Text(text) => format!(" DEFAULT \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        DefaultValue::Now => " DEFAULT CURRENT_TIMESTAMP".to_owned(),
    };
    let comment = if kind == EngineKind::StarRocks { " COMMENT \"\"" } else { "" };
    format!("  `{}` {ty} {null}{default}{comment}", column.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ddl;

    #[test]
    fn a_shown_table_reads_back_as_itself() {
        let starrocks = "CREATE TABLE d.t (id BIGINT, a DECIMAL(12,2) DEFAULT '0.10', n VARCHAR(64) NOT NULL DEFAULT \"say \\\"x\\\"\",
            at DATETIME DEFAULT CURRENT_TIMESTAMP, f FLOAT, l LARGEINT, b BOOLEAN, j JSON,
            s STRUCT<x INT, y ARRAY<MAP<INT, DECIMAL(5,1)>>>) PRIMARY KEY(id)";
        let doris = "CREATE TABLE d.t (id BIGINT, day DATE, at DATETIME(3) DEFAULT NULL, s STRING, d DOUBLE) UNIQUE KEY(id, day)";
        let sums = "CREATE TABLE d.t (k INT, s STRUCT<x:INT> REPLACE, n BIGINT SUM NULL, b BITMAP BITMAP_UNION) AGGREGATE KEY(k)";
        for (kind, text) in [(EngineKind::StarRocks, starrocks), (EngineKind::Doris, doris), (EngineKind::Doris, sums)]
        {
            let table = ddl::read(kind, text).unwrap().tables.remove(0);
            let shown = create_table(kind, &table);
            let again = ddl::read(kind, &format!("USE d; {shown}")).unwrap().tables.remove(0);
            assert_eq!(again, table, "{shown}");
        }
    }
}
