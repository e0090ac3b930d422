//! The digest of a route: equal digests mean that the same record becomes the same rows.

use sha2::{Digest, Sha256};

use super::{Charset, Column, ColumnKind, ColumnSource, Delimited, Format, Framing, ValueForm};
use crate::domain::Table;

/// Version of the canonical text. A change of it makes open intents of older versions foreign, so it is a last resort.
const VERSION: u32 = 1;

/// 16 hexadecimal digits over everything that decides which rows come out of a record, except the key: a key that is
/// changed beside its data changes no row, and a digest must not help to guess it.
pub(super) fn digest<'h>(
    table: &Table,
    value: &ValueForm,
    columns: &[Column],
    picks: [(&str, &Option<String>); 2],
    headers: impl Iterator<Item = (&'h String, &'h String)>,
) -> String {
    let columns: Vec<_> = columns.iter().map(column).collect();
    let headers: Vec<_> = headers.collect();
    let mut text = serde_json::json!([
        VERSION,
        &*table.database,
        &*table.name,
        value.encoding.name(),
        value.decrypt.as_ref().map(|decrypt| decrypt.cipher.name()),
        columns,
        headers,
    ]);
    // What came later stands behind, and only where it says something: older digests stay what they were.
    if let Some(list) = text.as_array_mut() {
        list.extend(more(value));
        let said = picks.iter().filter_map(|(key, text)| Some((*key, text.as_ref()?)));
        list.extend(said.map(|(key, text)| serde_json::json!({ key: text })));
    }
    let hash = Sha256::digest(text.to_string().as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What a value's form says beyond wrapping and cipher.
fn more(value: &ValueForm) -> Vec<serde_json::Value> {
    let mut more = Vec::new();
    if value.framing == Framing::SchemaRegistry {
        more.push(serde_json::json!({"framing": "schema-registry"}));
    }
    if value.charset != Charset::Utf8 {
        more.push(serde_json::json!({"charset": value.charset.name()}));
    }
    match &value.format {
        Format::Json => {}
        Format::Text => more.push(serde_json::json!({"format": "text"})),
        Format::Delimited(Delimited { fields, delimiter, null: word, quote }) => more.push(serde_json::json!({
            "format": {"delimited": delimiter, "fields": fields, "null": word, "quote": quote.map(String::from)}
        })),
    }
    more
}

fn column(column: &Column) -> serde_json::Value {
    let (source, detail) = match &column.from {
        ColumnSource::Path(path) => ("path", Some(path)),
        ColumnSource::Constant(json) => ("constant", Some(json)),
        ColumnSource::Topic => ("topic", None),
        ColumnSource::Partition => ("partition", None),
        ColumnSource::Offset => ("offset", None),
        ColumnSource::Timestamp => ("timestamp", None),
        ColumnSource::Key => ("key", None),
        ColumnSource::Header(name) => ("header", Some(name)),
        ColumnSource::Expression(text) => ("expr", Some(text)),
    };
    let kind = match column.kind {
        ColumnKind::AsIs => "as-is",
        ColumnKind::Text => "text",
    };
    serde_json::json!([column.name, source, detail, column.default, kind])
}
