//! StarRocks' SQL over HTTP (3.2 and later): `POST /api/v1/catalogs/{catalog}/sql`.
//!
//! Shapes follow `ExecuteSqlAction`, `HttpResultSender` and `JsonSerializer`. A SELECT runs in SQLite's dialect over the
//! sandbox's tables and its load history; integers are JSON numbers, everything else is text.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::rest_failed;
use crate::admin;
use crate::cluster::Cluster;
use crate::http::{HttpResponse, response};
use crate::questions::{begins_with, is_like, last_text, load_history, settings};
use crate::store::QueryResult;
use crate::table::EngineKind;

/// Largest statement.
pub(crate) const BODY_MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Request {
    query: String,
}

/// Answers a statement.
pub(crate) async fn answer(cluster: &Cluster, body: Option<Bytes>) -> HttpResponse {
    let body = body.unwrap_or_default();
    let Ok(Request { query }) = serde_json::from_slice(&body) else {
        let said = String::from_utf8_lossy(&body);
        return refused(StatusCode::BAD_REQUEST, &format!("malformed json [ {said} ]"));
    };
    if begins_with(&query, "ADMIN SHOW FRONTEND CONFIG") {
        return shown(cluster, last_text(&query).unwrap_or("%"));
    }
    if begins_with(&query, "SELECT current_version()") {
        let version = vec![Some(cluster.settings.version.clone())];
        return selected(&QueryResult { columns: vec!["current_version()".to_owned()], rows: vec![version] });
    }
    if !begins_with(&query, "SELECT") {
        let said = "http query only support SELECT, SHOW, EXPLAIN, DESC, KILL statement";
        return refused(StatusCode::BAD_REQUEST, said);
    }
    match admin::select_with(cluster, load_history(cluster), &query).await {
        Ok(result) => selected(&result),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refused(status: StatusCode, message: &str) -> HttpResponse {
    let mut response = rest_failed(message);
    *response.status_mut() = status;
    response
}

fn ndjson(objects: &[Value]) -> HttpResponse {
    let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
    response(StatusCode::OK, "application/x-ndjson; charset=utf-8", lines)
}

fn statistics(rows: usize) -> Value {
    json!({"scanRows": 0, "scanBytes": 0, "returnRows": rows})
}

/// One object for each row, between the columns and the statistics.
fn selected(result: &QueryResult) -> HttpResponse {
    let columns: Vec<Value> = result.columns.iter().map(|name| json!({"name": name, "type": "varchar"})).collect();
    let mut objects = vec![json!({"connectionId": 1}), json!({"meta": columns})];
    objects.extend(result.rows.iter().map(|row| {
        let cells: Vec<Value> = row.iter().map(|cell| cell.as_deref().map_or(Value::Null, value)).collect();
        json!({"data": cells})
    }));
    objects.push(json!({"statistics": statistics(result.rows.len())}));
    ndjson(&objects)
}

fn value(cell: &str) -> Value {
    cell.parse::<i64>().map_or_else(|_| Value::from(cell), Value::from)
}

/// A SHOW comes in one object, its rows as objects by column.
fn shown(cluster: &Cluster, pattern: &str) -> HttpResponse {
    let all = settings(cluster, EngineKind::StarRocks);
    let rows: Vec<Value> = all
        .iter()
        .filter(|(name, _)| is_like(name, pattern))
        .map(|(name, value)| {
            json!({"Key": name, "Value": value, "Type": "long", "IsMutable": "true", "MasterOnly": "true", "Comment": ""})
        })
        .collect();
    let columns = ["Key", "Value", "Type", "IsMutable", "MasterOnly", "Comment"];
    let meta: Vec<Value> = columns.iter().map(|name| json!({"name": name, "type": "varchar(30)"})).collect();
    let statistics = statistics(rows.len());
    ndjson(&[json!({"meta": meta, "data": rows, "statistics": statistics})])
}
