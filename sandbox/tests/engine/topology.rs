//! Several frontends and backends: who sends whom where, and what becomes of it when one of them dies.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use loadlock_sandbox::{EngineKind, Node, Sandbox};

use crate::support::{Answer, Client, ROOT, call, one, target};

const DDL: &str = "CREATE TABLE d.t (id BIGINT, v STRING)";

async fn sandbox(kind: EngineKind, frontends: usize, backends: usize) -> Sandbox {
    Sandbox::builder(kind).ddl(DDL).frontends(frontends).backends(backends).start().await.unwrap()
}

/// One hop of a transaction call on `d.t`.
async fn ask(node: SocketAddr, op: &str, label: &str) -> Answer {
    let headers = [ROOT, ("label", label), ("db", "d"), ("table", "t"), ("expect", "100-continue")];
    let method = if op == "load" { Method::PUT } else { Method::POST };
    call(node, method, &format!("/api/transaction/{op}"), &headers, "").await.unwrap()
}

/// Where StarRocks' frontend sends a transaction call.
async fn sent(sandbox: &Sandbox, op: &str, label: &str) -> SocketAddr {
    target(&ask(sandbox.frontend, op, label).await, &format!("/api/transaction/{op}"))
}

#[tokio::test]
async fn starrocks_labels_stay_with_their_backend() {
    let sandbox = sandbox(EngineKind::StarRocks, 1, 3).await;
    let client = Client(&sandbox);
    for (label, backend) in ["a", "b", "c", "e"].into_iter().zip(sandbox.backends.iter().cycle()) {
        assert_eq!(sent(&sandbox, "begin", label).await, *backend, "in turn");
        assert_eq!(sent(&sandbox, "begin", label).await, *backend, "a repeated begin goes to the same");
        assert_eq!(ask(*backend, "begin", label).await.field("Status"), "OK");
        assert_eq!(sent(&sandbox, "load", label).await, *backend);
        assert_eq!(sent(&sandbox, "commit", label).await, *backend, "a commit in PREPARE goes there, too");
    }
    let elsewhere = ask(sandbox.backends[1], "prepare", "a").await;
    assert_eq!(elsewhere.field("Status"), "TXN_NOT_EXISTS");
    assert_eq!(client.txn("load", "a", &[], "{\"id\":1}").await.field("Status"), "OK");
    assert_eq!(client.txn("prepare", "a", &[], "").await.field("NumberLoadedRows"), "1");
    assert_eq!(client.txn("commit", "a", &[], "").await.field("Status"), "OK");
    assert_eq!(one(&sandbox, "SELECT count(*) FROM t").await, "1");
    sandbox.stop().await;
}

#[tokio::test]
async fn starrocks_followers_send_transactions_to_the_leader() {
    let sandbox = sandbox(EngineKind::StarRocks, 3, 2).await;
    let client = Client(&sandbox);
    let (leader, follower) = (sandbox.frontends[0], sandbox.frontends[2]);
    for op in ["begin", "load", "prepare", "commit", "rollback", "no_such_op"] {
        assert_eq!(target(&ask(follower, op, "a").await, &format!("/api/transaction/{op}")), leader, "{op}");
    }
    let state = "/api/d/get_load_state?label=a";
    assert_eq!(target(&call(follower, Method::GET, state, &[ROOT], "").await.unwrap(), state), leader);
    let cancel = "/api/d/t/_cancel?label=a";
    assert_eq!(target(&call(follower, Method::POST, cancel, &[ROOT], "").await.unwrap(), cancel), leader);
    // The password is asked for first.
    assert_eq!(call(follower, Method::GET, state, &[], "").await.unwrap().status, 401);
    // Plain Stream Load goes to a backend from any frontend.
    let load = "/api/d/t/_stream_load";
    let headers = [ROOT, ("expect", "100-continue"), ("format", "json")];
    let answer = call(follower, Method::PUT, load, &headers, "").await.unwrap();
    assert!(sandbox.backends.contains(&target(&answer, load)));

    // Two hops to a backend.
    let headers = [ROOT, ("label", "a"), ("db", "d"), ("table", "t")];
    let begun = client.send_to(follower, Method::POST, "/api/transaction/begin", &headers, "").await.unwrap();
    assert_eq!(begun.field("Status"), "OK");
    assert_eq!(client.state("a").await, "PREPARE");
    sandbox.stop().await;
}

#[tokio::test]
async fn doris_takes_loads_and_second_phases_anywhere() {
    let sandbox = sandbox(EngineKind::Doris, 2, 3).await;
    let follower = sandbox.frontends[1];
    let load = "/api/d/t/_stream_load";
    let headers = [ROOT, ("expect", "100-continue"), ("two_phase_commit", "true"), ("format", "json")];
    let mut chosen = Vec::new();
    for label in ["a", "b", "c"] {
        let headers = [&headers[..], &[("label", label), ("read_json_by_line", "true")]].concat();
        let redirect = call(follower, Method::PUT, load, &headers, "").await.unwrap();
        let location = redirect.location.clone().unwrap();
        assert!(location.starts_with("http://root:@"), "credentials go along: {location}");
        let backend = target(&redirect, load);
        let loaded = call(backend, Method::PUT, load, &headers, "{\"id\":1}").await.unwrap();
        assert_eq!(loaded.field("Status"), "Success");
        chosen.push((backend, loaded.field("TxnId")));
    }
    assert_eq!(chosen.iter().map(|(backend, _)| *backend).collect::<Vec<_>>(), sandbox.backends);
    // Any backend carries a second phase out, not only the one that has the rows.
    for ((_, id), other) in chosen.iter().zip(sandbox.backends.iter().cycle().skip(1)) {
        let headers = [ROOT, ("txn_id", id), ("txn_operation", "commit")];
        let done = call(*other, Method::PUT, "/api/d/_stream_load_2pc", &headers, "").await.unwrap();
        assert_eq!(done.field("status"), "Success", "{}", done.text);
    }
    let state = "/api/d/get_load_state?label=a";
    let redirect = call(follower, Method::GET, state, &[ROOT], "").await.unwrap();
    assert_eq!(target(&redirect, state), sandbox.frontend);
    assert!(redirect.location.unwrap().starts_with("http://root:@"));
    let second = "/api/d/t/_stream_load_2pc";
    let headers = [ROOT, ("txn_id", "1"), ("txn_operation", "commit")];
    let redirect = call(follower, Method::PUT, second, &headers, "").await.unwrap();
    assert!(sandbox.backends.contains(&target(&redirect, second)), "no hop by the master");
    let listed = call(follower, Method::GET, "/api/backends?is_alive=true", &[ROOT], "").await.unwrap().json();
    let ports: Vec<_> = sandbox.backends.iter().map(|b| serde_json::json!(b.port())).collect();
    let told: Vec<_> = listed["data"]["backends"].as_array().unwrap().iter().map(|b| b["http_port"].clone()).collect();
    assert_eq!(told, ports);
    sandbox.stop().await;
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
    let refused = tokio::net::TcpStream::connect(sandbox.backends[0]).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);

    // Until it is missed, clients are sent to it, and nothing is aborted.
    assert_eq!(sent(&sandbox, "load", "elsewhere").await, sandbox.backends[0]);
    sandbox.advance(Duration::from_secs(15)).await;
    assert_eq!(client.state("elsewhere").await, "PREPARE");
    sandbox.advance(Duration::from_secs(5)).await;
    let reason = |label: &str| sandbox.transactions().into_iter().find(|t| t.label == label).unwrap().reason;
    assert_eq!(client.state("elsewhere").await, "ABORTED");
    assert_eq!(reason("elsewhere"), "coordinate BE is down");
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
