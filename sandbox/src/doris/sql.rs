//! Doris' settings and SQL over HTTP: `GET /rest/v1/config/fe` and `POST /api/query/{catalog}/{database}`.
//!
//! Shapes follow `ConfigController`, `StmtExecutionAction` and `StatementSubmitter`. A SELECT runs in SQLite's dialect
//! over the sandbox's tables; integers are JSON numbers, everything else is text.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{envelope, state_name};
use crate::admin;
use crate::cluster::Cluster;
use crate::http::HttpResponse;
use crate::questions::{begins_with, is_like, last_text, settings};
use crate::table::EngineKind;
use crate::transactions::Transaction;

/// Largest statement.
pub(crate) const BODY_MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Request {
    stmt: String,
}

/// All settings on one page.
pub(crate) fn config(cluster: &Cluster) -> HttpResponse {
    let row = |(name, value)| json!({"Name": name, "Value": value});
    let rows: Vec<Value> = settings(cluster, EngineKind::Doris).into_iter().map(row).collect();
    envelope("success", 0, json!({"column_names": ["Name", "Value"], "rows": rows}))
}

/// Answers a statement.
pub(crate) async fn answer(cluster: &Cluster, body: Option<Bytes>) -> HttpResponse {
    let Ok(Request { stmt }) = serde_json::from_slice(&body.unwrap_or_default()) else {
        return envelope("Bad Request", 403, "Missing statement request body");
    };
    if begins_with(&stmt, "SELECT @@version_comment") {
        let version = format!("Doris version {}", cluster.settings.version);
        return rows(&["@@version_comment"], vec![vec![json!(version)]]);
    }
    if begins_with(&stmt, "SHOW TRANSACTION FROM") {
        return transactions(cluster, &stmt);
    }
    if !begins_with(&stmt, "SELECT") {
        return failed("Unsupported statement type");
    }
    match admin::select(cluster, &stmt).await {
        Ok(result) => {
            let columns: Vec<&str> = result.columns.iter().map(String::as_str).collect();
            let cell = |cell: Option<String>| cell.map_or(Value::Null, value);
            rows(&columns, result.rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect())
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(why: &str) -> HttpResponse {
    envelope("Error", 1, format!("Failed to execute sql: java.sql.SQLException: {why}"))
}

fn value(cell: String) -> Value {
    cell.parse::<i64>().map_or_else(|_| Value::from(cell), Value::from)
}

fn rows(columns: &[&str], data: Vec<Vec<Value>>) -> HttpResponse {
    let meta: Vec<Value> = columns.iter().map(|name| json!({"name": name, "type": "VARCHAR"})).collect();
    envelope("success", 0, json!({"type": "result_set", "meta": meta, "data": data, "time": 0}))
}

/// `SHOW TRANSACTION FROM db WHERE label LIKE '…'`; other conditions are refused. Columns as in `TransProcDir`, the
/// first ones.
fn transactions(cluster: &Cluster, sql: &str) -> HttpResponse {
    let words: Vec<&str> = sql.split_whitespace().collect();
    let database = words.get(3).map(|name| name.trim_matches('`')).unwrap_or_default();
    let is_by_pattern = begins_with(&words.get(4..).unwrap_or_default().join(" "), "WHERE label LIKE");
    let Some(pattern) = last_text(sql).filter(|_| is_by_pattern) else {
        return failed("the sandbox imitates WHERE label LIKE '…' only");
    };
    if !cluster.has_database(database) {
        return failed(&format!("Unknown database '{database}'"));
    }
    let found = cluster.transactions().into_iter().filter(|t| t.database == database && is_like(&t.label, pattern));
    let row = |Transaction { id, label, state, .. }: Transaction| {
        vec![json!(id), json!(label), json!(""), json!(state_name(state))]
    };
    rows(&["TransactionId", "Label", "Coordinator", "TransactionStatus"], found.map(row).collect())
}
