//! Several frontends and backends: who sends whom where.

use std::net::SocketAddr;

use hyper::Method;
use loadlock_sandbox::{EngineKind, Sandbox};

use crate::support::{Answer, Client, ROOT, call, one, target};

pub(crate) const DDL: &str = "CREATE TABLE d.t (id BIGINT, v STRING)";

pub(crate) async fn sandbox(kind: EngineKind, frontends: usize, backends: usize) -> Sandbox {
    Sandbox::builder(kind).ddl(DDL).frontends(frontends).backends(backends).start().await.unwrap()
}

/// One hop of a transaction call on `d.t`.
pub(crate) async fn ask(node: SocketAddr, op: &str, label: &str) -> Answer {
    let headers = [ROOT, ("label", label), ("db", "d"), ("table", "t"), ("expect", "100-continue")];
    let method = if op == "load" { Method::PUT } else { Method::POST };
    call(node, method, &format!("/api/transaction/{op}"), &headers, "").await.unwrap()
}

/// Where StarRocks' frontend sends a transaction call.
pub(crate) async fn sent(sandbox: &Sandbox, op: &str, label: &str) -> SocketAddr {
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
