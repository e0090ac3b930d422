//! Nodes that die: who notices when, what is lost, and what goes on.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use loadlock_sandbox::{EngineKind, Node, Sandbox};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Answer, Client, DEADLINE, ROOT, call, one, target, until};
use crate::topology::{DDL, ask, sandbox, sent};

fn reason(sandbox: &Sandbox, label: &str) -> String {
    sandbox.transactions().into_iter().find(|t| t.label == label).unwrap().reason
}

async fn assert_refused(node: SocketAddr) {
    assert_eq!(TcpStream::connect(node).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// A two-phase load at one backend of Doris.
async fn load(backend: SocketAddr, label: &str) -> Answer {
    let headers =
        [ROOT, ("label", label), ("two_phase_commit", "true"), ("format", "json"), ("read_json_by_line", "true")];
    call(backend, Method::PUT, "/api/d/t/_stream_load", &headers, "{\"id\":1}").await.unwrap()
}

async fn commit(backend: SocketAddr, id: &str) -> Answer {
    let headers = [ROOT, ("txn_id", id), ("txn_operation", "commit")];
    call(backend, Method::PUT, "/api/d/t/_stream_load_2pc", &headers, "").await.unwrap()
}

/// A connection with a load under way, its body begun.
async fn loading(backend: SocketAddr, path: &str, label: &str) -> TcpStream {
    let mut stream = TcpStream::connect(backend).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cm9vdDo=\r\nlabel: {label}\r\ndb: d\r\ntable: t\r\n\
         format: json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut said = [0; 25];
    tokio::time::timeout(DEADLINE, stream.read_exact(&mut said)).await.expect("no 100 in time").unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{\"id\":1}").await.unwrap();
    stream
}

async fn assert_breaks(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it goes on");
    assert!(ended.is_err() || rest.is_empty(), "no answer: {}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn a_dead_backend_is_missed_after_some_heartbeats() {
    let sandbox = sandbox(EngineKind::StarRocks, 1, 2).await;
    let client = Client(&sandbox);
    for label in ["prepared", "open", "elsewhere"] {
        client.txn("begin", label, &[], "").await;
        client.txn("load", label, &[], "{\"id\":1}").await;
    }
    // In turn: the first and the third are of backend 0.
    client.txn("prepare", "prepared", &[], "").await;
    sandbox.kill(Node::Backend, 0).await.unwrap();
    assert_refused(sandbox.backends[0]).await;

    // Until it is missed, clients are sent to it, and nothing is aborted.
    assert_eq!(sent(&sandbox, "load", "elsewhere").await, sandbox.backends[0]);
    sandbox.advance(Duration::from_secs(15)).await;
    assert_eq!(client.state("elsewhere").await, "PREPARE");
    sandbox.advance(Duration::from_secs(5)).await;
    assert_eq!(client.state("elsewhere").await, "ABORTED");
    assert_eq!(reason(&sandbox, "elsewhere"), "coordinate BE is down");
    assert_eq!(client.state("open").await, "PREPARE", "of the other backend");
    assert_eq!(client.state("prepared").await, "PREPARED");
    assert_eq!(client.txn("commit", "prepared", &[], "").await.field("Status"), "OK");
    for label in ["x", "y", "z"] {
        assert_eq!(sent(&sandbox, "begin", label).await, sandbox.backends[1], "nobody is sent to it any more");
    }
    sandbox.kill(Node::Backend, 1).await.unwrap();
    sandbox.advance(Duration::from_secs(20)).await;
    let nobody = ask(sandbox.frontend, "begin", "w").await;
    assert_eq!(nobody.field("Message"), "class com.starrocks.common.DdlException: No backend alive.");

    sandbox.revive(Node::Backend, 0).await.unwrap();
    sandbox.advance(Duration::from_secs(5)).await;
    assert_eq!(client.txn("begin", "w", &[], "").await.field("Status"), "OK");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_backend_that_is_back_in_time_has_lost_its_labels() {
    let sandbox = sandbox(EngineKind::StarRocks, 1, 1).await;
    let client = Client(&sandbox);
    client.txn("begin", "a", &[], "").await;
    let under_way = loading(sandbox.backend, "/api/transaction/load", "a").await;
    sandbox.kill(Node::Backend, 0).await.unwrap();
    assert_breaks(under_way).await;
    sandbox.revive(Node::Backend, 0).await.unwrap();
    sandbox.advance(Duration::from_secs(30)).await;
    // Nobody has missed it, so the label stays taken until its time is up.
    assert_eq!(client.state("a").await, "PREPARE");
    assert_eq!(client.txn("prepare", "a", &[], "").await.field("Status"), "TXN_NOT_EXISTS");
    assert_eq!(client.txn("begin", "a", &[], "").await.field("ExistingJobStatus"), "RUNNING");
    sandbox.advance(Duration::from_secs(600)).await;
    assert_eq!(client.state("a").await, "ABORTED");
    assert_eq!(reason(&sandbox, "a"), "timeout by txn manager");
    sandbox.stop().await;
}

#[tokio::test]
async fn doris_aborts_what_a_lost_backend_had_begun() {
    let sandbox = sandbox(EngineKind::Doris, 1, 2).await;
    let client = Client(&sandbox);
    let (a, b) = (sandbox.backends[0], sandbox.backends[1]);
    let id = load(a, "prepared").await.field("TxnId");
    let open = loading(a, "/api/d/t/_stream_load", "open").await;
    let other = loading(b, "/api/d/t/_stream_load", "other").await;
    sandbox.kill(Node::Backend, 0).await.unwrap();
    assert_breaks(open).await;
    assert_refused(a).await;
    // One failed heartbeat is enough not to be chosen any more, but not to give the transactions up.
    sandbox.advance(Duration::from_secs(10)).await;
    let path = "/api/d/t/_stream_load_2pc";
    for _ in 0..3 {
        let headers = [ROOT, ("txn_id", &*id), ("txn_operation", "commit")];
        assert_eq!(target(&call(sandbox.frontend, Method::PUT, path, &headers, "").await.unwrap(), path), b);
    }
    let listed = call(sandbox.frontend, Method::GET, "/api/backends", &[ROOT], "").await.unwrap().json();
    let alive: Vec<_> = listed["data"]["backends"].as_array().unwrap().iter().map(|b| b["is_alive"].clone()).collect();
    assert_eq!(alive, [false, true]);
    let listed = call(sandbox.frontend, Method::GET, "/api/backends?is_alive=true", &[ROOT], "").await.unwrap().json();
    assert_eq!(listed["data"]["backends"].as_array().unwrap().len(), 1);
    assert_eq!(client.state("open").await, "PREPARE");
    sandbox.advance(Duration::from_secs(300)).await;
    assert_eq!(
        (client.state("open").await, reason(&sandbox, "open").as_str()),
        ("ABORTED".into(), "coordinate BE is down")
    );
    assert_eq!(
        (client.state("other").await, client.state("prepared").await),
        ("PREPARE".into(), "PRECOMMITTED".into())
    );
    assert_eq!(commit(b, &id).await.field("status"), "Success");

    // A backend that comes back at once is another process: what its predecessor had begun is given up, too.
    sandbox.kill(Node::Backend, 1).await.unwrap();
    assert_breaks(other).await;
    sandbox.revive(Node::Backend, 1).await.unwrap();
    assert_eq!(client.state("other").await, "PREPARE");
    sandbox.advance(Duration::from_secs(10)).await;
    assert_eq!(
        (client.state("other").await, reason(&sandbox, "other").as_str()),
        ("ABORTED".into(), "coordinate BE restart")
    );
    assert_eq!(load(b, "fresh").await.field("Status"), "Success");
    sandbox.advance(Duration::from_secs(10)).await;
    assert_eq!(client.state("fresh").await, "PRECOMMITTED");

    sandbox.kill(Node::Backend, 1).await.unwrap();
    sandbox.advance(Duration::from_secs(10)).await;
    let headers = [ROOT, ("label", "x"), ("expect", "100-continue")];
    let nobody = call(sandbox.frontend, Method::PUT, "/api/d/t/_stream_load", &headers, "").await.unwrap();
    assert!(nobody.field("msg").starts_with("No backend available for load, please check"), "{}", nobody.text);
    assert_eq!(nobody.field("status"), "FAILED");
    sandbox.stop().await;
}

#[tokio::test]
async fn doris_2_0_keeps_what_a_restarted_backend_had_begun() {
    let builder = Sandbox::builder(EngineKind::Doris).version("2.0").unwrap().ddl(DDL);
    let sandbox = builder.start().await.unwrap();
    let open = loading(sandbox.backend, "/api/d/t/_stream_load", "open").await;
    sandbox.kill(Node::Backend, 0).await.unwrap();
    sandbox.revive(Node::Backend, 0).await.unwrap();
    assert_breaks(open).await;
    sandbox.advance(Duration::from_secs(30)).await;
    assert_eq!(Client(&sandbox).state("open").await, "PREPARE");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_follower_takes_over_from_a_starrocks_leader() {
    let sandbox = sandbox(EngineKind::StarRocks, 3, 2).await;
    let client = Client(&sandbox);
    for label in ["prepared", "open"] {
        client.txn("begin", label, &[], "").await;
        client.txn("load", label, &[], "{\"id\":1}").await;
    }
    client.txn("prepare", "prepared", &[], "").await;
    sandbox.kill(Node::Frontend, 0).await.unwrap();
    assert_refused(sandbox.frontend).await;
    assert_refused(sandbox.query).await;

    // Without a leader: followers know the old one, and backends can't reach it.
    let (second, third) = (sandbox.frontends[1], sandbox.frontends[2]);
    assert_eq!(target(&ask(second, "commit", "prepared").await, "/api/transaction/commit"), sandbox.frontend);
    let begun = ask(sandbox.backends[0], "begin", "early").await;
    assert_eq!(begun.field("Status"), "THRIFT_RPC_ERROR");
    assert!(begun.field("Message").contains("Connection refused"), "{}", begun.text);
    assert_eq!(ask(sandbox.backends[1], "prepare", "open").await.field("Status"), "THRIFT_RPC_ERROR");

    sandbox.advance(Duration::from_secs(2)).await;
    let leads: Vec<bool> = sandbox.nodes().iter().map(|node| node.is_leader).collect();
    assert_eq!(leads, [false, true, false, false, false]);
    let at = |node: SocketAddr, op: &'static str, label: &'static str| {
        let headers = [ROOT, ("label", label), ("db", "d"), ("table", "t")];
        let client = Client(&sandbox);
        async move {
            let path = format!("/api/transaction/{op}");
            client.send_to(node, Method::POST, &path, &headers, "").await.unwrap()
        }
    };
    assert!(at(third, "prepare", "open").await.field("Message").contains("FE leader is started or switched"));
    assert!(at(second, "rollback", "open").await.field("Message").contains("No transaction found"));
    assert_eq!(at(third, "commit", "prepared").await.field("Status"), "OK");
    assert_eq!(one(&sandbox, "SELECT count(*) FROM t").await, "1");
    assert_eq!(at(third, "begin", "open").await.field("Status"), "OK", "the label is free");

    // The old leader comes back and follows.
    sandbox.revive(Node::Frontend, 0).await.unwrap();
    assert_eq!(sent(&sandbox, "begin", "x").await, second);
    sandbox.lead(0).await.unwrap();
    assert_eq!(sent_by(second, "begin", "x").await, sandbox.frontend);
    assert!(sandbox.lead(7).await.is_err());
    sandbox.stop().await;
}

async fn sent_by(frontend: SocketAddr, op: &str, label: &str) -> SocketAddr {
    target(&ask(frontend, op, label).await, &format!("/api/transaction/{op}"))
}

#[tokio::test]
async fn a_follower_takes_over_from_a_doris_master() {
    let sandbox = sandbox(EngineKind::Doris, 3, 1).await;
    let client = Client(&sandbox);
    let id = load(sandbox.backend, "prepared").await.field("TxnId");
    let open = loading(sandbox.backend, "/api/d/t/_stream_load", "open").await;
    sandbox.kill(Node::Frontend, 0).await.unwrap();
    assert_eq!(commit(sandbox.backend, &id).await.field("status"), "THRIFT_RPC_ERROR");
    let refused = load(sandbox.backend, "early").await;
    assert_eq!((refused.field("Status"), refused.field("TxnId")), ("Fail".into(), "-1".into()));
    assert!(refused.field("Message").starts_with("[THRIFT_RPC_ERROR]"), "{}", refused.text);

    sandbox.advance(Duration::from_secs(2)).await;
    let state = async |label: &str| {
        let path = format!("/api/d/get_load_state?label={label}");
        let found = client.send_to(sandbox.frontends[2], Method::GET, &path, &[ROOT], "").await.unwrap();
        found.field("data")
    };
    assert_eq!((state("open").await, state("prepared").await), ("UNKNOWN".into(), "PRECOMMITTED".into()));
    assert_eq!(commit(sandbox.backend, &id).await.field("status"), "Success");
    until("it is visible", || async { state("prepared").await == "VISIBLE" }).await;
    drop(open);
    sandbox.stop().await;
}

#[tokio::test]
async fn one_of_two_frontends_is_no_majority() {
    let sandbox = sandbox(EngineKind::StarRocks, 2, 1).await;
    sandbox.kill(Node::Frontend, 0).await.unwrap();
    sandbox.advance(Duration::from_secs(60)).await;
    assert!(sandbox.nodes().iter().all(|node| !node.is_leader));
    assert_eq!(sent_by(sandbox.frontends[1], "begin", "a").await, sandbox.frontend);
    sandbox.revive(Node::Frontend, 0).await.unwrap();
    assert_eq!(Client(&sandbox).txn("begin", "a", &[], "").await.field("Status"), "OK");

    // A follower's death does nothing to transactions.
    sandbox.kill(Node::Frontend, 1).await.unwrap();
    assert_eq!(Client(&sandbox).state("a").await, "PREPARE");
    // The only follower can't be the leader while it is dead.
    assert!(sandbox.lead(1).await.is_err());
    sandbox.stop().await;
}

#[tokio::test]
async fn a_killed_frontend_breaks_its_connections() {
    let sandbox = sandbox(EngineKind::Doris, 1, 1).await;
    let idle = TcpStream::connect(sandbox.frontend).await.unwrap();
    let mut mysql = TcpStream::connect(sandbox.query).await.unwrap();
    let greeting = tokio::time::timeout(DEADLINE, mysql.read(&mut [0; 512])).await.expect("no greeting").unwrap();
    assert!(greeting > 4);
    sandbox.kill(Node::Frontend, 0).await.unwrap();
    assert_breaks(idle).await;
    assert_breaks(mysql).await;
    sandbox.revive(Node::Frontend, 0).await.unwrap();
    assert_eq!(Client(&sandbox).state("a").await, "UNKNOWN");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_commit_that_was_taken_is_published_although_the_frontend_dies() {
    let builder = Sandbox::builder(EngineKind::StarRocks).ddl(DDL);
    let sandbox = builder.settings(|s| s.publish_delay = Duration::from_millis(300)).start().await.unwrap();
    let client = Client(&sandbox);
    client.txn("begin", "a", &[], "").await;
    client.txn("load", "a", &[], "{\"id\":1}").await;
    client.txn("prepare", "a", &[], "").await;
    let headers = [ROOT, ("label", "a"), ("db", "d")];
    let commit = call(sandbox.frontend, Method::POST, "/api/transaction/commit", &headers, "");
    let state = || sandbox.transactions()[0].state.clone();
    let kill = async {
        until("it is committed", || async { state() == "COMMITTED" }).await;
        sandbox.kill(Node::Frontend, 0).await.unwrap();
    };
    let (answer, ()) = tokio::join!(commit, kill);
    assert!(answer.is_err(), "it dies before it answers");
    until("it is visible", || async { state() == "VISIBLE" }).await;
    assert_eq!(one(&sandbox, "SELECT count(*) FROM t").await, "1");
    sandbox.stop().await;
}

#[tokio::test]
async fn nodes_by_the_admin_port_and_by_sql() {
    let sandbox = sandbox(EngineKind::StarRocks, 3, 2).await;
    let admin = async |method: Method, path: &str| call(sandbox.admin, method, path, &[], "").await.unwrap();
    let up = async || -> Vec<Value> {
        let nodes = admin(Method::GET, "/sandbox/nodes").await.json();
        nodes.as_array().unwrap().iter().map(|node| node["is_up"].clone()).collect()
    };
    assert_eq!(admin(Method::POST, "/sandbox/kill?node=backend&index=1").await.status, 200);
    assert_eq!(admin(Method::POST, "/sandbox/kill?node=frontend&index=2").await.status, 200);
    assert_eq!(up().await, [true, true, false, true, false]);
    for wrong in
        ["kill", "kill?node=backend&index=2", "start?node=frontend&index=x", "lead?index=2", "lead?node=backend"]
    {
        assert_eq!(admin(Method::POST, &format!("/sandbox/{wrong}")).await.status, 400, "{wrong}");
    }
    sandbox.advance(Duration::from_secs(20)).await;
    let shown = async |what: &str| -> Vec<Value> {
        let statement = json!({"query": format!("SHOW {what}")}).to_string();
        let path = "/api/v1/catalogs/default_catalog/sql";
        let answer = call(sandbox.frontends[1], Method::POST, path, &[ROOT], statement).await.unwrap();
        answer.json()["data"].as_array().unwrap().clone()
    };
    let of = |rows: &[Value], column: &str| -> Vec<String> {
        rows.iter().map(|row| row[column].as_str().unwrap().to_owned()).collect()
    };
    let frontends = shown("FRONTENDS").await;
    assert_eq!(of(&frontends, "Role"), ["LEADER", "FOLLOWER", "FOLLOWER"]);
    assert_eq!(of(&frontends, "Alive"), ["true", "true", "false"]);
    let ports = |addresses: &[SocketAddr]| -> Vec<String> { addresses.iter().map(|a| a.port().to_string()).collect() };
    assert_eq!(of(&frontends, "HttpPort"), ports(&sandbox.frontends));
    assert_eq!(of(&frontends, "QueryPort"), ports(&sandbox.queries));
    let backends = shown("BACKENDS").await;
    assert_eq!(of(&backends, "BackendId"), ["10001", "10002"]);
    assert_eq!(of(&backends, "Alive"), ["true", "false"]);
    assert_eq!(of(&backends, "StatusCode"), ["OK", "DISCONNECTED"]);
    assert_eq!(of(&backends, "HttpPort"), ports(&sandbox.backends));

    assert_eq!(admin(Method::POST, "/sandbox/start?node=backend&index=1").await.status, 200);
    assert_eq!(admin(Method::POST, "/sandbox/start?node=frontend&index=2").await.status, 200);
    assert_eq!(admin(Method::POST, "/sandbox/lead?index=2").await.status, 200);
    assert_eq!(up().await, [true; 5]);
    assert_eq!(of(&shown("FRONTENDS").await, "Role"), ["FOLLOWER", "FOLLOWER", "LEADER"]);
    sandbox.stop().await;
}
