//! SQL over HTTP and the settings that frontends tell, as a client sees them.

use std::time::Duration;

use hyper::Method;
use loadlock_sandbox::{EngineKind, Sandbox, Settings};
use serde_json::Value;

use crate::support::{Answer, Client, ROOT, call, until};

const DDL: &str = "CREATE TABLE d.t (id BIGINT, v VARCHAR(8)) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1;";

async fn start(kind: EngineKind, change: impl FnOnce(&mut Settings)) -> Sandbox {
    Sandbox::builder(kind).ddl(DDL).settings(change).start().await.unwrap()
}

/// The objects of a StarRocks answer.
async fn starrocks(sandbox: &Sandbox, sql: &str) -> (u16, Vec<Value>) {
    let body = serde_json::json!({ "query": sql }).to_string();
    let path = "/api/v1/catalogs/default_catalog/sql";
    let answer = call(sandbox.frontend, Method::POST, path, &[ROOT], body).await.unwrap();
    (answer.status, answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

async fn doris(sandbox: &Sandbox, sql: &str) -> Answer {
    let body = serde_json::json!({ "stmt": sql }).to_string();
    call(sandbox.frontend, Method::POST, "/api/query/internal/information_schema", &[ROOT], body).await.unwrap()
}

#[tokio::test]
async fn starrocks_answers_a_select_line_by_line_and_a_show_at_once() {
    let sandbox = start(EngineKind::StarRocks, |settings| settings.label_keep_max = 77).await;
    let (status, lines) = starrocks(&sandbox, "SELECT current_version();").await;
    assert_eq!((status, &lines[2]["data"][0]), (200, &Value::from("4.0.7-sandbox")));
    assert!(lines.last().unwrap()["statistics"].is_object());

    let (_, lines) = starrocks(&sandbox, "ADMIN SHOW FRONTEND CONFIG LIKE 'label_keep_max_num'").await;
    assert_eq!(lines.len(), 1);
    let row = &lines[0]["data"][0];
    assert_eq!((&row["Key"], &row["Value"]), (&Value::from("label_keep_max_num"), &Value::from("77")));
    let (_, lines) = starrocks(&sandbox, "ADMIN SHOW FRONTEND CONFIG LIKE 'label_keep%'").await;
    assert_eq!(lines[0]["data"].as_array().unwrap().len(), 2);

    for (sql, wanted) in [("DROP TABLE d.t", 400), ("SELECT * FROM d.nothing", 500)] {
        let (status, lines) = starrocks(&sandbox, sql).await;
        assert_eq!((status, &lines[0]["status"]), (wanted, &Value::from("FAILED")), "{sql}");
    }
    let path = "/api/v1/catalogs/default_catalog/sql";
    let answer = call(sandbox.frontend, Method::POST, path, &[], "{}").await.unwrap();
    assert_eq!(answer.status, 401);
    let answer = call(sandbox.frontend, Method::POST, path, &[ROOT], "SELECT 1").await.unwrap();
    assert_eq!((answer.status, answer.field("msg").as_str()), (400, "malformed json [ SELECT 1 ]"));
    sandbox.stop().await;
}

/// A label outlives its transaction in the history of loads, not in what the frontend has in memory.
#[tokio::test]
async fn starrocks_load_history() {
    let sandbox = start(EngineKind::StarRocks, |_| {}).await;
    let client = Client(&sandbox);
    for label in ["done", "ended", "open"] {
        client.txn("begin", label, &[], "").await;
        client.txn("load", label, &[], "{\"id\":7,\"v\":\"x\"}").await;
        client.txn("prepare", label, &[], "").await;
    }
    client.txn("commit", "done", &[], "").await;
    client.txn("rollback", "ended", &[], "").await;
    let states = async |place: &str| {
        let (_, lines) = starrocks(&sandbox, &format!("SELECT label, state FROM {place} ORDER BY label")).await;
        let rows = lines.iter().filter_map(|line| line["data"].as_array());
        rows.map(|row| format!("{}={}", row[0].as_str().unwrap(), row[1].as_str().unwrap()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(states("information_schema.loads").await, "done=FINISHED ended=CANCELLED open=PREPARED");
    assert_eq!(states("_statistics_.loads_history").await, "done=FINISHED ended=CANCELLED");
    sandbox.advance(Duration::from_secs(4 * 86_400)).await;
    assert_eq!(client.state("done").await, "UNKNOWN");
    // The prepared one has timed out just now, so it is remembered.
    assert_eq!(states("information_schema.loads").await, "open=CANCELLED");
    assert_eq!(states("_statistics_.loads_history").await, "done=FINISHED ended=CANCELLED open=CANCELLED");

    let (_, lines) = starrocks(&sandbox, "SELECT count(*) FROM `d`.`t` WHERE `id` >= 7 AND `id` < 8").await;
    assert_eq!(lines[2]["data"][0], Value::from(1));
    sandbox.stop().await;
}

#[tokio::test]
async fn doris_answers_in_its_envelope() {
    let sandbox = start(EngineKind::Doris, |settings| settings.label_keep_max = 77).await;
    let client = Client(&sandbox);
    let page = call(sandbox.frontend, Method::GET, "/rest/v1/config/fe", &[ROOT], "").await.unwrap().json();
    let rows = page["data"]["rows"].as_array().unwrap();
    let threshold = rows.iter().find(|row| row["Name"] == "label_num_threshold").unwrap();
    assert_eq!(threshold["Value"], Value::from("77"));

    let version = doris(&sandbox, "SELECT @@version_comment").await.json();
    assert_eq!(version["data"]["data"][0][0], Value::from("Doris version doris-3.0.8-sandbox"));

    let loaded = client.put("load-7-a", &[], "{\"id\":1}\n").await.unwrap();
    client.second("commit", ("txn_id", &loaded.field("TxnId"))).await;
    until("visible", || async { client.state("load-7-a").await == "VISIBLE" }).await;
    let shown = doris(&sandbox, "SHOW TRANSACTION FROM `d` WHERE label LIKE 'load-%-a'").await.json();
    assert_eq!(shown["data"]["data"][0][1], Value::from("load-7-a"));
    assert_eq!(shown["data"]["meta"][1]["name"], Value::from("Label"));
    let none = doris(&sandbox, "SHOW TRANSACTION FROM `d` WHERE label LIKE '%-b'").await.json();
    assert_eq!(none["data"]["data"], Value::Array(Vec::new()));
    assert_eq!(doris(&sandbox, "SELECT count(*) FROM d.t").await.json()["data"]["data"][0][0], Value::from(1));

    assert_eq!(doris(&sandbox, "DROP TABLE d.t").await.field("code"), "1");
    let strange = call(sandbox.frontend, Method::GET, "/rest/v1/config/fe", &[], "").await.unwrap();
    assert_eq!((strange.status, strange.field("code").as_str()), (200, "401"));
    sandbox.stop().await;
}
