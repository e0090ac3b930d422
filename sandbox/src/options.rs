//! The headers of a load, understood or refused.
//!
//! A header that would change what is loaded and that the sandbox doesn't imitate is refused by name: a test must
//! never pass because a setting was passed over.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use jiff::tz::{Offset, TimeZone};
use sqlparser::ast::Expr;

use crate::csv::{CsvForm, delimiter};
use crate::expression::{Item, read_columns, read_condition};
use crate::http::header;
use crate::json_path::JsonPath;
use crate::json_rows::Framing;
use crate::table::EngineKind;

/// Load headers of StarRocks that the sandbox doesn't imitate.
const STARROCKS_REFUSED: &[&str] = &[
    "negative",
    "temporary_partitions",
    "envelope",
    "channel_num",
    "channel_id",
    "transaction_type",
    "enable_merge_commit",
];

/// Load headers of Doris that the sandbox doesn't imitate.
const DORIS_REFUSED: &[&str] = &["negative", "temporary_partitions", "fuzzy_parse"];

/// Values that turn a header's feature off, so that there is nothing to imitate.
const SAYS_NO: &[&str] = &["false", "off_mode"];

/// Load headers that must be equal in all loads of a StarRocks label.
const COMPARED: &[&str] = &[
    "format",
    "columns",
    "where",
    "partitions",
    "column_separator",
    "row_delimiter",
    "jsonpaths",
    "json_root",
    "strip_outer_array",
    "strict_mode",
    "timezone",
    "max_filter_ratio",
    "ignore_json_size",
    "load_mem_limit",
    "load_dop",
    "partial_update",
    "partial_update_mode",
    "merge_condition",
    "compression",
    "content-encoding",
];

/// Which call a load comes by; they don't read the same headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// StarRocks `/api/transaction/load`.
    Transaction,
    /// StarRocks `_stream_load`.
    StreamLoad,
    /// Doris `_stream_load`.
    Doris,
}

impl Door {
    /// Whose door it is.
    #[must_use]
    pub(crate) fn kind(self) -> EngineKind {
        match self {
            Self::Transaction | Self::StreamLoad => EngineKind::StarRocks,
            Self::Doris => EngineKind::Doris,
        }
    }
}

/// Upsert or delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Insert, or replace the row of the same key.
    Upsert,
    /// Delete the row of the key.
    Delete,
}

/// How rows lie in a body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Format {
    /// JSON.
    Json {
        /// How documents lie in the body.
        framing: Framing,
        /// Header `json_root`: where in a document its rows are.
        root: Option<JsonPath>,
        /// What is found there is an array of rows.
        expands: bool,
    },
    /// CSV.
    Csv(CsvForm),
}

/// Header `merge_type` (Doris): which rows delete.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Deletes {
    /// `APPEND`: those that say so themselves.
    #[default]
    AsSaid,
    /// `DELETE`: all.
    All,
    /// `MERGE`: those that fulfil the condition of header `delete`.
    Where(Box<Expr>),
}

/// What the headers of a load ask for.
#[derive(Clone, Debug)]
pub(crate) struct LoadOptions {
    /// How rows lie in the body.
    pub(crate) format: Format,
    /// Header `columns`.
    pub(crate) columns: Option<Vec<Item>>,
    /// Header `jsonpaths`, and as it was written.
    pub(crate) jsonpaths: Option<(Vec<JsonPath>, String)>,
    /// Header `hidden_columns` (Doris).
    pub(crate) hidden_columns: Vec<String>,
    /// Header `where`.
    pub(crate) filter: Option<Expr>,
    /// Header `strict_mode`.
    pub(crate) strict: bool,
    /// Header `max_filter_ratio`, 0 to 1.
    pub(crate) max_filter_ratio: f64,
    /// Header `timezone`.
    pub(crate) zone: TimeZone,
    /// Header `ignore_json_size` (StarRocks).
    pub(crate) ignore_json_size: bool,
    /// Header `merge_type` (Doris).
    pub(crate) deletes: Deletes,
    /// Header `partial_update` (StarRocks), `partial_columns` or `unique_key_update_mode` (Doris).
    pub(crate) is_partial: bool,
    /// Header `partial_update_new_key_behavior: ERROR` (Doris).
    pub(crate) refuses_new_keys: bool,
    /// Header `merge_condition` (StarRocks).
    pub(crate) merge_condition: Option<String>,
    /// Header `function_column.sequence_col` (Doris).
    pub(crate) sequence: Option<String>,
    /// Header `partitions`.
    pub(crate) partitions: Option<Vec<String>>,
    /// The headers that must be the same in all loads of a label.
    pub(crate) compared: BTreeMap<String, String>,
}

/// Headers by name, trimmed. An empty one is none to both backends (`if (!http_req->header(…).empty())`).
struct Headers<'a>(&'a HeaderMap);

impl<'a> Headers<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        header(self.0, name).filter(|text| !text.is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true"))
    }

    fn names(&self, name: &str) -> Option<Vec<String>> {
        let names = |list: &str| {
            let names = list.split(',').map(|name| name.trim().trim_matches('`').to_owned());
            names.filter(|name| !name.is_empty()).collect()
        };
        self.get(name).map(names)
    }
}

impl LoadOptions {
    /// Reads the headers.
    ///
    /// # Errors
    /// The engine's text for a header it refuses, or the sandbox's for one it doesn't imitate.
    pub(crate) fn read(door: Door, headers: &HeaderMap) -> Result<Self, String> {
        let headers = Headers(headers);
        let kind = door.kind();
        let refused = match kind {
            EngineKind::StarRocks => STARROCKS_REFUSED,
            EngineKind::Doris => DORIS_REFUSED,
        };
        let asks = |name: &&str| headers.get(name).filter(|v| !SAYS_NO.contains(&v.to_ascii_lowercase().as_str()));
        if let Some((name, value)) = refused.iter().find_map(|name| asks(name).map(|value| (name, value))) {
            return Err(not_imitated(name, value));
        }
        let compared = COMPARED.iter().filter_map(|n| Some(((*n).to_owned(), headers.get(n)?.to_owned()))).collect();
        let doris = |name| if kind == EngineKind::Doris { headers.get(name) } else { None };
        let starrocks = |name| if kind == EngineKind::StarRocks { headers.get(name) } else { None };
        check_compression(kind, &headers)?;
        Ok(Self {
            format: format(door, &headers)?,
            columns: headers.get("columns").map(read_columns).transpose()?,
            jsonpaths: headers.get("jsonpaths").map(jsonpaths).transpose()?,
            hidden_columns: doris("hidden_columns").and_then(|_| headers.names("hidden_columns")).unwrap_or_default(),
            filter: headers.get("where").map(read_condition).transpose()?,
            strict: headers.is_true("strict_mode"),
            max_filter_ratio: filter_ratio(headers.get("max_filter_ratio"))?,
            zone: zone(headers.get("timezone").unwrap_or("Asia/Shanghai"))?,
            ignore_json_size: headers.is_true("ignore_json_size"),
            deletes: deletes(doris("merge_type"), doris("delete"))?,
            is_partial: is_partial(kind, &headers)?,
            refuses_new_keys: refuses_new_keys(doris("partial_update_new_key_behavior"))?,
            merge_condition: starrocks("merge_condition").map(str::to_owned),
            sequence: doris("function_column.sequence_col").map(str::to_owned),
            partitions: headers.names("partitions"),
            compared,
        })
    }

    /// True if the body is JSON that the engine holds to a size.
    #[must_use]
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.format, Format::Json { .. })
    }
}

fn not_imitated(name: &str, value: &str) -> String {
    format!("the sandbox does not imitate the header {name}: {value}")
}

fn format(door: Door, headers: &Headers<'_>) -> Result<Format, String> {
    let kind = door.kind();
    match headers.get("format").unwrap_or("csv").to_ascii_lowercase().as_str() {
        "json" => {
            let (is_array, by_line) = (headers.is_true("strip_outer_array"), headers.is_true("read_json_by_line"));
            let root = headers
                .get("json_root")
                .map(|text| JsonPath::parse(text).ok_or_else(|| format!("Invalid json root: {text}")));
            let root = root.transpose()?;
            let (framing, expands) = match (kind, is_array) {
                // With a root StarRocks tells array and documents apart by itself.
                (EngineKind::StarRocks, _) if root.is_some() => (Framing::Any, is_array),
                (EngineKind::StarRocks, true) => (Framing::Array, false),
                (EngineKind::StarRocks, false) => (Framing::Documents, false),
                (EngineKind::Doris, true) if by_line || root.is_some() => (Framing::Lines, true),
                (EngineKind::Doris, true) => (Framing::Array, false),
                (EngineKind::Doris, false) => (Framing::Lines, false),
            };
            Ok(Format::Json { framing, root, expands })
        }
        "csv" => csv(door, headers, 0).map(Format::Csv),
        "csv_with_names" if kind == EngineKind::Doris => csv(door, headers, 1).map(Format::Csv),
        "csv_with_names_and_types" if kind == EngineKind::Doris => csv(door, headers, 2).map(Format::Csv),
        format @ ("gzip" | "bzip2" | "lz4" | "deflate" | "zstd") if kind == EngineKind::StarRocks => {
            Err(not_imitated("format", format))
        }
        format @ ("parquet" | "orc" | "arrow" | "hive_text") if kind == EngineKind::Doris => {
            Err(not_imitated("format", format))
        }
        other => Err(format!("unknown data format, format={other}")),
    }
}

/// StarRocks' transaction interface doesn't read what `_stream_load` reads beyond separators.
fn csv(door: Door, headers: &Headers<'_>, names: u64) -> Result<CsvForm, String> {
    let is_doris = door == Door::Doris;
    let get = |name: &str| if door == Door::Transaction { None } else { headers.get(name) };
    let (lines, skips) = if is_doris { ("line_delimiter", "skip_lines") } else { ("row_delimiter", "skip_header") };
    let separator =
        |name, unstated| headers.get(name).map_or(Ok(Vec::from(unstated)), |text| delimiter(text, is_doris));
    let byte = |name: &str| match get(name).map(str::as_bytes) {
        None => Ok(None),
        Some([byte]) => Ok(Some(*byte)),
        Some(_) => Err(format!("{name} must be single-char")),
    };
    let skip_lines = match get(skips) {
        None => 0,
        Some(text) => text.parse().map_err(|_| format!("Invalid {skips}: {text}"))?,
    };
    Ok(CsvForm {
        column_separator: separator("column_separator", b"\t")?,
        line_delimiter: separator(lines, b"\n")?,
        enclose: byte("enclose")?,
        escape: byte("escape")?,
        trims_space: !is_doris && get("trim_space").is_some_and(|v| v.eq_ignore_ascii_case("true")),
        trims_quotes: is_doris && headers.is_true("trim_double_quotes"),
        skip_lines: names.saturating_add(skip_lines),
        empty_is_null: is_doris && headers.is_true("empty_field_as_null"),
        is_lenient: is_doris,
    })
}

fn check_compression(kind: EngineKind, headers: &Headers<'_>) -> Result<(), String> {
    let names: &[&str] = match kind {
        EngineKind::StarRocks => &["compression", "content-encoding"],
        EngineKind::Doris => &["compress_type"],
    };
    match names.iter().find_map(|name| headers.get(name).map(|value| (name, value))) {
        None => Ok(()),
        Some((name, value)) => Err(not_imitated(name, value)),
    }
}

fn jsonpaths(list: &str) -> Result<(Vec<JsonPath>, String), String> {
    let texts: Vec<String> = serde_json::from_str(list).map_err(|_| format!("Invalid json path: {list}"))?;
    let paths = texts.iter().map(|text| JsonPath::parse(text).ok_or_else(|| format!("Invalid json path: {text}")));
    Ok((paths.collect::<Result<_, _>>()?, list.to_owned()))
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
        let size =
            h.parse::<u16>().ok().zip(m.parse::<u16>().ok()).map(|(h, m)| i32::from(h) * 3600 + i32::from(m) * 60);
        let seconds = size.map(|s| if name.starts_with('-') { -s } else { s });
        if let Some(offset) = seconds.and_then(|s| Offset::from_seconds(s).ok()) {
            return Ok(TimeZone::fixed(offset));
        }
    }
    TimeZone::get(name).map_err(|_| format!("Unknown or incorrect time zone: '{name}'"))
}

fn deletes(merge_type: Option<&str>, condition: Option<&str>) -> Result<Deletes, String> {
    match (merge_type.map(str::to_ascii_uppercase).as_deref(), condition) {
        (Some("MERGE"), Some(condition)) => read_condition(condition).map(|c| Deletes::Where(Box::new(c))),
        (Some("MERGE"), None) => Err("Excepted DELETE ON clause when merge type is MERGE.".to_owned()),
        (_, Some(_)) => Err("Not support DELETE ON clause when merge type is not MERGE.".to_owned()),
        (None | Some("APPEND"), None) => Ok(Deletes::AsSaid),
        (Some("DELETE"), None) => Ok(Deletes::All),
        (Some(other), None) => Err(format!("Invalid merge type {other}")),
    }
}

/// Only the very word `true` counts for StarRocks.
fn is_partial(kind: EngineKind, headers: &Headers<'_>) -> Result<bool, String> {
    match kind {
        EngineKind::StarRocks => match headers.get("partial_update_mode") {
            None | Some("row" | "column" | "auto") => Ok(headers.get("partial_update") == Some("true")),
            Some(other) => Err(format!("Invalid partial update mode: {other}")),
        },
        EngineKind::Doris => match headers.get("unique_key_update_mode").map(str::to_ascii_uppercase).as_deref() {
            None => Ok(headers.is_true("partial_columns")),
            Some("UPSERT") => Ok(false),
            Some("UPDATE_FIXED_COLUMNS") => Ok(true),
            Some(mode @ "UPDATE_FLEXIBLE_COLUMNS") => Err(not_imitated("unique_key_update_mode", mode)),
            Some(other) => Err(format!(
                "Invalid unique_key_update_mode {other}, must be one of 'UPSERT', 'UPDATE_FIXED_COLUMNS' or \
                 'UPDATE_FLEXIBLE_COLUMNS'"
            )),
        },
    }
}

fn refuses_new_keys(behavior: Option<&str>) -> Result<bool, String> {
    match behavior.map(str::to_ascii_uppercase).as_deref() {
        None | Some("APPEND") => Ok(false),
        Some("ERROR") => Ok(true),
        Some(other) => {
            Err(format!("Invalid partial_update_new_key_behavior {other}, must be one of 'APPEND' or 'ERROR'"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(door: Door, headers: &[(&'static str, &str)]) -> Result<LoadOptions, String> {
        let map = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        LoadOptions::read(door, &map)
    }

    #[test]
    fn framing_follows_the_engine() {
        let array = ("strip_outer_array", "true");
        let line = ("read_json_by_line", "true");
        let root = ("json_root", "$.a");
        let framing = |door, more: &[(&'static str, &str)]| match read(door, &[&[("format", "json")], more].concat())
            .unwrap()
            .format
        {
            Format::Json { framing, expands, .. } => (framing, expands),
            Format::Csv(_) => panic!("json was asked for"),
        };
        assert_eq!(framing(Door::Transaction, &[]), (Framing::Documents, false));
        assert_eq!(framing(Door::Transaction, &[array]), (Framing::Array, false));
        assert_eq!(framing(Door::StreamLoad, &[array, root]), (Framing::Any, true));
        assert_eq!(framing(Door::Doris, &[]), (Framing::Lines, false));
        assert_eq!(framing(Door::Doris, &[array]), (Framing::Array, false));
        assert_eq!(framing(Door::Doris, &[line, array]), (Framing::Lines, true));
    }

    #[test]
    fn what_would_change_the_load_is_read_or_refused() {
        // engine, header, value, a piece of the text
        for line in include_str!("../tests/data/headers.txt").lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let cells: Vec<&str> = line.split(" | ").collect();
            let [engine, header, want] = cells[..] else { panic!("{line}") };
            let doors: &[Door] = match engine {
                "starrocks" => &[Door::Transaction, Door::StreamLoad],
                "stream_load" => &[Door::StreamLoad],
                "transaction" => &[Door::Transaction],
                "doris" => &[Door::Doris],
                _ => &[Door::Transaction, Door::StreamLoad, Door::Doris],
            };
            for door in doors {
                let mut map = HeaderMap::new();
                map.insert("format", "json".parse().unwrap());
                for header in header.split("; ") {
                    let (name, value) = header.split_once(": ").unwrap();
                    map.insert(name.parse::<hyper::header::HeaderName>().unwrap(), value.parse().unwrap());
                }
                let got = LoadOptions::read(*door, &map).map_or_else(|e| e, |_| "taken".to_owned());
                assert!(got.contains(want), "{door:?} {header}: {got}");
            }
        }
        assert!(!read(Door::Transaction, &[]).unwrap().is_json(), "csv is the engines' default format");
    }
}
