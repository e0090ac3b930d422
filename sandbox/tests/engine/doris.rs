//! Doris' two-phase Stream Load over raw HTTP.

use std::time::Duration;

use hyper::Method;
use loadlock_sandbox::{Call, EngineKind, Fault, FaultKind, Node, Sandbox, Settings};

use crate::support::{Client, Headers, ROOT, call, one, rows, until};

const DDL: &str = "CREATE DATABASE empty;
    CREATE TABLE d.t (id BIGINT, v VARCHAR(8) DEFAULT 'dflt', amount DECIMALV3(10,2))
        UNIQUE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS AUTO;";

async fn start() -> Sandbox {
    start_with(|_| {}).await
}

async fn start_with(change: impl FnOnce(&mut Settings)) -> Sandbox {
    Sandbox::builder(EngineKind::Doris).ddl(DDL).settings(change).start().await.unwrap()
}

/// A pre-committed load of one row; its transaction id.
async fn precommitted(client: &Client<'_>, label: &str) -> String {
    let answer = client.put(label, &[], "{\"id\":1,\"v\":\"x\"}\n").await.unwrap();
    assert_eq!(answer.field("Status"), "Success", "{}", answer.text);
    answer.field("TxnId")
}

#[tokio::test]
async fn two_phases() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let body = "{\"id\":1,\"v\":\"a\",\"amount\":12.50}\n\n{\"id\":2}\n{\"id\":3,\"v\":null,\"amount\":\"1e3\"}";
    let loaded = client.put("a:b-1_2", &[], body).await.unwrap();
    let shown = ["Status", "TwoPhaseCommit", "Message", "NumberTotalRows", "NumberLoadedRows"];
    assert_eq!(shown.map(|name| loaded.field(name)), ["Success", "true", "OK", "3", "3"]);
    assert_eq!(client.state("a:b-1_2").await, "PRECOMMITTED");
    assert_eq!(one(&sandbox, "SELECT count(*) FROM d.t").await, "0");

    let id = loaded.field("TxnId");
    let commit = client.second("commit", ("txn_id", &id)).await;
    assert_eq!(commit.field("msg"), format!("transaction [{id}] commit successfully."));
    until("the rows are visible", || async { client.state("a:b-1_2").await == "VISIBLE" }).await;
    // A missing key takes the default, an explicit null doesn't.
    assert_eq!(rows(&sandbox, "SELECT * FROM t ORDER BY id").await, ["1|a|12.50", "2|dflt|NULL", "3|NULL|1000.00"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn every_second_phase_in_every_state() {
    // state; then commit by id, abort by id, commit by label, abort by label: a piece of `msg`
    let cases = [
        (
            "PRECOMMITTED",
            [
                "transaction [N] commit successfully.",
                "transaction [N] abort successfully.",
                "label [L] commit",
                "label [L] abort",
            ],
        ),
        (
            "COMMITTED",
            [
                "transaction [N] is already committed, not pre-committed.",
                "transaction [N] is already COMMITTED, could not abort.",
                "running transaction not found, label=L",
                "running transaction not found, label=L",
            ],
        ),
        (
            "VISIBLE",
            [
                "TStatus: errCode = 2, detailMessage = transaction [N] is already visible, not pre-committed.",
                "transaction [N] is already VISIBLE, could not abort.",
                "running transaction not found, label=L",
                "running transaction not found, label=L",
            ],
        ),
        (
            "ABORTED",
            [
                "transaction [N] is already aborted. abort reason: User Abort",
                "transaction [N] is already aborted, abort reason: User Abort",
                "running transaction not found, label=L",
                "running transaction not found, label=L",
            ],
        ),
        (
            "UNKNOWN",
            [
                "transaction [N] not found",
                "transaction [N] not found",
                "transaction not found, label=L",
                "transaction not found, label=L",
            ],
        ),
    ];
    let slow = start_with(|s| s.publish_delay = Duration::from_secs(600)).await;
    let fast = start().await;
    for (state, answers) in cases {
        let sandbox = if state == "COMMITTED" { &slow } else { &fast };
        let client = Client(sandbox);
        for (number, want) in answers.into_iter().enumerate() {
            let label = format!("{state}-{number}");
            let mut id = "4711".to_owned();
            if state != "UNKNOWN" {
                id = precommitted(&client, &label).await;
            }
            match state {
                "COMMITTED" | "VISIBLE" => drop(client.second("commit", ("txn_id", &id)).await),
                "ABORTED" => drop(client.second("abort", ("txn_id", &id)).await),
                _ => {}
            }
            until(&format!("{label} has its state"), || async { client.state(&label).await == state }).await;
            let operation = if number % 2 == 0 { "commit" } else { "abort" };
            let by = if number < 2 { ("txn_id", id.as_str()) } else { ("label", label.as_str()) };
            let answer = client.second(operation, by).await;
            let want = want.replace("[N]", &format!("[{id}]")).replace("[L]", &format!("[{label}]"));
            let want = want.replace("=L", &format!("={label}"));
            assert!(answer.field("msg").contains(&want), "{label}: {}", answer.text);
            let succeeds = state == "PRECOMMITTED";
            assert_eq!(answer.field("status") == "Success", succeeds, "{label}: {}", answer.text);
        }
    }
    slow.stop().await;
    fast.stop().await;
}

#[tokio::test]
async fn a_used_label_says_by_whom() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let id = precommitted(&client, "l").await;
    let message = format!("Label [l] has already been used, relate to txn [{id}]");
    let again = client.put("l", &[], "{\"id\":2}").await.unwrap();
    let shown = ["Status", "ExistingJobStatus", "TxnId"].map(|name| again.field(name));
    assert_eq!(shown, ["Label Already Exists", "PRECOMMITTED", "-1"]);
    assert!(again.field("Message").ends_with(&message), "{}", again.text);

    client.second("commit", ("label", "l")).await;
    let finished = client.put("l", &[], "{\"id\":2}").await.unwrap();
    assert_eq!(finished.field("ExistingJobStatus"), "FINISHED");

    let other = precommitted(&client, "m").await;
    client.second("abort", ("txn_id", &other)).await;
    let after_abort = precommitted(&client, "m").await;
    assert_ne!(after_abort, other);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_frontend_redirects_with_credentials() {
    let sandbox = Sandbox::builder(EngineKind::Doris).ddl(DDL).account("admin", "p@ss:w/rd").start().await.unwrap();
    let login = ("authorization", "Basic YWRtaW46cEBzczp3L3Jk");
    let path = "/api/d/t/_stream_load";
    let headers = [login, ("expect", "100-continue"), ("label", "l")];
    let first = call(sandbox.frontend, Method::PUT, path, &headers, "").await.unwrap();
    assert_eq!(first.status, 307);
    assert_eq!(first.location.unwrap(), format!("http://admin:p%40ss%3Aw%2Frd@{}{path}", sandbox.backend));

    let unexpected = call(sandbox.frontend, Method::PUT, path, &[login], "").await.unwrap();
    assert_eq!((unexpected.status, unexpected.field("status").as_str()), (200, "FAILED"));
    assert_eq!(unexpected.field("msg"), "There is no 100-continue header");
    let denied = call(sandbox.frontend, Method::PUT, path, &[ROOT], "").await.unwrap();
    assert_eq!((denied.status, denied.field("code").as_str()), (200, "401"));
    let at_backend = call(sandbox.backend, Method::PUT, path, &[("label", "l")], "").await.unwrap();
    assert!(at_backend.field("Message").contains("[NOT_AUTHORIZED]no valid Basic authorization"));

    let second = "/api/d/_stream_load_2pc";
    let nothing = call(sandbox.frontend, Method::PUT, second, &[login], "").await.unwrap();
    assert_eq!(nothing.field("msg"), "No transaction id or label selected.");
    let no_operation = call(sandbox.frontend, Method::PUT, second, &[login, ("txn_id", "1")], "").await.unwrap();
    assert!(no_operation.field("msg").starts_with("No transaction operation"), "{}", no_operation.text);
    sandbox.stop().await;
}

#[tokio::test]
async fn loads_that_are_refused_by_their_headers() {
    let sandbox = start_with(|s| s.json_max_bytes = 10).await;
    let client = Client(&sandbox);
    let cases: [(&str, Headers<'_>, &str); 7] = [
        ("a.b", &[], "Label format error"),
        ("l1", &[("timeout", "0")], "Invalid timeout: 0. Timeout should between 1 and 259200 seconds"),
        ("l2", &[("compress_type", "lz4")], "does not imitate the header compress_type"),
        (
            "l3",
            &[("two_phase_commit", "false"), ("group_commit", "sync_mode")],
            "label and group_commit can't be set at the same time",
        ),
        ("l4", &[("format", "arff")], "unknown data format, format=arff"),
        (
            "l5",
            &[("read_json_by_line", "false"), ("strip_outer_array", "true")],
            "exceed BE's conf `streaming_load_json_max_mb`",
        ),
        ("l6", &[("where", "x > 1")], "unknown column reference in where statement, reference=x"),
    ];
    for (label, headers, want) in cases {
        let answer = client.put(label, headers, "{\"id\":1,\"v\":\"abcdef\"}").await.unwrap();
        assert_eq!(answer.field("Status"), "Fail", "{label}");
        assert!(answer.field("Message").contains(want), "{label}: {}", answer.text);
        assert_ne!(client.state(label).await, "PRECOMMITTED", "{label}");
    }
    let missing =
        client.send(Method::PUT, "/api/d/x/_stream_load", &[("expect", "100-continue"), ("format", "json")], "{}");
    assert!(missing.await.unwrap().field("Message").contains("table not found"));
    let missing =
        client.send(Method::PUT, "/api/x/t/_stream_load", &[("expect", "100-continue"), ("format", "json")], "{}");
    assert!(missing.await.unwrap().field("Message").contains("unknown database, database=x"));
    sandbox.stop().await;
}

#[tokio::test]
async fn bad_rows() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let body = "{\"id\":1}\nnot json\n{\"id\":\"x\"}\n{\"id\":2,\"v\":\"far too long\"}\n{\"id\":3.7}\n";
    let strict = ("strict_mode", "true");
    let failed = client.put("l", &[strict], body).await.unwrap();
    assert_eq!(failed.field("Status"), "Fail");
    assert!(failed.field("Message").contains("[DATA_QUALITY_ERROR]too many filtered rows"));
    assert_eq!(failed.field("NumberFilteredRows"), "4");
    assert!(failed.field("FirstErrorMsg").contains("Parse json data failed"), "{}", failed.text);
    let url = failed.field("ErrorURL");
    let path = url.strip_prefix(&format!("http://{}", sandbox.backend)).expect(&url);
    let log = call(sandbox.backend, Method::GET, path, &[], "").await.unwrap().text;
    assert_eq!(log.lines().count(), 4, "{log}");
    assert!(log.contains("column(id) value is incorrect while strict mode is true, src value is x"), "{log}");
    assert!(log.contains("the length of input is too long than schema"), "{log}");
    assert_eq!(client.state("l").await, "ABORTED");

    // Not strict: what can't be read becomes NULL, a fraction is cut off.
    let loaded = client.put("m", &[("max_filter_ratio", "0.4")], body).await.unwrap();
    assert_eq!((loaded.field("Status").as_str(), loaded.field("NumberFilteredRows").as_str()), ("Success", "2"));
    client.second("commit", ("label", "m")).await;
    until("the rows are visible", || async { client.state("m").await == "VISIBLE" }).await;
    assert_eq!(rows(&sandbox, "SELECT id FROM t ORDER BY id").await, ["NULL", "1", "3"]);

    let empty = client.put("empty", &[("content-length", "0")], "").await.unwrap();
    assert_eq!(empty.field("Status"), "Success", "an empty load is legal");
    sandbox.stop().await;
}

#[tokio::test]
async fn keys_replace_and_the_sign_deletes() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let load = |label: &'static str, headers: &'static [(&'static str, &'static str)], body: &'static str| {
        let client = Client(&sandbox);
        async move {
            let answer = client.put(label, headers, body).await.unwrap();
            assert_eq!(answer.field("Status"), "Success", "{}", answer.text);
            client.second("commit", ("label", label)).await;
            until("the rows are visible", || async { client.state(label).await == "VISIBLE" }).await;
        }
    };
    load(
        "l1",
        &[],
        "{\"id\":null,\"v\":\"a\"}\n{\"id\":null,\"v\":\"b\"}\n{\"id\":1,\"v\":\"a\"}\n{\"id\":2,\"v\":\"a\"}",
    )
    .await;
    assert_eq!(rows(&sandbox, "SELECT id, v FROM t ORDER BY id").await, ["NULL|b", "1|a", "2|a"]);
    let body = "{\"id\":1,\"__DORIS_DELETE_SIGN__\":\"1\"}\n{\"id\":3,\"__DORIS_DELETE_SIGN__\":0}\n\
                {\"id\":null,\"__DORIS_DELETE_SIGN__\":1}";
    load("l2", &[("hidden_columns", "__DORIS_DELETE_SIGN__")], body).await;
    assert_eq!(rows(&sandbox, "SELECT id, v FROM t ORDER BY id").await, ["2|a", "3|dflt"]);
    load("l3", &[("merge_type", "DELETE")], "{\"id\":2}").await;
    assert_eq!(rows(&sandbox, "SELECT id, v FROM t ORDER BY id").await, ["3|dflt"]);
    assert_eq!(client.state("never").await, "UNKNOWN");
    sandbox.stop().await;
}

#[tokio::test]
async fn time_and_restarts() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let id = precommitted(&client, "l").await;
    sandbox.restart_frontend();
    sandbox.restart_backend();
    assert_eq!(client.state("l").await, "PRECOMMITTED");
    sandbox.advance(Duration::from_secs(3601)).await;
    let commit = client.second("commit", ("txn_id", &id)).await;
    let want = format!("transaction [{id}] is already aborted. abort reason: timeout by txn manager");
    assert!(commit.field("msg").contains(&want), "{}", commit.text);
    sandbox.advance(Duration::from_secs(43_201)).await;
    assert!(client.second("commit", ("txn_id", &id)).await.field("msg").contains("not found"));
    assert_eq!(client.state("l").await, "UNKNOWN");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_one_phase_load() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let loaded = client.put("l", &[("two_phase_commit", "false")], "{\"id\":1}").await.unwrap();
    assert_eq!((loaded.field("Status").as_str(), loaded.field("TwoPhaseCommit").as_str()), ("Success", "false"));
    assert_eq!(client.state("l").await, "VISIBLE");
    assert_eq!(one(&sandbox, "SELECT v FROM d.t").await, "dflt");
    sandbox.stop().await;
}

#[tokio::test]
async fn lost_answers() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    sandbox.inject([
        Fault::once(Call::Load, FaultKind::DropAfter),
        Fault::once(Call::Commit, FaultKind::DropAfter),
        Fault { node: Some(Node::Frontend), ..Fault::once(Call::Rollback, FaultKind::Status { code: 500 }) },
    ]);
    assert!(client.put("l", &[], "{\"id\":1}").await.is_err());
    assert_eq!(client.state("l").await, "PRECOMMITTED");
    let again = client.put("l", &[], "{\"id\":1}").await.unwrap();
    assert_eq!(again.field("ExistingJobStatus"), "PRECOMMITTED");
    let headers = [("txn_operation", "commit"), ("label", "l")];
    assert!(client.send(Method::PUT, "/api/d/_stream_load_2pc", &headers, "").await.is_err());
    until("it is visible", || async { client.state("l").await == "VISIBLE" }).await;
    let headers = [ROOT, ("txn_operation", "abort"), ("label", "l")];
    let abort = call(sandbox.frontend, Method::PUT, "/api/d/t/_stream_load_2pc", &headers, "").await.unwrap();
    assert_eq!(abort.status, 500);
    sandbox.stop().await;
}

#[tokio::test]
async fn looks_around() {
    let sandbox = start().await;
    let client = Client(&sandbox);
    let backends = client.send(Method::GET, "/api/backends?is_alive=true", &[], "").await.unwrap().json();
    let only = &backends["data"]["backends"][0];
    assert_eq!(
        (only["ip"].as_str(), only["http_port"].as_u64()),
        (Some("127.0.0.1"), Some(sandbox.backend.port().into()))
    );
    let schema = client.send(Method::GET, "/api/d/t/_schema", &[], "").await.unwrap().json();
    assert_eq!(schema["data"]["keysType"], "UNIQUE_KEYS");
    let types: Vec<&str> =
        schema["data"]["properties"].as_array().unwrap().iter().map(|c| c["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["BIGINT", "VARCHAR", "DECIMAL"]);
    let no_label = client.send(Method::GET, "/api/d/get_load_state", &[], "").await.unwrap();
    assert_eq!((no_label.field("code").as_str(), no_label.field("data").as_str()), ("403", "No label selected"));
    let no_database = client.send(Method::GET, "/api/x/get_load_state?label=l", &[], "").await.unwrap();
    assert_eq!(no_database.field("code"), "1");
    sandbox.stop().await;
}
