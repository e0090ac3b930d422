//! Bodies that break off or aren't HTTP any more: the load is aborted, nothing of it is seen.

use loadlock_sandbox::EngineKind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Guarded, Said, listen};
use crate::support::{Client, one, until};

/// How a body goes wrong.
struct Case {
    name: &'static str,
    framing: &'static str,
    bytes: Vec<u8>,
    /// The client goes away behind it; else the server says 400.
    closes: bool,
}

fn cases() -> Vec<Case> {
    let row = "{\"id\":1}\n";
    let chunk = format!("{:x}\r\n{row}\r\n", row.len());
    let chunked = |name, rest: &str, closes| Case {
        name,
        framing: "Transfer-Encoding: chunked",
        bytes: format!("{chunk}{rest}").into_bytes(),
        closes,
    };
    vec![
        chunked("a chunk size of letters", "zz\r\n{}\r\n", false),
        chunked("a negative chunk size", "-5\r\n{}\r\n", false),
        chunked("an empty chunk size", "\r\n{}\r\n", false),
        chunked("a chunk size beyond 64 bits", "fffffffffffffffff\r\n{}", false),
        chunked("a chunk that is longer than it says", "3\r\n{\"id\":2}\r\n", false),
        chunked("an extension of 100 kB", &format!("3;{}\r\n", "x".repeat(100_000)), false),
        chunked("a chunk that breaks off", "ff\r\n{\"id\":2}", true),
        chunked("a chunk size that breaks off", "f", true),
        chunked("chunks without an end", "", true),
        Case {
            name: "fewer bytes than were announced",
            framing: "Content-Length: 1000",
            bytes: row.as_bytes().to_vec(),
            closes: true,
        },
        Case {
            name: "a body that never began",
            framing: "Content-Length: 18446744073709551000",
            bytes: Vec::new(),
            closes: true,
        },
    ]
}

/// The three ways into a table.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    StarRocksTransaction,
    StarRocksStreamLoad,
    Doris,
}

async fn send(guarded: &Guarded, way: Way, label: &str, case: &Case) -> Said {
    let path = if way == Way::StarRocksTransaction { "/api/transaction/load" } else { "/api/d/t/_stream_load" };
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cm9vdDo=\r\nExpect: 100-continue\r\nlabel: {label}\r\n\
         db: d\r\ntable: t\r\nformat: json\r\nread_json_by_line: true\r\ntwo_phase_commit: true\r\n{}\r\n\r\n",
        case.framing
    );
    let mut stream = TcpStream::connect(guarded.sandbox.backend).await.unwrap();
    stream.write_all(&[head.as_bytes(), &case.bytes].concat()).await.unwrap();
    if case.closes {
        let begun = listen(&mut stream).await;
        stream.shutdown().await.unwrap();
        return begun;
    }
    listen(&mut stream).await
}

async fn check(kind: EngineKind, way: Way) {
    let mut guarded = Guarded::start(kind).await;
    for (number, case) in cases().iter().enumerate() {
        let label = format!("l{number}");
        let client = Client(&guarded.sandbox);
        if way == Way::StarRocksTransaction {
            client.txn("begin", &label, &[], "").await;
        }
        // An announced length beyond what a load may have is refused before the body.
        let said = send(&guarded, way, &label, case).await;
        match said.status() {
            Some(400) if !case.closes && said.ended => {}
            None if case.closes => {}
            Some(200) if case.framing.len() > 30 && said.text.contains("body size") => {}
            _ => panic!("{way:?}, {}: {said:?}", case.name),
        }
        if way == Way::StarRocksTransaction && client.state(&label).await == "PREPARE" {
            until("the load has ended", || async {
                client.txn("prepare", &label, &[], "").await.field("Status") == "CANCELLED"
            })
            .await;
        }
        until("it is aborted", || async { ["ABORTED", "UNKNOWN"].contains(&client.state(&label).await.as_str()) })
            .await;
        assert_eq!(one(&guarded.sandbox, "SELECT count(*) FROM d.t").await, "0", "{way:?}, {}", case.name);
        guarded.serves(case.name).await;
    }
    guarded.sandbox.stop().await;
}

#[tokio::test]
async fn of_starrocks_transactions() {
    check(EngineKind::StarRocks, Way::StarRocksTransaction).await;
}

#[tokio::test]
async fn of_starrocks_stream_loads() {
    check(EngineKind::StarRocks, Way::StarRocksStreamLoad).await;
}

#[tokio::test]
async fn of_doris_stream_loads() {
    check(EngineKind::Doris, Way::Doris).await;
}
