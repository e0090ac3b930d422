//! The body of a load: when it starts, how it is framed, and how it ends when the engine has had enough.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadlock::config::EngineKind;
use loadlock::load::{Class, Load, Loader, Rows, StarRocks};
use tokio::sync::Semaphore;

use crate::server::{Server, until};
use crate::{OK, engine, failure, good_backend, mebibyte, obey, prepared_of, rows, starrocks, target, timeouts};

#[tokio::test]
async fn a_large_load_is_sent_as_several_bodies_with_one_set_of_headers() {
    let (backend, bodies) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let small = StarRocks::new(timeouts()).body_limit(25);
    let config = engine(EngineKind::StarRocks, &[frontend.address]);
    let load = Loader::with_engine(&config, Box::new(small)).expect("a loader").open(target());
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
    let load = starrocks(&frontend).open(target());
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
    let load = Loader::new(&config).expect("a loader").open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await.expect("prepared");
}

/// Pushes rows with a memory budget of 4 MiB until the load takes no more, at most 50 MiB.
async fn pour(load: &Load) -> u64 {
    let budget = Arc::new(Semaphore::new(4));
    let pouring = async {
        let mut written = 0;
        while written < 50 {
            let permit = tokio::select! {
                biased;
                () = load.failed() => break,
                permit = Arc::clone(&budget).acquire_owned() => Arc::new(permit.expect("open")),
            };
            if load.push(Rows { permit: Some(permit), ..mebibyte() }).is_err() {
                break;
            }
            written += 1;
        }
        written
    };
    tokio::time::timeout(Duration::from_secs(20), pouring).await.expect("an end within 20 s")
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
    let load = starrocks(&frontend).open(target());
    assert!(pour(&load).await < 50);
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
        let load = loader.open(target());
        pour(&load).await;
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
    let load = starrocks(&frontend).open(target());
    pour(&load).await;
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
    let load = Loader::new(&config).expect("a loader").open(target());
    pour(&load).await;
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
    let load = Loader::new(&config).expect("a loader").open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    let pause = tokio::time::timeout(Duration::from_millis(400), load.failed()).await;
    assert!(pause.is_err(), "the load failed while it had nothing to send");
    load.push(rows(r#",{"id":2}"#, 1)).expect("taken");
    assert_eq!(load.prepare().await.expect("prepared").rows, 2);
}

#[tokio::test]
async fn memory_is_given_back_when_the_rows_are_in_the_socket() {
    let (backend, _) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let budget = Arc::new(Semaphore::new(3));
    let load = starrocks(&frontend).open(target());
    for _ in 0..3 {
        let permit = Arc::clone(&budget).acquire_owned().await.expect("open");
        load.push(Rows { permit: Some(Arc::new(permit)), ..mebibyte() }).expect("taken");
    }
    until("the budget is whole again", || budget.available_permits() == 3).await;
    assert_eq!(load.prepare().await.expect("prepared").rows, 3);
}
