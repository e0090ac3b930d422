//! Ways to an engine node: redirects, credentials, TLS, frontends that are down or do not lead.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use loadlock::config::{Engine, EngineKind};
use loadlock::load::{Answer, Class, Failure, Loader, TxnState};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::server::{Head, Server};
use crate::{
    AUTHORIZATION, OK, STATE_PREPARED, doris, engine, failure, good_backend, one_row, rows, starrocks, target, txn,
};

#[tokio::test]
async fn each_hop_gets_the_right_body_and_the_same_headers() {
    let (backend, _) = good_backend().await;
    let frontend = Server::redirecting(backend.address).await;
    let mut target = target();
    target.table.name = "订单".into();
    target.headers.insert("connection".into(), "keep-alive".into());
    let load = starrocks(&frontend).open(target);
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
        assert!(!load || second.header("table") == Some("订单"));
        assert_eq!(second.header("connection"), Some("close"), "no route overrides what HTTP needs");
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
async fn redirects_are_followed_over_a_follower_and_not_for_ever() {
    let (backend, _) = good_backend().await;
    let leader = Server::redirecting(backend.address).await;
    let follower = Server::redirecting(leader.address).await;
    let load = starrocks(&follower).open(target());
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
    let load = Loader::new(&config).expect("a loader").open(target());
    load.push(rows(r#",{"id":1}"#, 1)).expect("taken");
    load.prepare().await.expect("prepared");
    assert_eq!(backend.seen()[0].header("authorization"), Some(AUTHORIZATION));
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
    let load = Loader::new(&config).expect("a loader").open(target());
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
    assert_eq!(loader.commit(&txn(None)).await, Answer::Done, "the next call begins at the other frontend");
    assert_eq!(silent.steps(), ["commit"]);
}

#[tokio::test]
async fn a_question_goes_on_until_a_frontend_answers_it() {
    let silent = Server::start(|_, conn| async move { conn.reset() }).await;
    let broken = Server::start(|_, mut conn| async move { conn.answer_with("502 Bad Gateway", "", "").await }).await;
    let good = Server::start(|_, mut conn| async move { conn.answer(STATE_PREPARED).await }).await;
    let config = engine(EngineKind::StarRocks, &[silent.address, broken.address, good.address]);
    let loader = Loader::new(&config).expect("a loader");
    assert_eq!(loader.state(&txn(None)).await, Ok(TxnState::Prepared));
    let config = engine(EngineKind::StarRocks, &[silent.address, broken.address]);
    let unknown = Loader::new(&config).expect("a loader").state(&txn(None)).await.expect_err("nobody knows");
    assert_eq!(unknown.class, Class::Away, "{unknown}");
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
    let load = loader.open(target());
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
    let load = loader.open(target());
    load.push(rows("{\"id\":1}\n", 1)).expect("taken");
    assert!(!loader.idle(Duration::from_millis(100)).await);
    load.abandon();
    assert!(loader.idle(Duration::from_secs(5)).await);
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
    let load = doris(&proxy).open(target());
    load.push(rows("{\"id\":1}\n", 1)).expect("taken");
    let refused = failure(load).await;
    assert_eq!(refused.class, Class::Refused);
    assert!(refused.what.contains("instead of redirecting"), "{refused}");
}

/// A frontend behind TLS that redirects every call to `to`.
async fn https_frontend(to: SocketAddr) -> SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    let chain = vec![CertificateDer::from_pem_file("tests/data/engines/tls/node.pem").expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file("tests/data/engines/tls/node.key").expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(tls) = acceptor.accept(tcp).await else { continue };
            let mut stream = BufReader::new(tls);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).await.is_ok_and(|n| n > 0) {}
            let path = head.split(' ').nth(1).unwrap_or_default();
            let redirect =
                format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{to}{path}\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(redirect.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    address
}

fn https_engine(address: SocketAddr) -> Engine {
    Engine {
        frontends: vec![format!("https://{address}").parse().expect("an address")],
        ca_file: Some("tests/data/engines/tls/ca.pem".into()),
        ..engine(EngineKind::StarRocks, &[])
    }
}

#[tokio::test]
async fn https_frontends_are_checked_and_plain_backends_need_a_permission() {
    let (backend, _) = good_backend().await;
    let address = https_frontend(backend.address).await;

    let strict = Loader::new(&https_engine(address)).expect("a loader");
    let refused = failure(strict.open(target())).await;
    assert_eq!(refused.class, Class::Refused);
    assert!(refused.what.contains("engine.allow_plain_redirect"), "{refused}");
    assert!(backend.seen().is_empty());

    let config = Engine { allow_plain_redirect: true, ..https_engine(address) };
    one_row(&Loader::new(&config).expect("a loader")).await.expect("prepared");

    let stranger = Engine { ca_file: None, ..config };
    let unknown = Loader::new(&stranger).expect("a loader").state(&txn(None)).await.expect_err("an unknown issuer");
    assert_eq!(unknown.class, Class::Away);
    assert!(unknown.what.contains("certificate"), "{unknown}");
}

#[test]
fn a_loader_that_cannot_work_says_why() {
    let at = |uri: &str| vec![uri.parse().expect("an address")];
    let base = engine(EngineKind::Doris, &[]);
    let cases = [
        (base.clone(), "engine.frontends is empty"),
        (Engine { frontends: at("ftp://u:secret@fe:21"), ..base.clone() }, "fe is neither an http nor an https"),
        (
            Engine { frontends: at("http://fe:8030"), backends: vec!["10.0.0.0/99".into()], ..base.clone() },
            "10.0.0.0/99",
        ),
        (
            Engine { ca_file: Some("no-such-file".into()), frontends: at("http://fe:8030"), ..base.clone() },
            "no-such-file",
        ),
        (
            Engine { ca_file: Some("tests/data/engines/replies.json".into()), frontends: at("http://fe:8030"), ..base },
            "holds no certificate",
        ),
    ];
    for (config, says) in cases {
        let text = Loader::new(&config).err().expect("refused").to_string();
        assert!(text.contains(says) && !text.contains("secret"), "{text}");
    }
}
