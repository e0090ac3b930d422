//! `load`: headers that a route adds to its loads, except those that the protocol owns.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use toml::de::DeValue;

use super::mask::is_sensitive;
use super::reader::{Item, all};

/// Headers that the loader sets itself or must never send, and why.
const OWNED: [(&[&str], &str); 11] = [
    (&["label", "txn_id", "txn_operation", "db", "table"], "names the transaction; the loader does that"),
    (
        &["two_phase_commit", "transaction_type", "channel_num", "channel_id", "source_type"],
        "decides about exactly once",
    ),
    (
        &[
            "group_commit",
            "enable_merge_commit",
            "merge_commit_async",
            "merge_commit_interval_ms",
            "merge_commit_parallel",
        ],
        "the engine would commit by itself, which ends exactly once",
    ),
    (&["timeout", "idle_transaction_timeout"], "set engine.timeouts.transaction"),
    (&["prepared_timeout"], "set engine.timeouts.prepared"),
    (
        &[
            "format",
            "strip_outer_array",
            "read_json_by_line",
            "ignore_json_size",
            "fuzzy_parse",
            "num_as_string",
            "envelope",
        ],
        "says how the rows are written, and the loader writes them",
    ),
    (&["columns", "jsonpaths", "json_root", "sql"], "set `columns` of the route"),
    (
        &["compression", "compress_type", "content-encoding", "transmission_compression_type"],
        "the loader does not compress bodies",
    ),
    (
        &[
            "column_separator",
            "row_delimiter",
            "line_delimiter",
            "enclose",
            "escape",
            "trim_double_quotes",
            "trim_space",
            "skip_header",
            "skip_lines",
            "empty_field_as_null",
        ],
        "is for CSV; rows are sent as JSON",
    ),
    (&["authorization", "token"], "set engine.user and engine.password"),
    (
        &[
            "expect",
            "host",
            "connection",
            "content-length",
            "content-type",
            "transfer-encoding",
            "te",
            "upgrade",
            "trailer",
        ],
        "belongs to HTTP",
    ),
];

/// Reads `load`. Names come out in lower case. `None`: at least one problem is noted.
pub(super) fn read(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let entries = item.section("a table of load headers")?.entries();
    let read: Vec<(String, String)> = all(entries.iter().map(|(name, item)| header(name, item)))?;
    let mut headers = BTreeMap::new();
    for ((name, value), (_, item)) in read.into_iter().zip(&entries) {
        if headers.insert(name, value).is_some() {
            item.error("is set twice: upper and lower case make no difference to HTTP");
            return None;
        }
    }
    Some(headers)
}

fn header(name: &str, item: &Item<'_>) -> Option<(String, String)> {
    let lower = name.to_ascii_lowercase();
    if is_sensitive(name) {
        item.conceal();
    }
    if let Some((_, reason)) = OWNED.iter().find(|(names, _)| names.contains(&lower.as_str())) {
        item.problem("can't be set for a route", *reason);
        return None;
    }
    let value = match item.value() {
        DeValue::String(text) => text.clone().into_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            item.mistyped("a string, a number or a boolean");
            return None;
        }
    };
    if HeaderName::from_bytes(lower.as_bytes()).is_err() || HeaderValue::from_str(&value).is_err() || !value.is_ascii()
    {
        item.error("can't be sent as an HTTP header");
        return None;
    }
    warn_if_lossy(&lower, &value, item);
    Some((lower, value))
}

fn warn_if_lossy(name: &str, value: &str, item: &Item<'_>) {
    if name == "max_filter_ratio" && value.parse::<f64>() != Ok(0.0) {
        item.warn(
            "the engine may drop that share of the rows, and loads the rest",
            "without it, a row that the engine refuses is never dropped in silence",
        );
    }
    if name == "strict_mode" && !value.eq_ignore_ascii_case("true") {
        item.warn(
            "the engine turns values that do not fit their column into NULL",
            "the loader's own default is \"true\"",
        );
    }
}
