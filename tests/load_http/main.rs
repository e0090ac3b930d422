//! The loader against servers that redirect, refuse, reset, stall and forget on purpose.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod body;
mod frontends;
mod server;
mod transactions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use loadlock::config::{Engine, EngineKind, Secret, Timeouts};
use loadlock::domain::{Delivery, Label, Table, TxnId};
use loadlock::load::{Failure, Load, Loader, Prepared, Rows, Target, TxnName};

use server::{Conn, Head, Server};

const AUTHORIZATION: &str = "Basic bG9hZGVyOnRvcHNlY3JldA==";

const STATE_PREPARED: &str = r#"{"status":"OK","state":"PREPARED"}"#;

const OK: &str = r#"{"Status":"OK","Message":"","TxnId":239}"#;

fn timeouts() -> Timeouts {
    let seconds = Duration::from_secs;
    Timeouts {
        connect: seconds(5),
        call: seconds(5),
        continue_: seconds(5),
        stall: seconds(5),
        prepare: seconds(5),
        transaction: seconds(600),
        prepared: seconds(3600),
    }
}

fn engine(kind: EngineKind, frontends: &[SocketAddr]) -> Engine {
    Engine {
        kind,
        frontends: frontends.iter().map(|address| format!("http://{address}").parse().expect("an address")).collect(),
        backends: Vec::new(),
        rewrite: BTreeMap::new(),
        allow_plain_redirect: false,
        ca_file: None,
        user: "loader".into(),
        password: Secret::new(b"topsecret".to_vec()),
        timeouts: timeouts(),
    }
}

fn starrocks(frontend: &Server) -> Loader {
    Loader::new(&engine(EngineKind::StarRocks, &[frontend.address])).expect("a loader")
}

fn doris(frontend: &Server) -> Loader {
    Loader::new(&engine(EngineKind::Doris, &[frontend.address])).expect("a loader")
}

fn table() -> Table {
    Table { database: "d".into(), name: "t".into() }
}

fn target() -> Target {
    Target {
        table: table(),
        label: Label("L1".into()),
        columns: vec!["id".into()],
        delivery: Delivery::ExactlyOnce,
        headers: BTreeMap::new(),
    }
}

/// The same in one phase.
fn at_once() -> Target {
    Target { delivery: Delivery::AtLeastOnce, ..target() }
}

fn txn(id: Option<i64>) -> TxnName {
    TxnName { table: table(), label: Label("L1".into()), id: id.map(TxnId) }
}

fn rows(text: &str, rows: u64) -> Rows {
    Rows { bytes: Bytes::copy_from_slice(text.as_bytes()), rows, permit: None }
}

/// A MiB that is one row.
fn mebibyte() -> Rows {
    rows(&format!(",{{\"id\":\"{}\"}}", "x".repeat((1 << 20) - 10)), 1)
}

fn prepared_of(rows: u64) -> String {
    format!(r#"{{"Status":"OK","TxnId":239,"NumberTotalRows":{rows},"NumberLoadedRows":{rows},"LoadTimeMs":36}}"#)
}

async fn failure(load: Load) -> Failure {
    let ended = tokio::time::timeout(Duration::from_secs(20), load.prepare()).await;
    ended.expect("an end within 20 s").expect_err("the load has to fail")
}

/// A StarRocks backend that does all that it is asked for, and counts rows by their opening braces.
async fn good_backend() -> (Server, Arc<Mutex<Vec<String>>>) {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    let server = Server::start(move |head, conn| obey(head, conn, Arc::clone(&kept))).await;
    (server, bodies)
}

async fn obey(head: Head, mut conn: Conn, bodies: Arc<Mutex<Vec<String>>>) {
    match head.step() {
        "load" => {
            conn.say_continue().await;
            if let Some(body) = conn.body().await {
                bodies.lock().expect("no panic").push(String::from_utf8(body).expect("text"));
                conn.answer(OK).await;
            }
        }
        "prepare" => {
            let rows = bodies.lock().expect("no panic").iter().map(|body| body.matches('{').count() as u64).sum();
            conn.answer(&prepared_of(rows)).await;
        }
        "get_load_state" => conn.answer(STATE_PREPARED).await,
        _ => conn.answer(OK).await,
    }
}

async fn one_row(loader: &Loader) -> Result<Prepared, Failure> {
    let load = loader.open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await
}
