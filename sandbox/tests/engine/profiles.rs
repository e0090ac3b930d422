//! What the versions of an engine do differently, each version asked.

use loadlock_sandbox::{EngineKind, Profile, Sandbox, StartError};

use crate::support::Client;

const DDL: &str = "CREATE DATABASE d;
    CREATE TABLE d.t (id BIGINT NOT NULL, v VARCHAR(8)) PRIMARY KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1;";

async fn start(kind: EngineKind, version: &str) -> Sandbox {
    let ddl = match kind {
        EngineKind::StarRocks => DDL.to_owned(),
        EngineKind::Doris => DDL.replace("PRIMARY", "UNIQUE"),
    };
    Sandbox::builder(kind).version(version).unwrap().ddl(&ddl).start().await.unwrap()
}

/// Begins, loads one row and prepares.
async fn prepared(client: &Client<'_>, label: &str) {
    client.txn("begin", label, &[], "").await;
    client.txn("load", label, &[], r#"{"id":1}"#).await;
    assert_eq!(client.txn("prepare", label, &[], "").await.field("Status"), "OK");
}

#[tokio::test]
async fn a_version_tells_its_name_and_unknown_ones_are_refused() {
    for (kind, asked, version) in [
        (EngineKind::StarRocks, "3.3", "3.3.22"),
        (EngineKind::StarRocks, "starrocks-3.5.1", "3.5.1"),
        (EngineKind::Doris, "doris-2.1", "2.1.11"),
    ] {
        let sandbox = start(kind, asked).await;
        assert_eq!(sandbox.profile.version().to_string(), version);
        sandbox.stop().await;
    }
    for name in Profile::known(EngineKind::Doris) {
        assert_eq!(Profile::read(EngineKind::Doris, &name).unwrap().kind(), EngineKind::Doris);
    }
    let refused = Sandbox::builder(EngineKind::StarRocks).version("2.0").unwrap_err();
    assert!(matches!(refused, StartError::Version(_)), "{refused}");
    let late = Sandbox::builder(EngineKind::StarRocks).settings(|s| s.max_running = 1).version("3.3").unwrap_err();
    assert!(matches!(late, StartError::VersionAfterSettings), "{late}");
}

#[tokio::test]
async fn starrocks_duplicate_label() {
    for (version, status) in [
        ("3.3.5", "LABEL_ALREADY_EXISTS"),
        ("3.3.6", "ANALYSIS_ERROR"),
        ("3.3.13", "ANALYSIS_ERROR"),
        ("3.3.14", "LABEL_ALREADY_EXISTS"),
        ("3.4.3", "ANALYSIS_ERROR"),
        ("3.4.4", "LABEL_ALREADY_EXISTS"),
    ] {
        let sandbox = start(EngineKind::StarRocks, version).await;
        let client = Client(&sandbox);
        prepared(&client, "l").await;
        let again = client.txn("begin", "l", &[], "").await;
        assert_eq!(again.field("Status"), status, "{version}");
        assert!(again.field("Message").contains("has already been used"), "{version}");
        assert_eq!(again.field("ExistingJobStatus") == "-", status == "ANALYSIS_ERROR", "{version}");
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn starrocks_commit_after_a_frontend_restart() {
    for (version, commits) in
        [("3.2", true), ("3.3.7", true), ("3.3.8", false), ("3.3.16", true), ("3.4.5", false), ("3.5.2", true)]
    {
        let sandbox = start(EngineKind::StarRocks, version).await;
        let client = Client(&sandbox);
        prepared(&client, "before").await;
        sandbox.restart_frontend();
        prepared(&client, "after").await;
        for _ in 0..2 {
            let commit = client.txn("commit", "before", &[], "").await;
            assert_eq!(commit.field("Status") == "OK", commits, "{version}: {}", commit.text);
            assert_eq!(commit.field("Message").contains("could not be found"), !commits, "{version}");
        }
        assert_eq!(client.state("before").await, if commits { "VISIBLE" } else { "PREPARED" });
        assert_eq!(client.txn("commit", "after", &[], "").await.field("Status"), "OK", "{version}");
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn starrocks_reason_of_an_abort() {
    for (version, tells) in [("3.4", false), ("3.5", true)] {
        let sandbox = start(EngineKind::StarRocks, version).await;
        let client = Client(&sandbox);
        let answer = client.send(hyper::Method::GET, "/api/d/get_load_state?label=l", &[], "").await.unwrap();
        assert_eq!(answer.json().get("reason").is_some(), tells, "{version}");
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn doris_commit_by_label() {
    for (version, by_label) in [("2.0", false), ("2.1", true)] {
        let sandbox = start(EngineKind::Doris, version).await;
        let client = Client(&sandbox);
        client.put("l", &[], r#"{"id":1}"#).await.unwrap();
        let committed = client.second("commit", ("label", "l")).await;
        assert_eq!(committed.field("status") == "Success", by_label, "{version}: {}", committed.text);
        sandbox.stop().await;
    }
}
