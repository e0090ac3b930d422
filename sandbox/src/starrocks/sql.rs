//! StarRocks' SQL over HTTP (3.2 and later): `POST /api/v1/catalogs/{catalog}/sql`.
//!
//! Shapes follow `ExecuteSqlAction`, `HttpResultSender` and `JsonSerializer`.

use bytes::Bytes;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rest_failed;
use crate::http::{HttpResponse, response};
use crate::sql::{self, Answer, Grid, Server, Session};

/// Largest statement.
pub(crate) const BODY_MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Request {
    query: String,
}

/// Answers a statement.
pub(crate) async fn answer(server: &Server, body: Option<Bytes>) -> HttpResponse {
    let body = body.unwrap_or_default();
    let Ok(Request { query }) = serde_json::from_slice(&body) else {
        let said = String::from_utf8_lossy(&body);
        return refused(StatusCode::BAD_REQUEST, &format!("malformed json [ {said} ]"));
    };
    let verb = query.split_whitespace().next().unwrap_or_default().to_uppercase();
    if !["SELECT", "WITH", "SHOW", "ADMIN", "DESC", "DESCRIBE"].contains(&verb.as_str()) {
        let said = "http query only support SELECT, SHOW, EXPLAIN, DESC, KILL statement";
        return refused(StatusCode::BAD_REQUEST, said);
    }
    match sql::run(server, &mut Session::new(server, 0), &query, Vec::new()).await {
        Ok(Answer::Rows(grid)) if matches!(verb.as_str(), "SELECT" | "WITH") => selected(&grid),
        Ok(Answer::Rows(grid)) => shown(&grid),
        Ok(Answer::Done(_)) => refused(StatusCode::INTERNAL_SERVER_ERROR, "the statement has no result"),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, &error.message),
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

fn meta(grid: &Grid) -> Vec<Value> {
    let column = |c: &sql::OutputColumn| json!({"name": c.name, "type": c.ty.to_string().to_lowercase()});
    grid.columns.iter().map(column).collect()
}

/// One object for each row, between the columns and the statistics.
fn selected(grid: &Grid) -> HttpResponse {
    let mut objects = vec![json!({"connectionId": 1}), json!({"meta": meta(grid)})];
    objects.extend(grid.rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(at, cell)| grid.json(at, cell.as_deref()));
        json!({"data": cells.collect::<Vec<Value>>()})
    }));
    objects.push(json!({"statistics": statistics(grid.rows.len())}));
    ndjson(&objects)
}

/// A SHOW comes in one object, its rows as objects by column.
fn shown(grid: &Grid) -> HttpResponse {
    let object = |row: &Vec<Option<String>>| -> Value {
        let cells = grid.columns.iter().zip(row).map(|(c, cell)| (c.name.clone(), cell.clone().into()));
        Value::Object(cells.collect::<Map<String, Value>>())
    };
    let rows: Vec<Value> = grid.rows.iter().map(object).collect();
    let statistics = statistics(rows.len());
    ndjson(&[json!({"meta": meta(grid), "data": rows, "statistics": statistics})])
}
