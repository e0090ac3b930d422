//! The loader against servers that redirect, refuse, reset, stall and forget on purpose.

#[path = "load_http/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use loadlock::config::{Engine, EngineKind, Secret, Timeouts};
use loadlock::decode::Framing;
use loadlock::domain::{Label, Table, TxnId};
use loadlock::load::{Answer, Class, Failure, Load, Loader, Prepared, Rows, StarRocks, Target, TxnName, TxnState};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use server::{Conn, Head, Server, until};

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
    Target { table: table(), label: Label("L1".into()), columns: vec!["id".into()], headers: BTreeMap::new() }
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
    load.prepare().await.expect_err("the load has to fail")
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

#[tokio::test]
async fn starrocks_rows_become_a_prepared_transaction() {
    let (backend, bodies) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let loader = starrocks(&frontend);
    assert_eq!(loader.framing(), Framing::Array);
    let mut load = loader.open(target());
    load.push(rows(r#",{"id":1},{"id":2}"#, 2)).expect("taken");
    load.push(rows(r#",{"id":3}"#, 1)).expect("taken");
    let prepared = load.prepare().await.expect("prepared");
    let Prepared { id, rows, bytes, counts } = prepared;
    assert_eq!((id, rows, bytes), (Some(TxnId(239)), 3, 27));
    assert_eq!(counts.map(|counts| (counts.total, counts.loaded, counts.load_ms)), Some((3, 3, Some(36))));
    assert_eq!(*bodies.lock().expect("no panic"), [r#"[{"id":1},{"id":2},{"id":3}]"#]);
    assert_eq!(backend.steps(), ["begin", "load", "prepare"]);
    assert_eq!(loader.commit(&txn(id.map(|id| id.0))).await, Answer::Done);
    assert_eq!(loader.state(&txn(None)).await, Ok(TxnState::Prepared));
    assert!(loader.idle(Duration::from_secs(5)).await, "nothing is left to do");
    assert!(!backend.steps().contains(&"rollback".to_owned()));
}

#[tokio::test]
async fn each_hop_gets_the_right_body_and_the_same_headers() {
    let (backend, _) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let mut load = starrocks(&frontend).open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await.expect("prepared");
    let (first, second) = (frontend.seen(), backend.seen());
    assert_eq!(first.len(), second.len());
    for (first, second) in first.iter().zip(&second) {
        assert_eq!((&first.method, &first.path), (&second.method, &second.path));
        for (server, head) in [(&frontend, first), (&backend, second)] {
            assert_eq!(head.header("authorization"), Some(AUTHORIZATION));
            assert_eq!(head.header("host"), Some(server.address.to_string().as_str()));
        }
        let load = first.step() == "load";
        assert_eq!(first.method, if load { "PUT" } else { "POST" });
        assert_eq!(first.header("content-length"), Some("0"), "a frontend is sent no body");
        assert_eq!(first.header("expect"), load.then_some("100-continue"));
        assert_eq!(second.header("transfer-encoding"), load.then_some("chunked"));
        let own = ["host", "content-length", "transfer-encoding"];
        let rest = |head: &Head| head.headers.clone().into_iter().filter(|(n, _)| !own.contains(&n.as_str())).collect();
        let (first, second): (BTreeMap<_, _>, BTreeMap<_, _>) = (rest(first), rest(second));
        assert_eq!(first, second);
    }
}

#[tokio::test]
async fn a_large_load_is_sent_as_several_bodies_with_one_set_of_headers() {
    let (backend, bodies) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let small = StarRocks::new(timeouts()).body_limit(25);
    let config = engine(EngineKind::StarRocks, &[frontend.address]);
    let mut load = Loader::with_engine(&config, Box::new(small)).expect("a loader").open(target());
    for piece in [r#",{"id":1},{"id":2}"#, r#",{"a":3}"#, r#",{"id":4},{"id":5},{"id":6},{"id":7}"#, r#",{"id":8}"#] {
        load.push(rows(piece, piece.matches('{').count() as u64)).expect("taken");
    }
    let prepared = load.prepare().await.expect("prepared");
    assert_eq!(prepared.rows, 8);
    let expected =
        [r#"[{"id":1},{"id":2}]"#, r#"[{"a":3}]"#, r#"[{"id":4},{"id":5},{"id":6},{"id":7}]"#, r#"[{"id":8}]"#];
    assert_eq!(*bodies.lock().expect("no panic"), expected);
    assert_eq!(backend.steps(), ["begin", "load", "load", "load", "load", "prepare"]);
    let loads: Vec<_> = backend.seen().into_iter().filter(|head| head.step() == "load").collect();
    assert!(loads.windows(2).all(|pair| pair[0].headers == pair[1].headers), "{loads:?}");
}

#[tokio::test]
async fn doris_prepares_with_one_request_and_commits_by_id() {
    let backend = Server::start(|head, mut conn| async move {
        if head.step() == "_stream_load_2pc" {
            let done = r#"{"status":"Success","msg":"transaction [18036] commit successfully."}"#;
            return conn.answer(done).await;
        }
        conn.say_continue().await;
        let body = conn.body().await.expect("a whole body");
        let rows = body.iter().filter(|byte| **byte == b'\n').count();
        let counts = format!(r#""NumberTotalRows":{rows},"NumberLoadedRows":{rows}"#);
        conn.answer(&format!(r#"{{"TxnId":18036,"TwoPhaseCommit":"true","Status":"Success",{counts}}}"#)).await;
    })
    .await;
    let to = backend.address;
    let frontend = Server::start(move |head, mut conn| async move {
        match head.step() {
            "get_load_state" => conn.answer(r#"{"msg":"success","code":0,"data":"PRECOMMITTED","count":0}"#).await,
            _ => conn.redirect(&format!("http://loader:topsecret@{to}{}?", head.path)).await,
        }
    })
    .await;
    let loader = doris(&frontend);
    assert_eq!(loader.framing(), Framing::Lines);
    let mut load = loader.open(target());
    load.push(rows("{\"id\":1}\n{\"id\":2}\n", 2)).expect("taken");
    load.push(rows("{\"id\":3}\n", 1)).expect("taken");
    let prepared = load.prepare().await.expect("prepared");
    assert_eq!((prepared.id, prepared.rows), (Some(TxnId(18_036)), 3));
    assert_eq!(loader.state(&txn(None)).await, Ok(TxnState::Prepared));
    assert_eq!(loader.commit(&txn(Some(18_036))).await, Answer::Done);
    let commit = backend.seen().pop().expect("a commit");
    assert_eq!((commit.header("txn_id"), commit.header("txn_operation")), (Some("18036"), Some("commit")));
    assert_eq!(commit.header("authorization"), Some(AUTHORIZATION));
    assert!(matches!(loader.commit(&txn(None)).await, Answer::Refused(_)), "never by label");
}

#[tokio::test]
async fn redirects_are_followed_over_a_follower_and_not_for_ever() {
    let (backend, _) = good_backend().await;
    let leader = Server::redirecting(backend.address).await;
    let follower = Server::redirecting(leader.address).await;
    let mut load = starrocks(&follower).open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await.expect("prepared");
    assert_eq!((leader.seen().len(), backend.seen().len()), (3, 3));
    assert_eq!(leader.seen()[1].header("transfer-encoding"), Some("chunked"), "held back, hence still whole");

    let circle = Server::start(|head, mut conn| async move {
        let host = head.header("host").unwrap_or_default().to_owned();
        conn.redirect(&format!("http://{host}{}", head.path)).await;
    })
    .await;
    let refused = failure(starrocks(&circle).open(target())).await;
    assert_eq!(refused.class, Class::Refused);
    assert!(refused.what.contains("more than 5 redirects"), "{refused}");
    assert_eq!(circle.seen().len(), 6);
}

#[tokio::test]
async fn credentials_are_not_sent_to_a_host_that_is_not_allowed() {
    let stranger = Server::start(|_, mut conn| async move { conn.answer(OK).await }).await;
    let port = stranger.address.port();
    let location = format!("http://loader:topsecret@localhost:{port}/api/transaction/begin");
    let frontend = Server::start(move |_, mut conn| {
        let location = location.clone();
        async move { conn.redirect(&location).await }
    })
    .await;
    let mut config = engine(EngineKind::StarRocks, &[frontend.address]);
    config.backends = vec!["10.0.0.0/8".into(), ".wh.example".into()];
    let refused = failure(Loader::new(&config).expect("a loader").open(target())).await;
    assert_eq!(refused.class, Class::Refused);
    assert!(refused.what.contains("localhost") && refused.what.contains("engine.backends"), "{refused}");
    assert!(!format!("{refused:?}").contains("topsecret"), "{refused:?}");
    assert!(stranger.seen().is_empty(), "the host was not even spoken to");
}

#[tokio::test]
async fn backends_behind_a_gateway_are_reached_by_the_rewrite_map() {
    let (backend, _) = good_backend().await;
    let frontend = Server::start(|head, mut conn| async move {
        conn.redirect(&format!("http://be-1.internal:8040{}", head.path)).await;
    })
    .await;
    let mut config = engine(EngineKind::StarRocks, &[frontend.address]);
    config.rewrite.insert("be-1.internal:8040".into(), backend.address.to_string());
    config.backends = vec!["nobody".into()];
    let mut load = Loader::new(&config).expect("a loader").open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await.expect("prepared");
    assert_eq!(backend.seen()[0].header("authorization"), Some(AUTHORIZATION));
}

#[tokio::test]
async fn the_body_waits_for_100_continue() {
    let early = Arc::new(AtomicUsize::new(0));
    let noted = Arc::clone(&early);
    let backend = Server::start(move |head, mut conn| {
        let noted = Arc::clone(&noted);
        async move {
            if head.step() == "load" {
                noted.store(conn.early_bytes(Duration::from_millis(150)).await, Ordering::SeqCst);
            }
            obey(head, conn, Arc::new(Mutex::new(vec!["{".into()]))).await;
        }
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let mut load = starrocks(&frontend).open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await.expect("prepared");
    assert_eq!(early.load(Ordering::SeqCst), 0, "bytes of the body came before they were asked for");
}

#[tokio::test]
async fn a_backend_that_never_says_100_continue_gets_the_body_after_a_while() {
    let backend = Server::start(|head, mut conn| async move {
        match head.step() {
            "load" => {
                conn.body().await.expect("a body all the same");
                conn.answer(OK).await;
            }
            "prepare" => conn.answer(&prepared_of(1)).await,
            _ => conn.answer(OK).await,
        }
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let mut config = engine(EngineKind::StarRocks, &[frontend.address]);
    config.timeouts.continue_ = Duration::from_millis(100);
    let mut load = Loader::new(&config).expect("a loader").open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await.expect("prepared");
}

/// Writes until the load takes no more, at most 50 MiB.
async fn pour(load: &mut Load) -> u64 {
    let mut written = 0;
    while written < 50 && load.push(mebibyte()).is_ok() {
        written += 1;
    }
    written
}

#[tokio::test]
async fn a_refusal_at_the_header_of_a_large_body_is_the_engines_own() {
    let backend = Server::start(|head, mut conn| async move {
        if head.step() == "load" {
            let refusal = r#"{"Status":"ANALYSIS_ERROR","Message":"Column has no default value. column: x"}"#;
            conn.answer(refusal).await;
            return conn.reset();
        }
        conn.answer(OK).await;
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let mut load = starrocks(&frontend).open(target());
    assert!(pour(&mut load).await < 50);
    load.failed().await;
    let refused = failure(load).await;
    assert_eq!(refused.class, Class::Refused);
    assert!(refused.what.contains("Column has no default value"), "{refused}");
    for part in ["starrocks load", "d.t", "L1", &backend.address.to_string()] {
        assert!(refused.what.contains(part), "{part} is missing: {refused}");
    }
}

/// The answer and a reset come while the loader is writing: which of the two it sees first is a race, hence the repeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_in_the_middle_of_a_body_is_the_engines_own() {
    let backend = Server::start(|head, mut conn| async move {
        match head.step() {
            "load" => {
                conn.say_continue().await;
                conn.swallow(1 << 20).await;
                conn.answer(r#"{"Status":"MEM_LIMIT_EXCEEDED","Message":"Memory of process exceed limit."}"#).await;
            }
            _ => conn.answer(OK).await,
        }
        // Closed with unread bytes in the receive buffer: the kernel sends a reset.
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let loader = starrocks(&frontend);
    for round in 0..30 {
        let mut load = loader.open(target());
        pour(&mut load).await;
        let refused = failure(load).await;
        assert_eq!(refused.class, Class::Busy, "round {round}: {refused}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_without_an_answer_is_said_to_be_lost() {
    let backend = Server::start(|head, mut conn| async move {
        if head.step() == "load" {
            conn.say_continue().await;
            conn.swallow(1 << 20).await;
            return conn.reset();
        }
        conn.answer(OK).await;
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let mut load = starrocks(&frontend).open(target());
    pour(&mut load).await;
    let lost = failure(load).await;
    assert_eq!(lost.class, Class::Away, "{lost}");
    assert!(lost.what.contains(&backend.address.to_string()), "{lost}");
}

#[tokio::test]
async fn a_body_that_no_longer_moves_is_given_up() {
    let backend = Server::start(|head, mut conn| async move {
        if head.step() == "load" {
            conn.say_continue().await;
            return conn.hold().await;
        }
        conn.answer(OK).await;
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let mut config = engine(EngineKind::StarRocks, &[frontend.address]);
    config.timeouts.stall = Duration::from_millis(300);
    let mut load = Loader::new(&config).expect("a loader").open(target());
    pour(&mut load).await;
    let stalled = failure(load).await;
    assert_eq!(stalled.class, Class::Away);
    assert!(stalled.what.contains("engine.timeouts.stall"), "{stalled}");
}

#[tokio::test]
async fn a_pause_between_rows_is_no_stall() {
    let (backend, _) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let mut config = engine(EngineKind::StarRocks, &[frontend.address]);
    config.timeouts.stall = Duration::from_millis(50);
    let mut load = Loader::new(&config).expect("a loader").open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    let pause = tokio::time::timeout(Duration::from_millis(400), load.failed()).await;
    assert!(pause.is_err(), "the load failed while it had nothing to send");
    load.push(rows(r#",{"id":2}"#, 1)).expect("taken");
    assert_eq!(load.prepare().await.expect("prepared").rows, 2);
}

#[tokio::test]
async fn a_frontend_that_does_not_lead_or_is_down_is_passed_over_and_the_good_one_kept() {
    let (backend, _) = good_backend().await;
    let down = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let old = Server::start(|_, mut conn| async move {
        conn.answer(r#"{"Status":"FAILED","Message":"class x: current fe is not master"}"#).await;
    })
    .await;
    let good = Server::redirecting(backend.address).await;
    let config = engine(EngineKind::StarRocks, &[down, old.address, good.address]);
    let mut load = Loader::new(&config).expect("a loader").open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await.expect("prepared");
    assert_eq!(old.steps(), ["begin"], "later calls go straight to the frontend that answered");
    assert_eq!(good.steps(), ["begin", "load", "prepare"]);
}

#[tokio::test]
async fn a_call_that_may_have_been_heard_is_not_repeated_at_another_frontend() {
    let silent = Server::start(|_, conn| async move { conn.reset() }).await;
    let other = Server::start(|_, mut conn| async move { conn.answer(OK).await }).await;
    let config = engine(EngineKind::StarRocks, &[silent.address, other.address]);
    let loader = Loader::new(&config).expect("a loader");
    assert!(matches!(loader.commit(&txn(None)).await, Answer::Unclear(Failure { class: Class::Unclear, .. })));
    assert!(other.seen().is_empty());
    // A question has no effect, so it is asked again.
    let state = loader.state(&txn(None)).await.expect_err("no state in that answer");
    assert_eq!((state.class, other.steps().len()), (Class::Unclear, 1));
}

#[tokio::test]
async fn a_server_that_closes_connections_it_promised_to_keep_does_no_harm() {
    let server = Server::start(|_, mut conn| async move {
        conn.answer_with("200 OK", "connection: keep-alive\r\n", STATE_PREPARED).await;
    })
    .await;
    let loader = starrocks(&server);
    for _ in 0..20 {
        assert_eq!(loader.state(&txn(None)).await, Ok(TxnState::Prepared));
    }
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline() {
    let server = Server::start(|_, conn| async move { conn.hold().await }).await;
    let mut config = engine(EngineKind::StarRocks, &[server.address]);
    config.timeouts.call = Duration::from_millis(200);
    let loader = Loader::new(&config).expect("a loader");
    let start = Instant::now();
    let Answer::Unclear(failure) = loader.commit(&txn(None)).await else { panic!("not unclear") };
    assert!(failure.what.contains("no answer within 200ms"), "{failure}");
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_load_waits_for_frontends_that_are_down_and_keeps_its_label() {
    let (backend, bodies) = good_backend().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let loader = Loader::new(&engine(EngineKind::StarRocks, &[address])).expect("a loader");
    let mut load = loader.open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    assert!(tokio::time::timeout(Duration::from_millis(300), load.failed()).await.is_err(), "it waits");
    let listener = TcpListener::bind(address).await.expect("the same port");
    let to = backend.address;
    let _frontend = Server::on(listener, move |head, mut conn| async move {
        conn.redirect(&format!("http://{to}{}", head.path)).await;
    });
    load.prepare().await.expect("prepared");
    assert_eq!(bodies.lock().expect("no panic").len(), 1);
    assert!(backend.seen().iter().all(|head| head.header("label") == Some("L1")));
}

#[tokio::test]
async fn a_load_that_waits_for_frontends_ends_when_it_is_abandoned() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let loader = Loader::new(&engine(EngineKind::Doris, &[address])).expect("a loader");
    let mut load = loader.open(target());
    load.push(rows("{\"id\":1}\n", 1)).expect("taken");
    assert!(!loader.idle(Duration::from_millis(100)).await);
    load.abandon();
    assert!(loader.idle(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn an_abandoned_body_is_torn_and_its_transaction_rolled_back() {
    let torn = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&torn);
    let backend = Server::start(move |head, mut conn| {
        let counted = Arc::clone(&counted);
        async move {
            if head.step() == "load" {
                conn.say_continue().await;
                if conn.body().await.is_none() {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                return;
            }
            conn.answer(OK).await;
        }
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let loader = starrocks(&frontend);
    let mut load = loader.open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    until("the body is on its way", || backend.steps().len() == 2).await;
    load.abandon();
    assert!(loader.idle(Duration::from_secs(5)).await);
    until("the body is torn", || torn.load(Ordering::SeqCst) == 1).await;
    assert_eq!(backend.steps(), ["begin", "load", "rollback"]);
}

/// A StarRocks cluster whose load works, whose prepare does `prepare`, and whose state is `state`.
async fn with_prepare(prepare: &'static str, state: &'static str) -> Server {
    let backend = Server::start(move |head, mut conn| async move {
        match head.step() {
            "load" => {
                conn.say_continue().await;
                conn.body().await.expect("a whole body");
                conn.answer(OK).await;
            }
            "prepare" if prepare.is_empty() => conn.reset(),
            "prepare" => conn.answer(prepare).await,
            "get_load_state" => conn.answer(state).await,
            _ => conn.answer(OK).await,
        }
    })
    .await;
    Server::redirecting(backend.address).await
}

async fn one_row(loader: &Loader) -> Result<Prepared, Failure> {
    let mut load = loader.open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await
}

#[tokio::test]
async fn after_an_unclear_prepare_the_state_decides() {
    let gone = r#"{"Status":"TXN_NOT_EXISTS","Message":"transaction with label L1 not exists"}"#;
    for answer in ["", gone, "nonsense"] {
        let frontend = with_prepare(answer, STATE_PREPARED).await;
        let prepared = one_row(&starrocks(&frontend)).await.expect("prepared, as the state says");
        assert_eq!((prepared.rows, prepared.counts), (1, None), "{answer:?}");
    }
    for (state, says) in [
        (r#"{"status":"OK","state":"ABORTED","reason":"timeout by txn manager"}"#, "timeout by txn manager"),
        (r#"{"status":"OK","state":"UNKNOWN"}"#, "does not know"),
        (r#"{"status":"OK","state":"PREPARE"}"#, "did not become prepared"),
    ] {
        let frontend = with_prepare(gone, state).await;
        let mut config = engine(EngineKind::StarRocks, &[frontend.address]);
        config.timeouts.prepare = Duration::from_secs(1);
        let loader = Loader::new(&config).expect("a loader");
        let failure = one_row(&loader).await.expect_err("not prepared");
        assert_eq!(failure.class, Class::Unclear);
        assert!(failure.what.contains(says) && failure.what.contains("TXN_NOT_EXISTS"), "{failure}");
        assert!(loader.idle(Duration::from_secs(5)).await);
        assert!(frontend.steps().contains(&"rollback".to_owned()), "{:?}", frontend.steps());
    }
}

#[tokio::test]
async fn rows_that_the_engine_counts_differently_are_not_prepared() {
    let frontend = with_prepare(r#"{"Status":"OK","NumberTotalRows":2,"NumberLoadedRows":2}"#, STATE_PREPARED).await;
    let loader = starrocks(&frontend);
    let failure = one_row(&loader).await.expect_err("one row was sent");
    assert!(failure.what.contains("counted 2 rows where 1 were sent"), "{failure}");
    assert!(loader.idle(Duration::from_secs(5)).await);
    assert_eq!(frontend.steps(), ["begin", "load", "prepare", "rollback"]);
}

#[tokio::test]
async fn a_busy_label_is_asked_again() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let backend = Server::start(move |head, conn| {
        let busy = head.step() == "prepare" && counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            let mut conn = conn;
            if busy {
                return conn.answer(r#"{"Status":"TXN_IN_PROCESSING","Message":"Transaction is in processing"}"#).await;
            }
            obey(head, conn, Arc::new(Mutex::new(vec!["{".into()]))).await;
        }
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let prepared = one_row(&starrocks(&frontend)).await;
    assert_eq!(tries.load(Ordering::SeqCst), 2, "{prepared:?}");
}

#[tokio::test]
async fn a_prepare_that_nobody_waits_for_is_seen_through_and_rolled_back() {
    let backend = Server::start(|head, mut conn| async move {
        match head.step() {
            "load" => {
                conn.say_continue().await;
                conn.body().await.expect("a whole body");
                conn.answer(OK).await;
            }
            "prepare" => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                conn.answer(&prepared_of(1)).await;
            }
            _ => conn.answer(OK).await,
        }
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let loader = starrocks(&frontend);
    let mut load = loader.open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    let prepare = tokio::spawn(load.prepare());
    until("prepare is asked for", || backend.steps().last().is_some_and(|step| step == "prepare")).await;
    prepare.abort();
    assert!(loader.idle(Duration::from_secs(5)).await);
    assert_eq!(backend.steps(), ["begin", "load", "prepare", "rollback"]);
}

#[tokio::test]
async fn the_error_log_is_read_without_credentials_and_kept_out_of_the_text() {
    let log = Server::start(|_, mut conn| async move {
        conn.answer(&format!("Error: NULL value. Row: {{\"secret\":1}}\n{}", "x".repeat(9000))).await;
    })
    .await;
    let url = format!("http://{}/api/_load_error_log?file=e_1", log.address);
    let backend = Server::start(move |head, mut conn| {
        let failed = format!(r#"{{"Status":"INTERNAL_ERROR","Message":"too many filtered rows","ErrorURL":"{url}"}}"#);
        async move {
            match head.step() {
                "prepare" => conn.answer(&failed).await,
                _ => obey(head, conn, Arc::default()).await,
            }
        }
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let failure = one_row(&starrocks(&frontend)).await.expect_err("bad rows");
    assert_eq!(failure.class, Class::Refused);
    let text = failure.error_log.as_deref().expect("an error log");
    assert!(text.starts_with("Error: NULL value.") && text.len() == 4096, "{} bytes", text.len());
    assert!(!failure.to_string().contains("secret"), "{failure}");
    let asked = log.seen().remove(0);
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/api/_load_error_log?file=e_1", None));
}

#[tokio::test]
async fn a_frontend_that_takes_the_load_itself_is_not_believed() {
    let proxy = Server::start(|_, mut conn| async move {
        conn.answer(
            r#"{"TxnId":1,"TwoPhaseCommit":"true","Status":"Success","NumberTotalRows":0,"NumberLoadedRows":0}"#,
        )
        .await;
    })
    .await;
    let mut load = doris(&proxy).open(target());
    load.push(rows("{\"id\":1}\n", 1)).expect("taken");
    let refused = failure(load).await;
    assert_eq!(refused.class, Class::Refused);
    assert!(refused.what.contains("instead of redirecting"), "{refused}");
}

#[tokio::test]
async fn memory_is_given_back_when_the_rows_are_in_the_socket() {
    let (backend, _) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let budget = Arc::new(Semaphore::new(3));
    let mut load = starrocks(&frontend).open(target());
    for _ in 0..3 {
        let permit = Arc::clone(&budget).acquire_owned().await.expect("open");
        load.push(Rows { permit: Some(Arc::new(permit)), ..mebibyte() }).expect("taken");
    }
    until("the budget is whole again", || budget.available_permits() == 3).await;
    assert_eq!(load.prepare().await.expect("prepared").rows, 3);
}

#[tokio::test]
async fn a_load_without_rows_is_refused_and_rolled_back() {
    let (backend, _) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let loader = starrocks(&frontend);
    let refused = failure(loader.open(target())).await;
    assert!(refused.what.contains("no row was written"), "{refused}");
    assert!(loader.idle(Duration::from_secs(5)).await);
    assert_eq!(backend.steps(), ["begin", "rollback"]);
}

#[tokio::test]
async fn a_roll_back_that_the_backend_does_not_know_ends_by_cancel() {
    let frontend = Server::start(|head, mut conn| async move {
        match head.step() {
            "rollback" => conn.answer(r#"{"Status":"TXN_NOT_EXISTS","Message":"not exists"}"#).await,
            _ => conn.answer(r#"{"status":"OK","msg":"Success"}"#).await,
        }
    })
    .await;
    assert_eq!(starrocks(&frontend).abort(&txn(None)).await, Answer::Done);
    assert_eq!(frontend.steps(), ["rollback", "_cancel"]);
}
