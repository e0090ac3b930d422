//! What only shows on the bare connection: 100-continue, early refusals, chunks, discard, the admin port.

use std::time::Duration;

use hyper::Method;
use loadlock_sandbox::{EngineKind, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Client, DEADLINE, call, one, until};

const DDL: &str = "CREATE TABLE d.t (id BIGINT, v STRING)";

/// Reads from a connection until the text ends as wanted.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.ends_with(end) {
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut bytes)).await.expect("no bytes in time").unwrap();
        assert!(read > 0, "the connection ended behind: {text}");
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    text
}

fn put(path: &str, headers: &[&str]) -> Vec<u8> {
    let headers = headers.join("\r\n");
    format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cm9vdDo=\r\nExpect: 100-continue\r\nformat: json\r\n{headers}\r\n\r\n"
    )
    .into_bytes()
}

#[tokio::test]
async fn only_a_backend_that_takes_the_body_says_continue() {
    let sandbox = Sandbox::builder(EngineKind::Doris).ddl(DDL).start().await.unwrap();
    let path = "/api/d/t/_stream_load";
    let length = "Content-Length: 8";

    let mut frontend = TcpStream::connect(sandbox.frontend).await.unwrap();
    frontend.write_all(&put(path, &[length, "label: l"])).await.unwrap();
    let answer = read_until(&mut frontend, "\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");

    let mut refusing = TcpStream::connect(sandbox.backend).await.unwrap();
    refusing.write_all(&put(path, &[length, "label: not.a.label"])).await.unwrap();
    let answer = read_until(&mut refusing, "}\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("Label format error"), "{answer}");

    let mut taking = TcpStream::connect(sandbox.backend).await.unwrap();
    taking.write_all(&put(path, &[length, "label: l", "two_phase_commit: true"])).await.unwrap();
    let answer = read_until(&mut taking, "\r\n\r\n").await;
    assert_eq!(answer, "HTTP/1.1 100 Continue\r\n\r\n");
    taking.write_all(b"{\"id\":1}").await.unwrap();
    let answer = read_until(&mut taking, "}\n").await;
    assert!(answer.contains("\"NumberLoadedRows\": 1"), "{answer}");
    sandbox.stop().await;
}

#[tokio::test]
async fn rows_arrive_while_the_body_does_and_a_busy_label_says_so() {
    let sandbox = Sandbox::builder(EngineKind::StarRocks).ddl(DDL).start().await.unwrap();
    let client = Client(&sandbox);
    client.txn("begin", "l", &[], "").await;
    let mut load = TcpStream::connect(sandbox.backend).await.unwrap();
    let headers = ["label: l", "db: d", "table: t", "Transfer-Encoding: chunked"];
    load.write_all(&put("/api/transaction/load", &headers)).await.unwrap();
    read_until(&mut load, "100 Continue\r\n\r\n").await;
    load.write_all(b"8\r\n{\"id\":1}\r\n5\r\n{\"id\"\r\n").await.unwrap();
    // The load holds the label from its headers on.
    for op in ["load", "prepare", "rollback"] {
        assert_eq!(client.txn(op, "l", &[], "{}").await.field("Status"), "TXN_IN_PROCESSING", "{op}");
    }
    load.write_all(b"3\r\n:2}\r\n0\r\n\r\n").await.unwrap();
    let answer = read_until(&mut load, "}\n").await;
    assert!(answer.contains("\"LoadBytes\": 16"), "{answer}");
    assert_eq!(client.txn("prepare", "l", &[], "").await.field("NumberLoadedRows"), "2");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_breaks_the_load() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = Sandbox::builder(kind).ddl(DDL).start().await.unwrap();
        let client = Client(&sandbox);
        let path = match kind {
            EngineKind::StarRocks => {
                client.txn("begin", "l", &[], "").await;
                "/api/transaction/load"
            }
            EngineKind::Doris => "/api/d/t/_stream_load",
        };
        let headers = ["label: l", "db: d", "table: t", "two_phase_commit: true", "Content-Length: 100"];
        let mut load = TcpStream::connect(sandbox.backend).await.unwrap();
        load.write_all(&put(path, &headers)).await.unwrap();
        read_until(&mut load, "100 Continue\r\n\r\n").await;
        load.write_all(b"{\"id\":1}\n").await.unwrap();
        assert_eq!(client.state("l").await, "PREPARE", "{kind}");
        drop(load);
        match kind {
            // The transaction stays; the next call learns of it.
            EngineKind::StarRocks => {
                until("the label is free", || async {
                    client.txn("prepare", "l", &[], "").await.field("Status") == "CANCELLED"
                })
                .await;
            }
            EngineKind::Doris => {}
        }
        until("it is aborted", || async { client.state("l").await == "ABORTED" }).await;
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_backend_restart_breaks_loads_under_way() {
    let sandbox = Sandbox::builder(EngineKind::Doris).ddl(DDL).start().await.unwrap();
    let mut load = TcpStream::connect(sandbox.backend).await.unwrap();
    load.write_all(&put("/api/d/t/_stream_load", &["label: l", "Content-Length: 100"])).await.unwrap();
    read_until(&mut load, "100 Continue\r\n\r\n").await;
    sandbox.restart_backend();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, load.read_to_end(&mut rest)).await.expect("it goes on");
    assert!(ended.is_err() || rest.is_empty(), "no answer");
    assert_eq!(Client(&sandbox).state("l").await, "PREPARE");
    sandbox.stop().await;
}

#[tokio::test]
async fn discarded_rows_are_counted() {
    let rows: String = (0..10_000).map(|i| format!("{{\"id\":{i},\"v\":\"a,{{\\\"b\\n\"}}\n")).collect();
    let doris = Sandbox::builder(EngineKind::Doris).ddl(DDL).settings(|s| s.discard = true).start().await.unwrap();
    let answer = Client(&doris).put("l", &[], &rows).await.unwrap();
    assert_eq!(answer.field("NumberLoadedRows"), "10000");
    doris.stop().await;

    let starrocks = Sandbox::builder(EngineKind::StarRocks).ddl(DDL).settings(|s| s.discard = true);
    let starrocks = starrocks.start().await.unwrap();
    let client = Client(&starrocks);
    client.txn("begin", "l", &[], "").await;
    let array = format!("[{}]", rows.trim_end().replace("}\n{", "},{"));
    client.txn("load", "l", &[("strip_outer_array", "true")], &array).await;
    assert_eq!(client.txn("prepare", "l", &[], "").await.field("NumberLoadedRows"), "10000");
    assert_eq!(client.txn("commit", "l", &[], "").await.field("Status"), "OK");
    assert_eq!(one(&starrocks, "SELECT count(*) FROM t").await, "0");
    starrocks.stop().await;
}

#[tokio::test]
async fn the_admin_port() {
    let sandbox = Sandbox::builder(EngineKind::Doris).ddl(DDL).start().await.unwrap();
    let client = Client(&sandbox);
    client.put("l", &[("two_phase_commit", "false")], "{\"id\":1}\n{\"id\":20}\n{\"id\":3}").await.unwrap();
    let admin = |method, path: &'static str, body: &'static str| call(sandbox.admin, method, path, &[], body);

    let found = admin(Method::POST, "/sandbox/sql", "SELECT id, v FROM d.t WHERE id > 2 ORDER BY id").await.unwrap();
    assert_eq!(found.text, r#"{"columns":["id","v"],"rows":[["3",null],["20",null]]}"#);
    for sql in ["DELETE FROM d.t", "ATTACH 'x.sqlite' AS x", "CREATE TABLE d.x (a)", "PRAGMA d.user_version = 7"] {
        let refused = call(sandbox.admin, Method::POST, "/sandbox/sql", &[], sql).await.unwrap();
        assert_eq!(refused.status, 400, "{sql}: {}", refused.text);
    }
    assert_eq!(one(&sandbox, "SELECT count(*) FROM d.t").await, "3");

    let transactions = admin(Method::GET, "/sandbox/transactions", "").await.unwrap().json();
    assert_eq!((&transactions[0]["label"], &transactions[0]["loaded_rows"]), (&"l".into(), &3.into()));
    let tables = admin(Method::GET, "/sandbox/tables", "").await.unwrap().json();
    assert_eq!(tables[0]["columns"][0]["type"], "BIGINT");

    let plan = r#"[{"call":"load","kind":"refuse_at_header","message":"no"}]"#;
    assert_eq!(admin(Method::POST, "/sandbox/faults", plan).await.unwrap().status, 200);
    assert_eq!(client.put("m", &[], "{}").await.unwrap().field("Message"), "no");
    assert_eq!(admin(Method::GET, "/sandbox/faults", "").await.unwrap().json()[0]["hit"], 1);
    assert_eq!(admin(Method::DELETE, "/sandbox/faults", "").await.unwrap().text, "[]");
    assert_eq!(admin(Method::POST, "/sandbox/faults", "[{}]").await.unwrap().status, 400);

    client.put("n", &[("timeout", "7000")], "{\"id\":1}").await.unwrap();
    admin(Method::POST, "/sandbox/clock", r#"{"advance_seconds":3600}"#).await.unwrap();
    assert_eq!(client.state("n").await, "ABORTED");
    assert_eq!(admin(Method::POST, "/sandbox/restart?node=frontend", "").await.unwrap().status, 200);
    assert_eq!(admin(Method::POST, "/sandbox/restart", "").await.unwrap().status, 400);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_stop_waits_for_the_call_under_way() {
    let sandbox = Sandbox::builder(EngineKind::Doris).ddl(DDL).start().await.unwrap();
    let mut load = TcpStream::connect(sandbox.backend).await.unwrap();
    load.write_all(&put("/api/d/t/_stream_load", &["label: l", "Content-Length: 8"])).await.unwrap();
    read_until(&mut load, "100 Continue\r\n\r\n").await;
    let stopping = tokio::spawn(sandbox.stop());
    load.write_all(b"{\"id\":1}").await.unwrap();
    let answer = read_until(&mut load, "}\n").await;
    assert!(answer.contains("\"Status\": \"Success\""), "{answer}");
    tokio::time::timeout(Duration::from_secs(10), stopping).await.expect("it stops").unwrap();
}
