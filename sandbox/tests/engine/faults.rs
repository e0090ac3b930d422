//! The fault plan: what it does to transactions and to the cluster. Each fault is counted when it happened.

use std::time::{Duration, Instant};

use hyper::Method;
use loadlock_sandbox::{Call, EngineKind, Fault, FaultKind, Node, Sandbox, When};

use crate::support::{Client, ROOT, call, one, until};

const DDL: &str = "CREATE TABLE d.t (id BIGINT, v STRING)";
const ROW: &str = r#"[{"id":1,"v":"a"}]"#;

async fn start(kind: EngineKind) -> Sandbox {
    Sandbox::builder(kind).ddl(DDL).start().await.unwrap()
}

/// Begun and loaded, with StarRocks.
async fn loaded(client: &Client<'_>, label: &str) {
    client.txn("begin", label, &[], "").await;
    assert_eq!(client.txn("load", label, &[("strip_outer_array", "true")], ROW).await.field("Status"), "OK");
}

/// Prepared, with either engine.
async fn prepared(client: &Client<'_>, label: &str) {
    match client.0.kind {
        EngineKind::StarRocks => {
            loaded(client, label).await;
            assert_eq!(client.txn("prepare", label, &[], "").await.field("Status"), "OK");
        }
        EngineKind::Doris => {
            assert_eq!(client.put(label, &[], "{\"id\":1}").await.unwrap().field("Status"), "Success");
        }
    }
}

/// Status and message of a commit.
async fn commit(client: &Client<'_>, label: &str) -> (String, String) {
    match client.0.kind {
        EngineKind::StarRocks => {
            let answer = client.txn("commit", label, &[], "").await;
            (answer.field("Status"), answer.field("Message"))
        }
        EngineKind::Doris => {
            let answer = client.second("commit", ("label", label)).await;
            (answer.field("status"), answer.field("msg"))
        }
    }
}

/// What was let through, hit and had its effect, of each fault.
fn counts(sandbox: &Sandbox) -> Vec<(u32, u32, u32)> {
    sandbox.faults().iter().map(|count| (count.skipped, count.hit, count.happened)).collect()
}

#[tokio::test]
async fn ready_made_refusals() {
    let sandbox = start(EngineKind::StarRocks).await;
    let client = Client(&sandbox);
    let busy = Fault { times: 2, label: Some("busy".into()), ..Fault::once(Call::Prepare, FaultKind::InProcessing) };
    sandbox.inject([busy, Fault::once(Call::Begin, FaultKind::RunningTxnLimit)]);
    let refused = client.txn("begin", "busy", &[], "").await;
    assert_eq!(refused.field("Status"), "ANALYSIS_ERROR");
    assert!(refused.field("Message").contains("current running txns on db 10001 is 1000, larger than limit 1000"));
    loaded(&client, "busy").await;
    for _ in 0..2 {
        assert_eq!(client.txn("prepare", "busy", &[], "").await.field("Status"), "TXN_IN_PROCESSING");
    }
    assert_eq!(client.txn("prepare", "busy", &[], "").await.field("Status"), "OK", "the third time");
    assert_eq!(counts(&sandbox), [(0, 2, 2), (0, 1, 1)]);

    for (call, kind, status, text) in [
        (Call::Load, FaultKind::MemoryLimit, "MEM_LIMIT_EXCEEDED", "Memory of process exceed limit"),
        (Call::Prepare, FaultKind::TooManyVersions, "SERVICE_UNAVAILABLE", "because of too many versions"),
    ] {
        sandbox.inject([Fault::once(call, kind)]);
        let label = call.to_string();
        client.txn("begin", &label, &[], "").await;
        let mut answer = client.txn("load", &label, &[("strip_outer_array", "true")], ROW).await;
        if call == Call::Prepare {
            answer = client.txn("prepare", &label, &[], "").await;
        }
        assert_eq!(answer.field("Status"), status);
        assert!(answer.field("Message").contains(text), "{}", answer.text);
        assert_eq!(client.state(&label).await, "ABORTED", "a failed {call} is rolled back");
        assert_eq!(client.txn("prepare", &label, &[], "").await.field("Status"), "TXN_NOT_EXISTS");
    }
    sandbox.stop().await;

    let sandbox = start(EngineKind::Doris).await;
    let client = Client(&sandbox);
    for (kind, text) in [
        (FaultKind::MemoryLimit, "[MEM_LIMIT_EXCEEDED]"),
        (FaultKind::TooManyVersions, "[E-235]failed to init rowset builder"),
        (FaultKind::RunningTxnLimit, "larger than limit 10000"),
    ] {
        sandbox.inject([Fault::once(Call::Load, kind)]);
        let answer = client.put("l", &[], "{\"id\":1}").await.unwrap();
        assert_eq!(answer.field("Status"), "Fail");
        assert!(answer.field("Message").contains(text), "{}", answer.text);
        assert_eq!(client.state("l").await, "UNKNOWN");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn rows_that_are_visible_late() {
    let sandbox = start(EngineKind::StarRocks).await;
    let client = Client(&sandbox);
    prepared(&client, "late").await;
    prepared(&client, "timeout").await;
    sandbox.inject([
        Fault::once(Call::Commit, FaultKind::PublishLate { millis: 300 }),
        Fault { skip: 1, ..Fault::once(Call::Commit, FaultKind::PublishTimeout { millis: 300 }) },
    ]);
    let began = Instant::now();
    assert_eq!(commit(&client, "late").await.0, "OK", "it waits");
    assert!(began.elapsed() >= Duration::from_millis(300));
    let (status, message) = commit(&client, "timeout").await;
    assert!(status == "FAILED" && message.contains("publish timeout"), "{status} {message}");
    assert_eq!(client.state("timeout").await, "COMMITTED");
    until("it is visible by itself", || async { client.state("timeout").await == "VISIBLE" }).await;
    assert_eq!(counts(&sandbox), [(0, 1, 1), (1, 1, 1)]);
    sandbox.stop().await;

    let sandbox = start(EngineKind::Doris).await;
    let client = Client(&sandbox);
    prepared(&client, "late").await;
    sandbox.inject([
        Fault::once(Call::Commit, FaultKind::PublishLate { millis: 300 }),
        Fault::once(Call::Load, FaultKind::PublishTimeout { millis: 300 }),
    ]);
    assert_eq!(commit(&client, "late").await.0, "Success");
    assert_eq!(client.state("late").await, "COMMITTED");
    let one_phase = client.put("once", &[("two_phase_commit", "false")], "{\"id\":1}").await.unwrap();
    assert_eq!(one_phase.field("Status"), "Publish Timeout");
    until("both are visible", || async { one(&sandbox, "SELECT count(*) FROM t").await == "2" }).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn prepared_and_not_committable() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = start(kind).await;
        let client = Client(&sandbox);
        prepared(&client, "some-times").await;
        prepared(&client, "never").await;
        let own = FaultKind::NotCommittable { message: Some("get database write lock timeout".into()) };
        let never = Fault::always(Call::Commit, FaultKind::NotCommittable { message: None });
        sandbox.inject([
            Fault { times: 2, label: Some("some-*".into()), ..Fault::once(Call::Commit, own) },
            Fault { label: Some("never".into()), ..never },
        ]);
        for _ in 0..2 {
            assert!(commit(&client, "some-times").await.1.contains("write lock timeout"));
        }
        assert!(["OK", "Success"].contains(&commit(&client, "some-times").await.0.as_str()));
        for _ in 0..3 {
            let (status, message) = commit(&client, "never").await;
            assert!(["FAILED", "ANALYSIS_ERROR"].contains(&status.as_str()), "{status}");
            let text = match kind {
                EngineKind::StarRocks => "Failed to commit txn when callback",
                EngineKind::Doris => "check schema compatibility failed",
            };
            assert!(message.contains(text), "{message}");
            assert!(client.state("never").await.starts_with("PRE"), "it stays prepared");
        }
        assert_eq!(counts(&sandbox), [(0, 2, 2), (0, 3, 3)]);
        // What is not prepared is refused as ever, and the fault had no part in it.
        let again = commit(&client, "some-times").await.1;
        assert!(again.contains("committed") || again.contains("running transaction not found"), "{again}");
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn aborts_that_are_answered_and_not_done() {
    let sandbox = start(EngineKind::Doris).await;
    let client = Client(&sandbox);
    prepared(&client, "l").await;
    sandbox.inject([Fault::once(Call::Rollback, FaultKind::AbortLost)]);
    assert_eq!(client.second("abort", ("label", "l")).await.field("status"), "Success");
    assert_eq!(client.state("l").await, "PRECOMMITTED");
    assert_eq!(commit(&client, "l").await.0, "Success");

    // A roll-back that is lost: the failed load leaves PREPARE, and its label in use.
    sandbox.inject([
        Fault::once(Call::Load, FaultKind::RefuseInBody { after_bytes: 0, message: "no space".into() }),
        Fault::once(Call::Load, FaultKind::AbortLost),
        Fault { skip: 1, ..Fault::once(Call::Load, FaultKind::AbortLost) },
    ]);
    assert_eq!(client.put("m", &[], "{\"id\":1}").await.unwrap().field("Status"), "Fail");
    assert_eq!(client.state("m").await, "PREPARE");
    assert_eq!(client.put("m", &[], "{\"id\":1}").await.unwrap().field("ExistingJobStatus"), "RUNNING");
    assert_eq!(counts(&sandbox)[1..], [(0, 1, 1), (0, 1, 1), (1, 1, 0)], "the last one hit a load without an abort");
    sandbox.stop().await;

    let sandbox = start(EngineKind::StarRocks).await;
    let client = Client(&sandbox);
    client.txn("begin", "l", &[], "").await;
    sandbox.inject([
        Fault::once(Call::Load, FaultKind::RefuseInBody { after_bytes: 0, message: "no space".into() }),
        Fault::once(Call::Load, FaultKind::AbortLost),
        Fault::once(Call::Cancel, FaultKind::AbortLost),
    ]);
    assert_eq!(client.txn("load", "l", &[], "{}").await.field("Message"), "no space");
    assert_eq!(client.state("l").await, "PREPARE");
    let cancel = || client.send(Method::POST, "/api/d/t/_cancel?label=l", &[], "");
    assert_eq!(cancel().await.unwrap().field("status"), "OK");
    assert_eq!(client.state("l").await, "PREPARE", "this one was lost, too");
    assert_eq!(cancel().await.unwrap().field("status"), "OK");
    assert_eq!(client.state("l").await, "ABORTED");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_prepare_that_is_undone_behind_its_answer() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = start(kind).await;
        let client = Client(&sandbox);
        let call = match kind {
            EngineKind::StarRocks => Call::Prepare,
            EngineKind::Doris => Call::Load,
        };
        for (label, millis) in [("at-once", 0), ("later", 300)] {
            sandbox.inject([Fault::once(call, FaultKind::PrepareUndone { millis })]);
            let answer = match kind {
                EngineKind::StarRocks => {
                    loaded(&client, label).await;
                    client.txn("prepare", label, &[], "").await
                }
                EngineKind::Doris => client.put(label, &[], "{\"id\":1}").await.unwrap(),
            };
            assert!(answer.field("Message").contains("timed out"), "{}", answer.text);
            if millis > 0 {
                assert!(client.state(label).await.starts_with("PRE"), "prepared, for the time being");
            }
            until("it is rolled back", || async { client.state(label).await == "ABORTED" }).await;
        }
        assert_eq!(one(&sandbox, "SELECT count(*) FROM t").await, "0");
        assert_eq!(counts(&sandbox), [(0, 1, 1), (0, 1, 1)]);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn labels_are_forgotten_when_the_plan_says_so() {
    let sandbox = start(EngineKind::Doris).await;
    let client = Client(&sandbox);
    for label in ["a-1", "a-2", "b-1", "open"] {
        prepared(&client, label).await;
    }
    for label in ["a-1", "a-2"] {
        assert_eq!(commit(&client, label).await.0, "Success");
        until("it is visible", || async { client.state(label).await == "VISIBLE" }).await;
    }
    let forget = |labels: &str, when| FaultKind::ForgetLabels { labels: labels.to_owned(), when };
    // Before the question is answered: the answer knows nothing any more.
    sandbox.inject([Fault { label: Some("a-1".into()), ..Fault::once(Call::State, forget("a-1", When::Before)) }]);
    assert_eq!(client.state("a-2").await, "VISIBLE");
    assert_eq!(client.state("a-1").await, "UNKNOWN");
    // Behind a commit's effect: it was done, and nobody can tell.
    sandbox.inject([
        Fault::once(Call::Commit, FaultKind::PublishLate { millis: 0 }),
        Fault { skip: 1, ..Fault::once(Call::Commit, forget("*", When::After)) },
    ]);
    assert_eq!(commit(&client, "b-1").await.0, "Success");
    until("it is visible", || async { client.state("b-1").await == "VISIBLE" }).await;
    let again = commit(&client, "b-1").await.1;
    assert!(again.contains("running transaction not found"), "{again}");
    assert_eq!(client.state("b-1").await, "UNKNOWN");
    assert_eq!(client.state("a-2").await, "UNKNOWN");
    assert_eq!(client.state("open").await, "PRECOMMITTED", "only finished ones are forgotten");
    let forget = |path| call(sandbox.admin, Method::POST, path, &[], "");
    assert_eq!(forget("/sandbox/forget?labels=%2A").await.unwrap().json()["forgotten"], 0);
    assert_eq!(forget("/sandbox/forget").await.unwrap().status, 400);
    assert_eq!(client.second("abort", ("label", "open")).await.field("status"), "Success");
    assert_eq!(sandbox.forget_labels("op?n"), 1);
    assert_eq!(one(&sandbox, "SELECT count(*) FROM t").await, "3", "the rows stay");
    sandbox.stop().await;
}

#[tokio::test]
async fn restarts_and_the_clock_at_a_call() {
    let sandbox = start(EngineKind::StarRocks).await;
    let client = Client(&sandbox);
    let restart = |role, when| FaultKind::Restart { role, index: 0, when };

    // The prepare was done when the frontend went down, so it is still known; the one before it is not.
    loaded(&client, "unprepared").await;
    loaded(&client, "prepared").await;
    let after = Fault::once(Call::Prepare, restart(Node::Frontend, When::After));
    sandbox.inject([after, Fault::once(Call::Prepare, FaultKind::DropAfter)]);
    assert!(client.try_txn("prepare", "prepared", &[], "").await.is_err());
    assert_eq!(
        (client.state("prepared").await, client.state("unprepared").await),
        ("PREPARED".into(), "UNKNOWN".into())
    );

    // A backend that restarts before a load has forgotten its label.
    client.txn("begin", "lost", &[], "").await;
    sandbox.inject([Fault::once(Call::Load, restart(Node::Backend, When::Before))]);
    assert_eq!(client.txn("load", "lost", &[], "{}").await.field("Status"), "TXN_NOT_EXISTS");

    // In the middle of a body the connection goes with it.
    client.txn("begin", "in-body", &[], "").await;
    sandbox.inject([Fault::once(Call::Load, restart(Node::Backend, When::InBody))]);
    assert!(client.try_txn("load", "in-body", &[("strip_outer_array", "true")], ROW).await.is_err());
    assert_eq!(client.state("in-body").await, "PREPARE");

    // The clock jumps over what a prepared transaction lives.
    sandbox.inject([Fault::once(Call::Commit, FaultKind::AdvanceClock { seconds: 86_401, when: When::Before })]);
    let refused = client.txn("commit", "prepared", &[], "").await;
    assert!(refused.field("Message").contains("Can not commit ABORTED transaction"), "{}", refused.text);
    assert!(counts(&sandbox).iter().all(|count| *count == (0, 1, 1)), "{:?}", counts(&sandbox));
    sandbox.stop().await;
}

#[tokio::test]
async fn events_at_a_time() {
    let sandbox = start(EngineKind::StarRocks).await;
    let client = Client(&sandbox);
    client.txn("begin", "l", &[], "").await;
    let restart = FaultKind::Restart { role: Node::Frontend, index: 0, when: When::Before };
    sandbox.inject([Fault { times: 3, ..Fault::at(20, restart.clone()) }, Fault::at(3_600_000, restart)]);
    until("the frontend has restarted", || async { client.state("l").await == "UNKNOWN" }).await;
    until("three times", || async { counts(&sandbox)[0] == (0, 3, 3) }).await;
    assert_eq!(counts(&sandbox)[1], (0, 0, 0));
    sandbox.clear_faults();
    assert!(sandbox.faults().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn nodes_that_die_at_a_call() {
    let builder = Sandbox::builder(EngineKind::StarRocks).ddl(DDL).frontends(2).backends(2);
    let sandbox = builder.start().await.unwrap();
    let client = Client(&sandbox);
    let kill = |when| FaultKind::Kill { role: Node::Backend, index: 1, when };
    let revive = FaultKind::Revive { role: Node::Backend, index: 1, when: When::Before };

    // The load's own backend dies under it; the one that serves the first label is left alone.
    loaded(&client, "on-0").await;
    client.txn("begin", "on-1", &[], "").await;
    let at = |call, kind| Fault { node: Some(Node::Backend), node_index: Some(1), ..Fault::once(call, kind) };
    sandbox.inject([at(Call::Load, kill(When::InBody)), Fault::once(Call::State, revive)]);
    assert!(client.try_txn("load", "on-1", &[], ROW).await.is_err());
    assert!(tokio::net::TcpStream::connect(sandbox.backends[1]).await.is_err(), "nobody listens");
    assert_eq!(client.txn("prepare", "on-0", &[], "").await.field("Status"), "OK");
    assert_eq!(client.state("on-0").await, "PREPARED");
    assert_eq!(client.txn("prepare", "on-1", &[], "").await.field("Status"), "TXN_NOT_EXISTS", "back, and empty");

    // The leader dies behind a commit: it was done, nobody is told, and the next leader knows it.
    let follower = sandbox.frontends[1];
    let down = FaultKind::Kill { role: Node::Frontend, index: 0, when: When::After };
    sandbox.inject([Fault::once(Call::Commit, down)]);
    assert!(client.try_txn("commit", "on-0", &[], "").await.is_err());
    sandbox.inject([Fault::at(1, FaultKind::Lead { index: 1, when: When::Before })]);
    until("the other one leads", || async { sandbox.nodes()[1].is_leader }).await;
    let path = "/api/d/get_load_state?label=on-0";
    let answer = call(follower, Method::GET, path, &[ROOT], "").await.unwrap();
    assert_eq!(answer.field("state"), "VISIBLE");
    until("all happened", || async { counts(&sandbox) == [(0, 1, 1); 4] }).await;
    sandbox.stop().await;
}

/// Which of forty labels a plan with a seed hits, while other calls come in between, several at a time.
async fn hit_labels(seed: u64, others: u32) -> Vec<usize> {
    let sandbox = start(EngineKind::StarRocks).await;
    let plan = format!(
        r#"{{"seed": {seed}, "faults": [
            {{"call": "any", "label": "other", "kind": "status", "code": 500, "probability": 0.5, "times": "always"}},
            {{"call": "state", "label": "l*", "kind": "status", "code": 503, "probability": 0.3, "times": "always"}}]}}"#
    );
    sandbox.inject(Fault::read_plan(&plan).unwrap());
    let client = Client(&sandbox);
    let ask = async |label: &str| {
        let path = format!("/api/d/get_load_state?label={label}");
        client.send(Method::GET, &path, &[], "").await.unwrap().status
    };
    let asked = async {
        let mut hit = Vec::new();
        for number in 0..40 {
            if ask(&format!("l{number}")).await == 503 {
                hit.push(number);
            }
        }
        hit
    };
    let noise = async {
        for _ in 0..others {
            ask("other").await;
        }
    };
    let (hit, ()) = tokio::join!(asked, noise);
    assert_eq!(counts(&sandbox)[1].1 as usize, hit.len());
    sandbox.stop().await;
    hit
}

#[tokio::test]
async fn a_seed_repeats_its_choices_under_concurrency() {
    let hit = hit_labels(7, 0).await;
    assert!((2..30).contains(&hit.len()), "{hit:?}");
    assert_eq!(hit_labels(7, 60).await, hit);
    assert_ne!(hit_labels(8, 0).await, hit);
}
