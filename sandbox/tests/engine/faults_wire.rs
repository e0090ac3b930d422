//! The fault plan: what it does to connections, bodies and answers.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::Method;
use loadlock_sandbox::{Call, EngineKind, Fault, FaultKind, Node, Sandbox};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Client, DEADLINE, ROOT, call, one};

const DDL: &str = "CREATE TABLE d.t (id BIGINT, v STRING)";

async fn start(kind: EngineKind) -> Sandbox {
    Sandbox::builder(kind).ddl(DDL).start().await.unwrap()
}

fn happened(sandbox: &Sandbox) -> Vec<u32> {
    sandbox.faults().iter().map(|count| count.happened).collect()
}

/// Sends a request as it is and reads until the connection ends; what came, and how it ended.
async fn raw(address: SocketAddr, head: &str, body: &[u8]) -> (String, Result<(), ErrorKind>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{head}\r\nHost: x\r\nAuthorization: {}\r\nConnection: close\r\n\r\n", ROOT.1);
    stream.write_all(head.as_bytes()).await.unwrap();
    // A connection that is reset takes no more of it.
    let _ = stream.write_all(body).await;
    let mut got = Vec::new();
    let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut got)).await.expect("it goes on");
    (String::from_utf8_lossy(&got).into_owned(), ended.map(|_| ()).map_err(|e| e.kind()))
}

#[tokio::test]
async fn connections_are_reset() {
    let sandbox = start(EngineKind::StarRocks).await;
    let client = Client(&sandbox);
    client.txn("begin", "l", &[], "").await;
    client.txn("load", "l", &[], "{\"id\":1}").await;
    client.txn("prepare", "l", &[], "").await;
    let commit = "POST /api/transaction/commit HTTP/1.1\r\nlabel: l\r\ndb: d\r\nContent-Length: 0";
    sandbox.inject([
        Fault::once(Call::Commit, FaultKind::ResetBefore),
        Fault { skip: 1, ..Fault::once(Call::Commit, FaultKind::ResetAfter) },
    ]);
    for state in ["PREPARED", "VISIBLE"] {
        let (got, ended) = raw(sandbox.frontend, commit, b"").await;
        assert_eq!((got.as_str(), ended), ("", Err(ErrorKind::ConnectionReset)));
        assert_eq!(client.state("l").await, state);
    }
    assert_eq!(happened(&sandbox), [1, 1]);
    sandbox.stop().await;

    // In a body, with either engine; a drop ends it without an answer, too.
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = start(kind).await;
        let client = Client(&sandbox);
        sandbox.inject([
            Fault::once(Call::Load, FaultKind::ResetInBody { after_bytes: 1000 }),
            Fault { skip: 1, ..Fault::once(Call::Load, FaultKind::DropInBody { after_bytes: 1000 }) },
        ]);
        let body = format!("{{\"id\":1,\"v\":\"{}\"}}\n", "x".repeat(100_000));
        for (label, is_reset) in [("reset", true), ("dropped", false)] {
            let path = match kind {
                EngineKind::StarRocks => {
                    client.txn("begin", label, &[], "").await;
                    "/api/transaction/load"
                }
                EngineKind::Doris => "/api/d/t/_stream_load",
            };
            let head = format!(
                "PUT {path} HTTP/1.1\r\nlabel: {label}\r\ndb: d\r\ntable: t\r\nformat: json\r\nread_json_by_line: true\r\n\
                 two_phase_commit: true\r\nContent-Length: {}",
                body.len()
            );
            let (got, ended) = raw(sandbox.backend, &head, body.as_bytes()).await;
            assert_eq!(got, "", "{kind} {label}");
            assert!(!is_reset || ended == Err(ErrorKind::ConnectionReset), "{kind}: {ended:?}");
        }
        assert_eq!(happened(&sandbox), [1, 1]);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn answers_that_break_off() {
    let sandbox = start(EngineKind::Doris).await;
    let client = Client(&sandbox);
    let state = "GET /api/d/get_load_state?label=l HTTP/1.1";
    let whole = raw(sandbox.frontend, state, b"").await.0;
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");

    let mut asked = 0;
    let mut under = async |kind: FaultKind| {
        sandbox.inject([Fault::once(Call::State, kind)]);
        asked += 1;
        let began = Instant::now();
        let (text, ended) = raw(sandbox.frontend, state, b"").await;
        assert_eq!(happened(&sandbox).iter().sum::<u32>(), asked);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no headers: {text}"));
        (head.to_owned(), body.to_owned(), ended, began.elapsed())
    };
    let length = |n: usize| format!("content-length: {n}");

    let (head, cut, ..) = under(FaultKind::CutAnswer { after_bytes: None }).await;
    assert_eq!((cut.as_str(), head.contains(&length(body.len()))), (&body[..body.len() / 2], true));
    let (_, cut, ..) = under(FaultKind::CutAnswer { after_bytes: Some(3) }).await;
    assert_eq!(cut, body[..3]);

    let (head, short, ended, _) = under(FaultKind::WrongLength { by: -5 }).await;
    assert_eq!((short.as_str(), ended), (&body[..body.len() - 5], Ok(())));
    assert!(head.contains(&length(body.len() - 5)), "{head}");
    let (head, long, ..) = under(FaultKind::WrongLength { by: 7 }).await;
    assert_eq!((long.as_str(), head.contains(&length(body.len() + 7))), (body, true));

    let (head, silent, _, took) = under(FaultKind::SilentAnswer { millis: 200 }).await;
    assert_eq!((silent.as_str(), head.contains(&length(body.len()))), ("", true));
    assert!(took >= Duration::from_millis(200), "{took:?}");
    let (_, slow, ended, took) = under(FaultKind::SlowAnswer { bytes_per_second: 200 }).await;
    assert_eq!((slow.as_str(), ended), (body, Ok(())));
    assert!(took >= Duration::from_millis(200), "{took:?} for {} bytes", body.len());

    // A client with deadlines is not held up, and what was done is done.
    sandbox.inject([Fault::once(Call::Load, FaultKind::SilentAnswer { millis: 60_000 })]);
    let put = client.put("l", &[], "{\"id\":1}");
    assert!(tokio::time::timeout(Duration::from_millis(500), put).await.is_err());
    assert_eq!(client.state("l").await, "PRECOMMITTED");
    sandbox.stop().await;
}

#[tokio::test]
async fn answers_in_other_words() {
    let sandbox = start(EngineKind::Doris).await;
    let client = Client(&sandbox);
    let normal = client.put("l", &[], "{\"id\":1}").await.unwrap();
    let keys = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("    \"")?.split_once('"'));
        lines.map(|(key, _)| key.to_owned()).collect()
    };

    let all = [FaultKind::UnknownKeys, FaultKind::ShuffleKeys, FaultKind::StackTrace];
    sandbox.inject(all.map(|kind| Fault { times: 2, ..Fault::once(Call::Load, kind) }));
    let other = client.put("m", &[], "{\"id\":1}").await.unwrap();
    assert_eq!((other.field("Status").as_str(), other.field("Message").as_str()), ("Success", "OK"));
    let (mut was, mut is) = (keys(&normal.text), keys(&other.text));
    assert_ne!(is, was);
    was.extend(["SandboxNote".to_owned(), "SandboxDetail".to_owned()]);
    was.sort();
    is.sort();
    assert_eq!(is, was, "{}", other.text);
    assert_eq!(happened(&sandbox), [1, 1, 0], "an answer of success has no stack");

    let failed = client.put("m", &[], "{\"id\":1}").await.unwrap();
    assert_eq!(failed.field("Status"), "Label Already Exists");
    let message = failed.field("Message");
    assert!(message.contains("has already been used, relate to txn [") && message.contains("\n\n\t0#  doris::"));
    assert_eq!(happened(&sandbox), [2, 2, 1]);
    sandbox.stop().await;
}

#[tokio::test]
async fn bodies_that_are_read_slowly() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = start(kind).await;
        let client = Client(&sandbox);
        let body = format!("{{\"id\":1,\"v\":\"{}\"}}", "x".repeat(40_000));
        let slow = FaultKind::SlowBody { bytes_per_second: 100_000 };
        let stalled = FaultKind::StallBody { after_bytes: 0, millis: 300 };
        for (label, fault) in [("slow", slow), ("stalled", stalled)] {
            sandbox.inject([Fault::once(Call::Load, fault)]);
            let began = Instant::now();
            let status = match kind {
                EngineKind::StarRocks => {
                    client.txn("begin", label, &[], "").await;
                    client.txn("load", label, &[], &body).await.field("Status")
                }
                EngineKind::Doris => client.put(label, &[], &body).await.unwrap().field("Status"),
            };
            assert!(["OK", "Success"].contains(&status.as_str()), "{label}: {status}");
            assert!(began.elapsed() >= Duration::from_millis(300), "{label}: {:?}", began.elapsed());
        }
        assert_eq!(happened(&sandbox), [1, 1]);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn redirects_to_nowhere() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = start(kind).await;
        let elsewhere = FaultKind::RedirectTo { authority: "127.0.0.1:1".into() };
        sandbox.inject([
            Fault::once(Call::Load, elsewhere.clone()),
            Fault { skip: 1, times: 2, ..Fault::once(Call::Load, FaultKind::RedirectLoop) },
            Fault { node: Some(Node::Backend), ..Fault::once(Call::Load, elsewhere) },
        ]);
        let path = "/api/d/t/_stream_load";
        let headers = [ROOT, ("label", "l"), ("expect", "100-continue")];
        let ask = |address| call(address, Method::PUT, path, &headers, "");
        let location = async |address| ask(address).await.unwrap().location.unwrap();
        assert_eq!(location(sandbox.frontend).await, format!("http://127.0.0.1:1{path}"));
        for _ in 0..2 {
            assert_eq!(
                location(sandbox.frontend).await,
                format!("http://{}{path}", sandbox.frontend),
                "round and round"
            );
        }
        assert!(location(sandbox.frontend).await.ends_with(&format!("{}{path}", sandbox.backend)));
        assert_eq!(location(sandbox.backend).await, format!("http://127.0.0.1:1{path}"));
        assert_eq!(happened(&sandbox), [1, 2, 1]);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_fault_that_finds_nothing_to_do_has_not_happened() {
    let sandbox = start(EngineKind::Doris).await;
    let client = Client(&sandbox);
    let late = FaultKind::RefuseInBody { after_bytes: 1_000_000, message: "no".into() };
    sandbox.inject([Fault::once(Call::Load, late)]);
    assert_eq!(
        client.put("l", &[("two_phase_commit", "false")], "{\"id\":1}").await.unwrap().field("Status"),
        "Success"
    );
    let plan: Value = call(sandbox.admin, Method::GET, "/sandbox/faults", &[], "").await.unwrap().json();
    assert_eq!((&plan[0]["hit"], &plan[0]["happened"]), (&1.into(), &0.into()));
    assert_eq!(one(&sandbox, "SELECT count(*) FROM t").await, "1");
    sandbox.stop().await;
}
