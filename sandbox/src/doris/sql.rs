//! Doris' settings and SQL over HTTP: `GET /rest/v1/config/fe` and `POST /api/query/{catalog}/{database}`.
//!
//! Shapes follow `ConfigController`, `StmtExecutionAction` and `StatementSubmitter`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::envelope;
use crate::http::HttpResponse;
use crate::sql::{self, Answer, Grid, Server, Session};

/// Largest statement.
pub(crate) const BODY_MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Request {
    stmt: String,
}

/// All settings on one page.
pub(crate) fn config(server: &Server) -> HttpResponse {
    let row = |(name, value)| json!({"Name": name, "Value": value});
    let rows: Vec<Value> = sql::settings(server).into_iter().map(row).collect();
    envelope("success", 0, json!({"column_names": ["Name", "Value"], "rows": rows}))
}

/// Answers a statement.
pub(crate) async fn answer(server: &Server, body: Option<Bytes>) -> HttpResponse {
    let Ok(Request { stmt }) = serde_json::from_slice(&body.unwrap_or_default()) else {
        return envelope("Bad Request", 403, "Missing statement request body");
    };
    let verb = stmt.split_whitespace().next().unwrap_or_default().to_uppercase();
    if !["SELECT", "WITH", "SHOW", "ADMIN", "DESC", "DESCRIBE"].contains(&verb.as_str()) {
        return failed("Unsupported statement type");
    }
    match sql::run(server, &mut Session::new(server, 0), &stmt, Vec::new()).await {
        Ok(Answer::Rows(grid)) => rows(&grid),
        Ok(Answer::Done(_)) => failed("the statement has no result"),
        Err(error) => failed(&error.message),
    }
}

fn failed(why: &str) -> HttpResponse {
    envelope("Error", 1, format!("Failed to execute sql: java.sql.SQLException: {why}"))
}

fn rows(grid: &Grid) -> HttpResponse {
    let meta: Vec<Value> = grid.columns.iter().map(|c| json!({"name": c.name, "type": c.ty.to_string()})).collect();
    let row = |row: &Vec<Option<String>>| -> Vec<Value> {
        row.iter().enumerate().map(|(at, cell)| grid.json(at, cell.as_deref())).collect()
    };
    let data: Vec<Vec<Value>> = grid.rows.iter().map(row).collect();
    envelope("success", 0, json!({"type": "result_set", "meta": meta, "data": data, "time": 0}))
}
