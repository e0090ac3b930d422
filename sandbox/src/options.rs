//! The headers of a load, understood or refused.
//!
//! A header that would change what is loaded and that the sandbox doesn't imitate is refused by name: a test must
//! never pass because a setting was passed over.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use jiff::tz::{Offset, TimeZone};

use crate::json_path::JsonPath;
use crate::json_rows::Framing;
use crate::table::EngineKind;

/// Load headers of StarRocks that the sandbox doesn't imitate.
const STARROCKS_REFUSED: &[&str] = &[
    "where",
    "partitions",
    "temporary_partitions",
    "negative",
    "json_root",
    "partial_update",
    "partial_update_mode",
    "merge_condition",
    "compression",
    "content-encoding",
    "envelope",
    "channel_num",
    "channel_id",
    "transaction_type",
    "enable_merge_commit",
];

/// Load headers of Doris that the sandbox doesn't imitate.
const DORIS_REFUSED: &[&str] = &[
    "where",
    "partitions",
    "temporary_partitions",
    "negative",
    "json_root",
    "delete",
    "function_column.sequence_col",
    "partial_columns",
    "unique_key_update_mode",
    "partial_update_new_key_behavior",
    "compress_type",
    "group_commit",
    "num_as_string",
    "fuzzy_parse",
];

/// Values that turn a header's feature off, so that there is nothing to imitate.
const SAYS_NO: &[&str] = &["false", "off_mode", "upsert"];

/// Load headers that both engines take and that must be equal in all loads of a StarRocks label.
const COMPARED: &[&str] = &[
    "format",
    "columns",
    "jsonpaths",
    "strip_outer_array",
    "strict_mode",
    "timezone",
    "max_filter_ratio",
    "ignore_json_size",
    "load_mem_limit",
    "load_dop",
];

/// Upsert or delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Insert, or replace the row of the same key.
    Upsert,
    /// Delete the row of the key.
    Delete,
}

/// Header `columns`, one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ColumnItem {
    /// A name.
    Name(String),
    /// `__op='delete'` or `__op='upsert'`.
    ConstantOp(Op),
}

/// What the headers of a load ask for.
#[derive(Clone, Debug)]
pub(crate) struct LoadOptions {
    /// How rows lie in the body.
    pub(crate) framing: Framing,
    /// Header `columns`.
    pub(crate) columns: Option<Vec<ColumnItem>>,
    /// Header `jsonpaths`.
    pub(crate) jsonpaths: Option<Vec<JsonPath>>,
    /// Header `hidden_columns` (Doris).
    pub(crate) hidden_columns: Vec<String>,
    /// Header `strict_mode`.
    pub(crate) strict: bool,
    /// Header `max_filter_ratio`, 0 to 1.
    pub(crate) max_filter_ratio: f64,
    /// Header `timezone`.
    pub(crate) zone: TimeZone,
    /// Header `ignore_json_size` (StarRocks).
    pub(crate) ignore_json_size: bool,
    /// Header `merge_type: DELETE` (Doris): every row deletes.
    pub(crate) deletes_all: bool,
    /// The headers that must be the same in all loads of a label.
    pub(crate) compared: BTreeMap<String, String>,
}

impl LoadOptions {
    /// Reads the headers.
    ///
    /// # Errors
    /// The engine's text for a header it refuses, or the sandbox's for one it doesn't imitate.
    pub(crate) fn read(kind: EngineKind, headers: &HeaderMap) -> Result<Self, String> {
        let get = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
        let is_true = |name: &str| get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let refused = match kind {
            EngineKind::StarRocks => STARROCKS_REFUSED,
            EngineKind::Doris => DORIS_REFUSED,
        };
        let asks = |name: &&str| get(name).filter(|value| !SAYS_NO.contains(&value.to_ascii_lowercase().as_str()));
        if let Some((name, value)) = refused.iter().find_map(|name| asks(name).map(|value| (name, value))) {
            return Err(format!("the sandbox does not imitate the header {name}: {value}"));
        }
        match get("format").unwrap_or("csv") {
            format if format.eq_ignore_ascii_case("json") => {}
            "csv" => return Err("the sandbox does not imitate format csv; set format: json".to_owned()),
            other => return Err(format!("unknown data format, format={other}")),
        }
        let compared = COMPARED.iter().filter_map(|name| Some(((*name).to_owned(), get(name)?.to_owned()))).collect();
        Ok(Self {
            framing: framing(kind, is_true("strip_outer_array"), is_true("read_json_by_line"))?,
            columns: get("columns").map(columns).transpose()?,
            jsonpaths: get("jsonpaths").map(jsonpaths).transpose()?,
            hidden_columns: get("hidden_columns").map(names).unwrap_or_default(),
            strict: is_true("strict_mode"),
            max_filter_ratio: filter_ratio(get("max_filter_ratio"))?,
            zone: zone(get("timezone").unwrap_or("Asia/Shanghai"))?,
            ignore_json_size: is_true("ignore_json_size"),
            deletes_all: deletes_all(get("merge_type"))?,
            compared,
        })
    }
}

fn framing(kind: EngineKind, is_array: bool, by_line: bool) -> Result<Framing, String> {
    match (kind, is_array, by_line) {
        (EngineKind::Doris, true, true) => {
            Err("the sandbox does not imitate strip_outer_array together with read_json_by_line".to_owned())
        }
        (_, true, _) => Ok(Framing::Array),
        (EngineKind::StarRocks, false, _) => Ok(Framing::Documents),
        (EngineKind::Doris, false, _) => Ok(Framing::Lines),
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().trim_matches('`').to_owned()).filter(|name| !name.is_empty()).collect()
}

fn columns(list: &str) -> Result<Vec<ColumnItem>, String> {
    list.split(',')
        .map(str::trim)
        .map(|item| {
            let Some((name, expression)) = item.split_once('=') else {
                if item.contains(['(', ')']) {
                    return Err(format!("the sandbox does not imitate expressions in columns: {list}"));
                }
                return Ok(ColumnItem::Name(item.trim_matches('`').to_owned()));
            };
            match (name.trim().trim_matches('`'), expression.trim().trim_matches(['\'', '"'])) {
                ("__op", "delete" | "1") => Ok(ColumnItem::ConstantOp(Op::Delete)),
                ("__op", "upsert" | "0") => Ok(ColumnItem::ConstantOp(Op::Upsert)),
                _ => Err(format!("the sandbox does not imitate expressions in columns: {item}")),
            }
        })
        .collect()
}

fn jsonpaths(list: &str) -> Result<Vec<JsonPath>, String> {
    let texts: Vec<String> = serde_json::from_str(list).map_err(|_| format!("Invalid json path: {list}"))?;
    texts.iter().map(|text| JsonPath::parse(text).ok_or_else(|| format!("Invalid json path: {text}"))).collect()
}

fn filter_ratio(text: Option<&str>) -> Result<f64, String> {
    let Some(text) = text else { return Ok(0.0) };
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err(format!("Invalid max_filter_ratio: {text}")),
    }
}

fn zone(name: &str) -> Result<TimeZone, String> {
    // Both engines' default, and the same all year: no time-zone database is needed for it.
    if name == "Asia/Shanghai" {
        return Ok(TimeZone::fixed(Offset::constant(8)));
    }
    if let Some((h, m)) = name.strip_prefix(['+', '-']).and_then(|rest| rest.split_once(':')) {
        let size = h.parse::<i32>().ok().zip(m.parse::<i32>().ok()).map(|(h, m)| h * 3600 + m * 60);
        let seconds = size.map(|s| if name.starts_with('-') { -s } else { s });
        if let Some(offset) = seconds.and_then(|s| Offset::from_seconds(s).ok()) {
            return Ok(TimeZone::fixed(offset));
        }
    }
    TimeZone::get(name).map_err(|_| format!("Unknown or incorrect time zone: '{name}'"))
}

fn deletes_all(merge_type: Option<&str>) -> Result<bool, String> {
    match merge_type {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("APPEND") => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("DELETE") => Ok(true),
        Some(other) => Err(format!("the sandbox does not imitate the header merge_type: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: EngineKind, headers: &[(&'static str, &str)]) -> Result<LoadOptions, String> {
        let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        LoadOptions::read(kind, &map)
    }

    #[test]
    fn framing_follows_the_engine() {
        let json = ("format", "json");
        let array = ("strip_outer_array", "true");
        let line = ("read_json_by_line", "true");
        let framing = |kind, headers: &[_]| read(kind, headers).map(|o| o.framing).ok();
        assert_eq!(framing(EngineKind::StarRocks, &[json]), Some(Framing::Documents));
        assert_eq!(framing(EngineKind::StarRocks, &[json, array]), Some(Framing::Array));
        assert_eq!(framing(EngineKind::Doris, &[json]), Some(Framing::Lines));
        assert_eq!(framing(EngineKind::Doris, &[json, array]), Some(Framing::Array));
        assert_eq!(framing(EngineKind::Doris, &[json, line, array]), None);
    }

    #[test]
    fn what_would_change_the_load_is_read_or_refused() {
        let cases = [
            (("where", "a > 1"), "does not imitate the header where"),
            (("columns", "a, b=upper(a)"), "expressions in columns"),
            (("columns", "upper(a)"), "expressions in columns"),
            (("jsonpaths", "$.a"), "Invalid json path"),
            (("jsonpaths", r#"["$..a"]"#), "Invalid json path: $..a"),
            (("max_filter_ratio", "2"), "Invalid max_filter_ratio: 2"),
            (("timezone", "Mars/Olympus"), "time zone: 'Mars/Olympus'"),
            (("format", "orc"), "unknown data format, format=orc"),
            (("format", "csv"), "set format: json"),
            (("merge_type", "MERGE"), "merge_type: MERGE"),
        ];
        for (header, want) in cases {
            let headers = if header.0 == "format" { vec![header] } else { vec![("format", "json"), header] };
            let error = read(EngineKind::StarRocks, &headers).expect_err(header.0);
            assert!(error.contains(want), "{header:?}: {error}");
        }
        let off = [("format", "json"), ("partial_update", "false"), ("negative", "False")];
        assert!(read(EngineKind::StarRocks, &off).is_ok(), "a feature that is turned off is none");
        assert!(read(EngineKind::StarRocks, &[]).is_err(), "csv is the engines' default format");
    }
}
