//! The StarRocks transaction interface over raw HTTP.

use std::time::Duration;

use crate::support::{Client, Headers, ROOT, call, one, rows, until};
use hyper::Method;
use loadlock_sandbox::{Call, EngineKind, Fault, FaultKind, Sandbox, Settings};

const DDL: &str = "CREATE DATABASE d;
    CREATE TABLE d.t (id BIGINT NOT NULL, v VARCHAR(8), amount DECIMAL(10,2))
        PRIMARY KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1;
    CREATE TABLE d.log (id BIGINT, v STRING) DUPLICATE KEY(id);";

async fn start() -> Sandbox {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Settings)) -> Sandbox {
    Sandbox::builder(EngineKind::StarRocks).ddl(DDL).settings(change).start().await.unwrap()
}

const ARRAY: (&str, &str) = ("strip_outer_array", "true");
const STRICT: (&str, &str) = ("strict_mode", "true");

/// Begins, loads one row and prepares.
async fn prepared(client: &Client<'_>, label: &str, id: u64) {
    assert_eq!(client.txn("begin", label, &[], "").await.field("Status"), "OK");
    let body = format!(r#"[{{"id":{id},"v":"x"}}]"#);
    assert_eq!(client.txn("load", label, &[ARRAY], &body).await.field("Status"), "OK");
    assert_eq!(client.txn("prepare", label, &[], "").await.field("Status"), "OK");
}

#[tokio::test]
async fn rows_are_visible_only_after_commit() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let begun = client.txn("begin", "l1", &[("timeout", "60")], "").await;
    assert_eq!((begun.status, begun.field("Status").as_str()), (200, "OK"));
    let first = client.txn("load", "l1", &[ARRAY], r#"[{"id":1,"v":"a","amount":12.50},{"id":2,"x":0}]"#).await;
    assert_eq!(first.field("TxnId"), begun.field("TxnId"));
    assert!(first.json().get("NumberTotalRows").is_none(), "a load says nothing of rows");
    client.txn("load", "l1", &[ARRAY], r#"[{"id":3,"amount":"1E+3"}]"#).await;
    let prepared = client.txn("prepare", "l1", &[], "").await;
    assert_eq!((prepared.field("NumberTotalRows").as_str(), prepared.field("NumberLoadedRows").as_str()), ("3", "3"));
    assert_eq!(client.state("l1").await, "PREPARED");
    assert_eq!(one(&sandbox, "SELECT count(*) FROM d.t").await, "0");

    let committed = client.txn("commit", "l1", &[], "").await;
    assert_eq!(committed.field("Status"), "OK");
    assert_eq!(client.state("l1").await, "VISIBLE");
    let want = ["1|a|12.50", "2|NULL|NULL", "3|NULL|1000.00"];
    assert_eq!(rows(&sandbox, "SELECT * FROM t ORDER BY id").await, want);
    sandbox.stop().await;
}

#[tokio::test]
async fn every_call_in_every_state() {
    // label state; then begin, load, prepare, commit, rollback: status and a piece of the message
    let cases = [
        (
            "PREPARE",
            ["LABEL_ALREADY_EXISTS", "OK", "INTERNAL_ERROR hasn't send any data yet", "INTERNAL_ERROR hasn't", "OK"],
        ),
        ("PREPARED", ["LABEL_ALREADY_EXISTS RUNNING", "TXN_NOT_EXISTS", "TXN_NOT_EXISTS not exists", "OK", "OK"]),
        (
            "VISIBLE",
            [
                "LABEL_ALREADY_EXISTS FINISHED",
                "TXN_NOT_EXISTS",
                "TXN_NOT_EXISTS",
                "OK has already committed",
                "FAILED Can not abort VISIBLE transaction",
            ],
        ),
        (
            "ABORTED",
            [
                "OK",
                "TXN_NOT_EXISTS",
                "TXN_NOT_EXISTS",
                "FAILED Can not commit ABORTED transaction",
                "OK has already aborted",
            ],
        ),
        (
            "UNKNOWN",
            [
                "OK",
                "FAILED Can't find the transaction",
                "FAILED Can't find the transaction",
                "FAILED class com.starrocks.common.StarRocksException: No transaction found",
                "FAILED No transaction found",
            ],
        ),
    ];
    let sandbox = start().await;
    let client = Client(&sandbox);
    for (state, answers) in cases {
        for (op, want) in ["begin", "load", "prepare", "commit", "rollback"].into_iter().zip(answers) {
            let label = format!("{state}-{op}");
            match state {
                "PREPARE" => drop(client.txn("begin", &label, &[], "").await),
                "PREPARED" => prepared(&client, &label, 1).await,
                "VISIBLE" => {
                    prepared(&client, &label, 1).await;
                    client.txn("commit", &label, &[], "").await;
                }
                "ABORTED" => {
                    client.txn("begin", &label, &[], "").await;
                    client.txn("rollback", &label, &[], "").await;
                }
                _ => {}
            }
            assert_eq!(client.state(&label).await, state, "{label}");
            let answer = client.txn(op, &label, &[], r#"{"id":1}"#).await;
            let (status, piece) = want.split_once(' ').unwrap_or((want, ""));
            assert_eq!(answer.field("Status"), status, "{label}: {}", answer.text);
            assert!(answer.text.contains(piece), "{label}: {}", answer.text);
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn the_frontend_redirects_without_credentials_and_wants_post() {
    let sandbox = start().await;
    let headers = [ROOT, ("label", "l"), ("db", "d"), ("table", "t")];
    let path = "/api/transaction/begin?a=%20b";
    let begin = call(sandbox.frontend, Method::POST, path, &headers, "").await.unwrap();
    assert_eq!((begin.status, begin.text.as_str()), (307, ""));
    assert_eq!(begin.location.unwrap(), format!("http://{}{path}", sandbox.backend));
    for op in ["begin", "prepare", "commit", "rollback"] {
        let put = call(sandbox.frontend, Method::PUT, &format!("/api/transaction/{op}"), &headers, "").await.unwrap();
        assert_eq!((put.status, put.field("Status").as_str()), (200, "FAILED"), "{op}");
        assert!(put.text.contains("Invalid request"), "{}", put.text);
    }
    let malformed = call(sandbox.frontend, Method::POST, "/api/transaction/begin", &headers, "x").await.unwrap();
    assert!(malformed.text.contains("Malformed json tablets, label is l"), "{}", malformed.text);
    let post = call(sandbox.backend, Method::POST, "/api/transaction/load", &headers, "").await.unwrap();
    assert_eq!(post.field("Message"), "unsupport transaction operation load");
    let lost = call(sandbox.backend, Method::GET, "/api/d/get_load_state?label=l", &headers, "").await.unwrap();
    assert_eq!((lost.status, lost.text.as_str()), (404, "Not Found"));
    sandbox.stop().await;
}

#[tokio::test]
async fn headers_that_are_refused() {
    let sandbox = start().await;
    let cases: [(Headers<'_>, &str); 6] = [
        (&[("db", "d"), ("table", "t")], "Empty label."),
        (&[("label", "a.b"), ("db", "d"), ("table", "t")], "Label format error"),
        (&[("label", "l"), ("table", "t")], "No database selected."),
        (&[("label", "l"), ("db", "x"), ("table", "t")], "Database[x] does not exist."),
        (&[("label", "l"), ("db", "d"), ("table", "x")], "unknown table \\\"d.x\\\""),
        (&[("label", "l"), ("db", "d"), ("table", "t"), ("timeout", "0")], "Timeout should between 1 and 259200"),
    ];
    for (headers, want) in cases {
        let answer = Client(&sandbox).send(Method::POST, "/api/transaction/begin", headers, "").await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(want), "{headers:?}: {}", answer.text);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn logins() {
    let sandbox = Sandbox::builder(EngineKind::StarRocks).ddl(DDL).account("loader", "s3cret").start().await.unwrap();
    let wrong = ("authorization", "Basic cm9vdDo=");
    let path = "/api/d/get_load_state?label=l";
    let missing = call(sandbox.frontend, Method::GET, path, &[], "").await.unwrap();
    assert_eq!((missing.status, missing.field("msg").as_str()), (401, "Need auth information."));
    let denied = call(sandbox.frontend, Method::GET, path, &[wrong], "").await.unwrap();
    assert_eq!((denied.status, denied.field("code").as_str()), (401, "1"));
    assert!(denied.field("message").starts_with("Access denied for root@"), "{}", denied.text);
    let headers = [("label", "l"), ("db", "d"), ("table", "t")];
    let begin = call(sandbox.backend, Method::POST, "/api/transaction/begin", &headers, "").await.unwrap();
    assert_eq!((begin.status, begin.field("Status").as_str()), (200, "INTERNAL_ERROR"));
    assert!(begin.field("Message").contains("no valid Basic authorization"));
    sandbox.stop().await;
}

#[tokio::test]
async fn bad_rows_fail_the_prepare_and_are_named_in_the_error_log() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    client.txn("begin", "l", &[], "").await;
    let body = r#"[{"id":1,"v":"fits"},{"id":"x"},{"v":"no key"},{"id":2,"v":"far too long"},{"id":3,"amount":1e9}]"#;
    assert_eq!(client.txn("load", "l", &[ARRAY, STRICT], body).await.field("Status"), "OK");
    let failed = client.txn("prepare", "l", &[], "").await;
    assert_eq!(failed.field("Status"), "INTERNAL_ERROR");
    assert_eq!(failed.field("Message"), "too many filtered rows");
    let url = failed.field("ErrorURL");
    let path = url.strip_prefix(&format!("http://{}", sandbox.backend)).expect(&url);
    let log = call(sandbox.backend, Method::GET, path, &[], "").await.unwrap().text;
    let reasons = [
        r#"Error: Value 'x' is out of range. The type of 'id' is BIGINT. Row: {"id":"x"}"#,
        "Error: NULL value in non-nullable column 'id'. Row: [NULL, 'no key', NULL]",
        "Error: String 'far too long'(length=12) is too long. The max length of 'v' is 8. Row: ",
        r#"Error: Decimal '1e9' is out of range. The type of 'amount' is DECIMAL(10,2). Row: {"id":3"#,
    ];
    assert_eq!(log.lines().count(), reasons.len(), "{log}");
    for (line, want) in log.lines().zip(reasons) {
        assert!(line.starts_with(want), "{line}");
    }
    assert_eq!(client.state("l").await, "ABORTED");

    // The same rows within the ratio: four of five may go.
    client.txn("begin", "l", &[], "").await;
    client.txn("load", "l", &[ARRAY, STRICT, ("max_filter_ratio", "0.8")], body).await;
    let prepared = client.txn("prepare", "l", &[], "").await;
    assert_eq!((prepared.field("Status").as_str(), prepared.field("NumberFilteredRows").as_str()), ("OK", "4"));
    assert!(prepared.field("ErrorURL").starts_with("http://"));
    client.txn("commit", "l", &[], "").await;
    assert_eq!(rows(&sandbox, "SELECT * FROM d.t").await, ["1|fits|NULL"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn bodies_that_break_the_load() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let cases: [(Headers<'_>, &str, &str); 6] = [
        (&[ARRAY], r#"{"id":1}"#, "the value should be array type with strip_outer_array=true"),
        (&[], r#"[{"id":1}]"#, "The value is array type in json document stream"),
        (&[ARRAY], r#"[{"id":1},{"id":2"#, "parse error"),
        (&[ARRAY], r#"[{"id":1} {"id":2}]"#, "parse error"),
        (&[], r#"{"id":1}{"id":01}"#, "parse error"),
        (&[ARRAY], "[]", "No rows were imported from upstream"),
    ];
    for (number, (headers, body, want)) in cases.into_iter().enumerate() {
        let label = format!("l{number}");
        client.txn("begin", &label, &[], "").await;
        let load = client.txn("load", &label, headers, body).await;
        assert_eq!(load.field("Status"), "OK", "the load itself says nothing: {body}");
        let prepare = client.txn("prepare", &label, &[], "").await;
        assert!(prepare.field("Message").contains(want), "{body}: {}", prepare.text);
        assert_eq!(client.state(&label).await, "ABORTED", "{body}");
    }
    assert_eq!(one(&sandbox, "SELECT count(*) FROM d.t").await, "0");
    sandbox.stop().await;
}

#[tokio::test]
async fn loads_of_a_label_must_be_alike() {
    let sandbox = start_with(|s| s.json_max_bytes = 40).await;
    let client = Client(&sandbox);
    let row = r#"[{"id":1,"v":"0123456"}]"#;
    // second load's headers; the answer; the state afterwards
    let cases: [(Headers<'_>, &str, &str); 4] = [
        (&[ARRAY, STRICT, ("ignore_json_size", "true")], "load request not equal last.", "ABORTED"),
        (&[ARRAY, ("table", "log")], "Request table log not equal transaction table t", "PREPARE"),
        (&[ARRAY], "The size of this batch exceed the max size", "ABORTED"),
        (&[ARRAY, ("compression", "zstd")], "does not imitate the header compression", "ABORTED"),
    ];
    for (number, (headers, want, state)) in cases.into_iter().enumerate() {
        let label = format!("l{number}");
        client.txn("begin", &label, &[], "").await;
        client.txn("load", &label, &[ARRAY], row).await;
        let mut all = vec![("label", label.as_str()), ("db", "d"), ("format", "json"), ("expect", "100-continue")];
        all.extend_from_slice(headers);
        if !headers.iter().any(|(name, _)| *name == "table") {
            all.push(("table", "t"));
        }
        let second = client.send(Method::PUT, "/api/transaction/load", &all, row).await.unwrap();
        assert!(second.text.contains(want), "{headers:?}: {}", second.text);
        assert_eq!(client.state(&label).await, state, "{headers:?}");
    }
    // With ignore_json_size the bytes don't add up to a refusal.
    client.txn("begin", "free", &[], "").await;
    for _ in 0..3 {
        let load = client.txn("load", "free", &[ARRAY, ("ignore_json_size", "true")], row).await;
        assert_eq!(load.field("Status"), "OK");
    }
    assert_eq!(client.txn("prepare", "free", &[], "").await.field("NumberTotalRows"), "3");
    sandbox.stop().await;
}

#[tokio::test]
async fn keys_replace_and_operations_delete() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let bodies = [
        r#"{"id":10,"v":"a"}{"id":9,"v":"a"}{"id":9,"v":"b"}"#,
        r#"{"id":9,"__op":1}{"id":11,"v":"c","__op":"upsert"}{"id":12,"__op":1}{"id":12,"v":"d"}"#,
    ];
    for (number, body) in bodies.into_iter().enumerate() {
        let label = format!("l{number}");
        client.txn("begin", &label, &[], "").await;
        client.txn("load", &label, &[], body).await;
        client.txn("prepare", &label, &[], "").await;
        assert_eq!(client.txn("commit", &label, &[], "").await.field("Status"), "OK");
    }
    // Numeric order, although every value is text.
    assert_eq!(rows(&sandbox, "SELECT id, v FROM d.t ORDER BY id").await, ["10|a", "11|c", "12|d"]);

    let headers = [("label", "log"), ("format", "json"), ("expect", "100-continue")];
    let body = r#"{"id":1,"v":"x"}{"id":1,"v":"x"}"#;
    let loaded = client.send(Method::PUT, "/api/d/log/_stream_load", &headers, body).await.unwrap();
    assert_eq!((loaded.field("Status").as_str(), loaded.field("NumberLoadedRows").as_str()), ("Success", "2"));
    assert_eq!(one(&sandbox, "SELECT count(*) FROM log").await, "2");
    let again = client.send(Method::PUT, "/api/d/log/_stream_load", &headers, body).await.unwrap();
    assert_eq!((again.field("Status").as_str(), again.field("TxnId").as_str()), ("Label Already Exists", "-1"));
    assert_eq!(again.field("ExistingJobStatus"), "FINISHED");
    let unexpected = client.send(Method::PUT, "/api/d/log/_stream_load", &headers[..2], body).await.unwrap();
    assert!(unexpected.text.contains("There is no 100-continue header"), "{}", unexpected.text);
    sandbox.stop().await;
}

#[tokio::test]
async fn time_ends_transactions_and_memory() {
    let sandbox = start_with(|s| s.label_keep_max = 1).await;
    let client = Client(&sandbox);
    client.txn("begin", "open", &[("timeout", "60")], "").await;
    prepared(&client, "prepared", 1).await;
    client.txn("begin", "short", &[], "").await;
    client.txn("load", "short", &[ARRAY], r#"[{"id":5}]"#).await;
    let short = client.txn("prepare", "short", &[("prepared_timeout", "90")], "").await;
    assert_eq!(short.field("Status"), "OK");

    sandbox.advance(Duration::from_secs(61)).await;
    assert_eq!(client.state("open").await, "ABORTED");
    assert_eq!(client.state("short").await, "PREPARED");
    let lost = client.txn("load", "open", &[ARRAY], "[]").await;
    assert_eq!(lost.field("Status"), "TXN_NOT_EXISTS");

    sandbox.advance(Duration::from_secs(30)).await;
    let late = client.txn("commit", "short", &[], "").await;
    // One finished transaction is remembered, and "short" is newer than "open".
    assert!(late.field("Message").contains("Can not commit ABORTED transaction"), "{}", late.text);
    assert_eq!(client.state("open").await, "UNKNOWN");
    assert_eq!(client.state("prepared").await, "PREPARED");
    sandbox.advance(Duration::from_secs(86_400)).await;
    assert_eq!(client.state("prepared").await, "ABORTED");
    let reasons: Vec<String> = sandbox.transactions().into_iter().map(|t| t.reason).collect();
    assert_eq!(reasons, ["timeout by txn manager"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn an_idle_transaction_is_aborted() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    client.txn("begin", "l", &[("idle_transaction_timeout", "10")], "").await;
    sandbox.advance(Duration::from_secs(11)).await;
    assert_eq!(client.state("l").await, "ABORTED");
    assert_eq!(sandbox.transactions()[0].reason, "transaction is aborted by timeout 10 seconds.");
    sandbox.stop().await;
}

#[tokio::test]
async fn what_restarts_lose() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    client.txn("begin", "open", &[], "").await;
    prepared(&client, "done", 1).await;
    sandbox.restart_backend();
    assert_eq!(client.state("open").await, "PREPARE");
    assert_eq!(client.txn("load", "open", &[ARRAY], "[]").await.field("Status"), "TXN_NOT_EXISTS");
    assert_eq!(client.txn("rollback", "open", &[], "").await.field("Status"), "TXN_NOT_EXISTS");
    let cancelled = client.send(Method::POST, "/api/d/t/_cancel?label=open", &[], "").await.unwrap();
    assert_eq!(cancelled.field("status"), "OK");
    assert_eq!(client.state("open").await, "ABORTED");

    client.txn("begin", "second", &[], "").await;
    client.txn("load", "second", &[ARRAY], r#"[{"id":7}]"#).await;
    sandbox.restart_frontend();
    assert_eq!(client.state("second").await, "UNKNOWN");
    assert!(client.txn("prepare", "second", &[], "").await.text.contains("Can't find the transaction"));
    assert_eq!(client.txn("commit", "done", &[], "").await.field("Status"), "OK");
    assert_eq!(rows(&sandbox, "SELECT id FROM t").await, ["1"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_directory_keeps_what_was_prepared() {
    let dir = tempfile::tempdir().unwrap();
    let up = || Sandbox::builder(EngineKind::StarRocks).ddl(DDL).dir(dir.path()).start();
    let sandbox = up().await.unwrap();
    let client = Client(&sandbox);
    prepared(&client, "visible", 1).await;
    client.txn("commit", "visible", &[], "").await;
    prepared(&client, "prepared", 2).await;
    client.txn("begin", "open", &[], "").await;
    client.txn("load", "open", &[ARRAY], r#"[{"id":3}]"#).await;
    let highest = sandbox.transactions().last().unwrap().id;
    sandbox.stop().await;

    let sandbox = up().await.unwrap();
    let client = Client(&sandbox);
    let states = [client.state("visible").await, client.state("prepared").await, client.state("open").await];
    assert_eq!(states, ["VISIBLE", "PREPARED", "UNKNOWN"]);
    assert_eq!(rows(&sandbox, "SELECT id FROM t").await, ["1"]);
    assert_eq!(client.txn("commit", "prepared", &[], "").await.field("Status"), "OK");
    assert_eq!(rows(&sandbox, "SELECT id FROM t ORDER BY id").await, ["1", "2"]);
    client.txn("begin", "next", &[], "").await;
    assert!(sandbox.transactions().last().unwrap().id > highest, "an id is used once");
    sandbox.stop().await;

    let other = "CREATE TABLE d.t (id BIGINT) PRIMARY KEY(id)";
    let refused = Sandbox::builder(EngineKind::StarRocks).ddl(other).dir(dir.path()).start().await;
    assert!(refused.unwrap_err().to_string().contains("use another directory or the old ddl"));
}

#[tokio::test]
async fn a_publish_that_takes_long() {
    let sandbox = start_with(|s| s.publish_delay = Duration::from_millis(1500)).await;
    let client = Client(&sandbox);
    prepared(&client, "l", 1).await;
    let commit = client.txn("commit", "l", &[("timeout", "1")], "").await;
    assert_eq!(commit.field("Status"), "FAILED");
    assert!(commit.field("Message").contains("publish timeout: 1000, transactionId="), "{}", commit.text);
    assert_eq!(client.state("l").await, "COMMITTED");
    assert_eq!(one(&sandbox, "SELECT count(*) FROM t").await, "0");
    until("the rows are visible", || async { client.state("l").await == "VISIBLE" }).await;
    assert_eq!(one(&sandbox, "SELECT count(*) FROM t").await, "1");
    sandbox.stop().await;
}

#[tokio::test]
async fn faults_before_and_after_the_effect() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    prepared(&client, "l", 1).await;
    sandbox.inject([
        Fault::once(Call::Commit, FaultKind::DropBefore),
        Fault { skip: 1, ..Fault::once(Call::Commit, FaultKind::Status { code: 503 }) },
        Fault { skip: 2, ..Fault::once(Call::Commit, FaultKind::DropAfter) },
    ]);
    assert!(client.try_txn("commit", "l", &[], "").await.is_err(), "dropped before");
    assert_eq!(client.state("l").await, "PREPARED");
    assert_eq!(client.txn("commit", "l", &[], "").await.status, 503);
    assert_eq!(client.state("l").await, "PREPARED");
    assert!(client.try_txn("commit", "l", &[], "").await.is_err(), "dropped after");
    assert_eq!(client.state("l").await, "VISIBLE");
    assert_eq!(sandbox.faults().iter().map(|f| f.hit).collect::<Vec<_>>(), [1, 1, 1]);

    let message = "Memory of process exceed limit".to_owned();
    let refuse = FaultKind::RefuseAtHeader { status: Some("MEM_LIMIT_EXCEEDED".into()), message };
    sandbox.inject([Fault::once(Call::Begin, refuse)]);
    let begin = client.txn("begin", "m", &[], "").await;
    assert_eq!(begin.field("Status"), "MEM_LIMIT_EXCEEDED");
    assert_eq!(client.state("m").await, "UNKNOWN");
    assert_eq!(client.txn("begin", "m", &[], "").await.field("Status"), "OK", "once");
    sandbox.stop().await;
}

#[tokio::test]
async fn faults_in_the_middle_of_a_body() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let long = format!(r#"[{{"id":1,"v":"{}"}}]"#, "x".repeat(2_000_000));
    sandbox.inject([
        Fault::once(Call::Load, FaultKind::RefuseInBody { after_bytes: 1000, message: "no space".into() }),
        Fault { skip: 1, ..Fault::once(Call::Load, FaultKind::DropInBody { after_bytes: 1000 }) },
    ]);
    client.txn("begin", "refused", &[], "").await;
    // The answer comes while the body is still being sent; whether the client sees it or a broken pipe is a race that
    // real engines have, too.
    if let Ok(answer) = client.try_txn("load", "refused", &[ARRAY], &long).await {
        assert_eq!(answer.field("Message"), "no space");
    }
    until("the load is aborted", || async { client.state("refused").await == "ABORTED" }).await;

    client.txn("begin", "dropped", &[], "").await;
    assert!(client.try_txn("load", "dropped", &[ARRAY], &long).await.is_err());
    let load = client.txn("load", "dropped", &[ARRAY], "[]").await;
    assert_eq!((load.field("Status").as_str(), load.field("Message").contains("is aborted")), ("ABORTED", true));
    assert_eq!(client.txn("prepare", "dropped", &[], "").await.field("Status"), "CANCELLED");
    assert_eq!(client.state("dropped").await, "ABORTED");
    sandbox.stop().await;
}
