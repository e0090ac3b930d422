//! The admin port: a look at the tables and transactions, the fault plan, the clock, restarts.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json as value;

use crate::cluster::Cluster;
use crate::faults::{Fault, Node};
use crate::http::{HangUp, HttpRequest, HttpResponse, json, path_pieces, query_parameter, read_small, text};
use crate::store::{QueryResult, StoreError, query};
use crate::topology::{Machines, NodeError};
use crate::transactions::Transaction;

/// Largest body of an admin request.
const BODY_MAX_BYTES: usize = 1 << 20;

/// A transaction as the admin port shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransactionView {
    /// Transaction id.
    pub id: i64,
    /// Database.
    pub database: String,
    /// Table.
    pub table: String,
    /// Label.
    pub label: String,
    /// State, in StarRocks' words.
    pub state: String,
    /// Why it was aborted; empty otherwise.
    pub reason: String,
    /// Rows in the bodies; known from PREPARED on.
    pub total_rows: u64,
    /// Rows taken.
    pub loaded_rows: u64,
    /// Rows refused.
    pub filtered_rows: u64,
    /// Bytes of the bodies.
    pub bytes: u64,
}

impl From<Transaction> for TransactionView {
    fn from(t: Transaction) -> Self {
        Self {
            id: t.id,
            database: t.database,
            table: t.table,
            label: t.label,
            state: t.state.name().to_owned(),
            reason: t.reason,
            total_rows: t.counts.total,
            loaded_rows: t.counts.loaded,
            filtered_rows: t.counts.filtered,
            bytes: t.counts.bytes,
        }
    }
}

/// Moves the clock and looks at once for what has expired and what is to be forgotten.
pub(crate) async fn advance(cluster: &Cluster, by: Duration) {
    cluster.clock.advance(by);
    cluster.tick().await;
    cluster.sweep().await;
    cluster.clean_labels();
}

/// Runs a SELECT over all databases.
pub(crate) async fn select(cluster: &Cluster, sql: &str) -> Result<QueryResult, StoreError> {
    let files = cluster.stores().into_iter().map(|(name, store)| (name, store.path().to_owned())).collect();
    query(files, Vec::new(), sql.to_owned()).await
}

/// Answers a request.
pub(crate) async fn answer(
    cluster: Arc<Cluster>,
    machines: Arc<Machines>,
    request: HttpRequest,
) -> Result<HttpResponse, HangUp> {
    let pieces = path_pieces(&request);
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let method = request.method().clone();
    Ok(match (method, pieces.as_slice()) {
        (Method::POST, ["sandbox", "sql"]) => match body(request).await {
            Ok(sql) => match select(&cluster, &sql).await {
                Ok(result) => json(&result),
                Err(error) => bad_request(error.to_string()),
            },
            Err(message) => bad_request(message),
        },
        (Method::GET, ["sandbox", "transactions"]) => {
            let views: Vec<TransactionView> = cluster.transactions().into_iter().map(Into::into).collect();
            json(&views)
        }
        (Method::GET, ["sandbox", "tables"]) => json(&tables(&cluster)),
        (Method::GET, ["sandbox", "faults"]) => json(&cluster.faults.counts()),
        (Method::POST, ["sandbox", "faults"]) => match body(request).await.and_then(|text| Fault::read_plan(&text)) {
            Ok(faults) => {
                cluster.faults.add(faults);
                json(&cluster.faults.counts())
            }
            Err(message) => bad_request(message),
        },
        (Method::DELETE, ["sandbox", "faults"]) => {
            cluster.faults.clear();
            json(&cluster.faults.counts())
        }
        (Method::POST, ["sandbox", "clock"]) => match clock_request(request).await {
            Ok(ClockRequest { advance_seconds }) => {
                advance(&cluster, Duration::from_secs(advance_seconds)).await;
                json(&value!({"now_ms": cluster.clock.now_ms()}))
            }
            Err(message) => bad_request(message),
        },
        (Method::GET, ["sandbox", "nodes"]) => json(&machines.views()),
        (Method::POST, ["sandbox", verb @ ("kill" | "start" | "restart" | "lead")]) => {
            let node = query_parameter(&request, "node");
            let index = query_parameter(&request, "index");
            match change_node(&machines, verb, node.as_deref(), index.as_deref()).await {
                Ok(()) => json(&machines.views()),
                Err(message) => bad_request(message),
            }
        }
        (Method::POST, ["sandbox", "forget"]) => match query_parameter(&request, "labels") {
            Some(labels) => json(&value!({"forgotten": cluster.forget_labels(&labels)})),
            None => bad_request("say ?labels=PATTERN; * stands for any characters".to_owned()),
        },
        _ => text(StatusCode::NOT_FOUND, "no such path; see docs/sandbox.md"),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockRequest {
    advance_seconds: u64,
}

/// `kill`, `start`, `restart` of `?node=frontend&index=0`, or `lead` of a frontend.
async fn change_node(machines: &Machines, verb: &str, node: Option<&str>, index: Option<&str>) -> Result<(), String> {
    let node = match (verb, node) {
        ("lead", None) | (_, Some("frontend")) => Node::Frontend,
        (_, Some("backend")) if verb != "lead" => Node::Backend,
        _ => return Err("say ?node=frontend or ?node=backend, and &index=N behind it if there are several".to_owned()),
    };
    let index: usize = index.unwrap_or("0").parse().map_err(|_| "index is a number from 0 on".to_owned())?;
    let changed = match verb {
        "kill" => machines.kill(node, index).await,
        "start" => machines.start(node, index).await,
        "lead" => machines.lead(index).await,
        _ => machines.restart(node, index).await,
    };
    changed.map_err(|error: NodeError| error.to_string())
}

fn tables(cluster: &Cluster) -> serde_json::Value {
    cluster
        .tables()
        .iter()
        .map(|table| {
            let columns: Vec<_> = table
                .columns
                .iter()
                .map(|c| value!({"name": c.name, "type": c.ty.to_string(), "nullable": c.nullable}))
                .collect();
            let keys: Vec<_> = table.keys.iter().map(|k| table.columns[*k].name.as_str()).collect();
            value!({"database": table.database, "table": table.name, "keys": keys, "columns": columns})
        })
        .collect()
}

async fn body(request: HttpRequest) -> Result<String, String> {
    let bytes = read_small(request.into_body(), BODY_MAX_BYTES).await;
    let text_body = bytes.and_then(|b| String::from_utf8(b.to_vec()).ok());
    text_body.ok_or_else(|| "the body is too long or no text".to_owned())
}

async fn clock_request(request: HttpRequest) -> Result<ClockRequest, String> {
    serde_json::from_str(&body(request).await?).map_err(|e| format!("the body is not understood: {e}"))
}

fn bad_request(message: String) -> HttpResponse {
    text(StatusCode::BAD_REQUEST, message)
}
