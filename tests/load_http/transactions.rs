//! The calls of a load transaction: what they say, what is lost, and what is rolled back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadlock::config::EngineKind;
use loadlock::decode::Framing;
use loadlock::domain::TxnId;
use loadlock::load::{Answer, Class, Loader, Prepared, TxnState};

use crate::server::{Server, until};
use crate::{
    AUTHORIZATION, OK, STATE_PREPARED, at_once, doris, engine, failure, good_backend, obey, one_row, prepared_of, rows,
    starrocks, target, txn,
};

#[tokio::test]
async fn starrocks_rows_become_a_prepared_transaction() {
    let (backend, bodies) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let loader = starrocks(&frontend);
    assert_eq!(loader.framing(), Framing::Array);
    let load = loader.open(target());
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

/// A StarRocks backend whose answer to a whole load in one phase is lost.
async fn answers_get_lost(state: &'static str) -> (Server, Loader) {
    let backend = Server::start(move |head, mut conn| async move {
        match head.step() {
            "_stream_load" => {
                conn.say_continue().await;
                let _ = conn.body().await;
                conn.reset();
            }
            "get_load_state" => conn.answer(state).await,
            _ => conn.answer(r#"{"Status":"TXN_NOT_EXISTS","Message":"txn not exists"}"#).await,
        }
    })
    .await;
    let frontend = Server::redirecting(backend.address).await;
    let loader = starrocks(&frontend);
    (backend, loader)
}

#[tokio::test]
async fn a_load_in_one_phase_whose_answer_is_lost_is_what_its_state_says() {
    for state in ["VISIBLE", "COMMITTED"] {
        let visible = format!(r#"{{"status":"OK","msg":"","state":"{state}"}}"#).leak();
        let (backend, loader) = answers_get_lost(visible).await;
        let load = loader.open(at_once());
        load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
        let prepared = load.prepare().await.expect("visible");
        assert_eq!((prepared.rows, prepared.counts), (1, None));
        assert_eq!(backend.steps(), ["_stream_load", "get_load_state"], "{state}");
    }
    let (_backend, loader) = answers_get_lost(r#"{"status":"OK","msg":"","state":"ABORTED"}"#).await;
    let load = loader.open(at_once());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    let failed = failure(load).await;
    assert!(failed.what.contains("aborted"), "{failed}");
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
    let load = loader.open(target());
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
    let load = loader.open(target());
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
    let load = loader.open(target());
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
