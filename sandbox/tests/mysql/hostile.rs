//! Bad input: an error or a closed connection, never a stop of the others.

use std::time::Duration;

use loadlock_sandbox::{EngineKind, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Said};

async fn start() -> Sandbox {
    crate::watch::panics_are_fatal();
    let ddl = "CREATE TABLE d.t (id BIGINT, v DECIMAL(10,2)) DUPLICATE KEY(id)";
    Sandbox::builder(EngineKind::StarRocks).ddl(ddl).start().await.unwrap()
}

/// A xorshift generator: the same noise on every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

#[tokio::test]
async fn noise_in_place_of_a_login() {
    let sandbox = start().await;
    let mut noise = Noise(7);
    for round in 0..60 {
        let (mut client, _) = Client::greeted(sandbox.query).await;
        let length = noise.below(200);
        let mut payload: Vec<u8> = (0..length).map(|_| noise.next().to_le_bytes()[0]).collect();
        if round % 2 == 0 && payload.len() > 4 {
            payload[..4].copy_from_slice(&crate::client::CAPABILITIES.to_le_bytes());
        }
        client.write(&payload).await;
        let _ = client.stream.shutdown().await;
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), client.stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "round {round}: neither answer nor end");
    }
    assert_eq!(Client::root(sandbox.query).await.query("SELECT 1").await.lines(), ["1"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn packets_out_of_order_too_large_or_never_finished() {
    let sandbox = start().await;
    let mut client = Client::root(sandbox.query).await;
    client.stream.write_all(&[1, 0, 0, 9, 0x0e]).await.unwrap();
    let mut head = [0; 7];
    client.stream.read_exact(&mut head).await.unwrap();
    assert_eq!((head[4], u16::from_le_bytes([head[5], head[6]])), (0xff, 1156));

    let mut client = Client::root(sandbox.query).await;
    // Two chunks of 16 MiB; the answer comes before the second has been sent.
    client.stream.write_all(&[0xff, 0xff, 0xff, 0]).await.unwrap();
    client.stream.write_all(&vec![b' '; 0xff_ffff]).await.unwrap();
    client.stream.write_all(&[0xff, 0xff, 0xff, 1]).await.unwrap();
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest).await;
    assert_eq!(u16::from_le_bytes([rest[5], rest[6]]), 1153);

    // Half-open: connected and silent, connected and stuck in a packet.
    let silent = TcpStream::connect(sandbox.query).await.unwrap();
    let mut stuck = Client::root(sandbox.query).await;
    stuck.stream.write_all(&[200, 0, 0, 0, 0x03]).await.unwrap();
    let mut client = Client::root(sandbox.query).await;
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    let said = client.query(&long).await.lines();
    assert_eq!(said, ["ERROR 1064 the statement is longer than 1048576 bytes"]);
    assert_eq!(client.query("SELECT 1").await.lines(), ["1"], "and the connection goes on");
    // Stopping does not wait for the half-open ones.
    tokio::time::timeout(Duration::from_secs(20), sandbox.stop()).await.expect("stops in time");
    drop((silent, stuck));
}

#[tokio::test]
async fn statements_of_noise() {
    const WORDS: [&str; 40] = [
        "SELECT",
        "FROM",
        "d.t",
        "t",
        "WHERE",
        "id",
        "v",
        "count(*)",
        "sum(v)",
        "GROUP BY",
        "ORDER BY",
        "LIMIT",
        "1",
        "'x'",
        "(",
        ")",
        ",",
        "=",
        "+",
        "-",
        "*",
        "NULL",
        "IN",
        "BETWEEN",
        "AND",
        "CASE",
        "WHEN",
        "END",
        "UNION",
        "SHOW",
        "TABLES",
        "SET",
        "@@x",
        "?",
        "INSERT INTO",
        "VALUES",
        "`",
        "\"",
        "--",
        "é",
    ];
    let sandbox = start().await;
    let mut client = Client::root(sandbox.query).await;
    let mut noise = Noise(11);
    for _ in 0..400 {
        let count = 1 + noise.below(12);
        let words: Vec<&str> = (0..count).map(|_| WORDS[noise.below(WORDS.len())]).collect();
        let sql = format!("{} {}", if noise.below(2) == 0 { "SELECT" } else { "" }, words.join(" "));
        // Whatever it is, there is an answer, and the next statement finds the connection as it was.
        client.query(&sql).await;
    }
    let deep = [
        format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000)),
        format!("SELECT {}1", "-".repeat(5001)),
        format!("SELECT 1{}", " + 1".repeat(20_000)),
        format!("SELECT {} 1", "NOT ".repeat(10_000)),
        format!("SELECT * FROM {}", "(SELECT * FROM ".repeat(1000)),
    ];
    for sql in deep {
        client.query(&sql).await;
    }
    client.command(0x03, &[0xff, 0xfe, 0x00]).await;
    assert!(matches!(client.said(false).await, Said::Error(1300, ..)));
    assert_eq!(
        client.query("SELECT count(*) FROM d.t WHERE v IS NULL OR v IS NOT NULL OR id = 1").await.lines().len(),
        1
    );
    sandbox.stop().await;
}

#[tokio::test]
async fn prepared_statements_that_there_are_not() {
    let sandbox = start().await;
    let mut client = Client::root(sandbox.query).await;
    assert!(matches!(client.execute(7, &[]).await, Said::Error(1243, ..)));
    let (id, _) = client.prepare("SELECT ? + 1").await;
    // A parameter is missing.
    client.command(0x17, &[&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat()).await;
    assert!(matches!(client.said(true).await, Said::Error(1210, ..)));
    // Long data is taken without an answer and refused when it is used.
    client.command(0x18, &[&id.to_le_bytes()[..], &[0, 0, b'x']].concat()).await;
    assert!(matches!(client.execute(id, &[(0x08, Some(&7_i64.to_le_bytes()))]).await, Said::Error(1210, ..)));
    client.command(0x16, b"DROP TABLE d.t").await;
    assert!(matches!(client.said(false).await, Said::Error(1064, ..)));
    assert_eq!(client.query("SELECT count(*) FROM d.t").await.lines(), ["0"]);
    sandbox.stop().await;
}

/// A statement of so many bytes.
fn padded(bytes: usize) -> String {
    let (head, tail) = ("SELECT 1 /*", "*/");
    format!("{head}{}{tail}", "x".repeat(bytes - head.len() - tail.len()))
}

#[tokio::test]
async fn packets_of_every_size() {
    let sandbox = start().await;
    let mut client = Client::root(sandbox.query).await;
    let too_long = ["ERROR 1064 the statement is longer than 1048576 bytes"];
    assert_eq!(client.query(&padded(1 << 20)).await.lines(), ["1"]);
    // The longest packet, and the longest payload, which takes two of them.
    for bytes in [(1 << 20) + 1, 0xff_fffd, (16 << 20) - 2] {
        assert_eq!(client.query_in_packets(&padded(bytes)).await.lines(), too_long, "{bytes}");
    }
    // A full packet that nothing but an empty one follows.
    assert_eq!(client.query_in_packets(&padded(0xff_fffe)).await.lines(), too_long);
    // One byte too many, told of before the rest has come.
    let mut other = Client::root(sandbox.query).await;
    assert_eq!(other.query_in_packets(&padded(16 << 20)).await.lines()[0].split(' ').nth(1), Some("1153"));
    // Byte by byte, and several commands in one piece.
    for byte in [&[9, 0, 0, 0, 3][..], b"SELECT 2"].concat() {
        client.stream.write_all(&[byte]).await.unwrap();
        client.stream.flush().await.unwrap();
    }
    client.expect_answer();
    assert_eq!(client.said(false).await.lines(), ["2"]);
    client.stream.write_all(&[1, 0, 0, 0, 0x0e].repeat(100)).await.unwrap();
    for _ in 0..100 {
        client.expect_answer();
        assert_eq!(client.said(false).await, Said::Ok(0));
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn commands_that_there_are_not() {
    let sandbox = start().await;
    let mut client = Client::root(sandbox.query).await;
    // Sleep, create and drop database, process info, debug, change user, binlog, fetch, and so on: none is imitated.
    for code in (0x05..=0x08).chain(0x0a..=0x0d).chain(0x0f..=0x15).chain([0x1c, 0x1d, 0x1e, 0x20, 0xfe, 0xff]) {
        client.command(code, b"\x00\xff\xfe\x00").await;
        assert!(matches!(client.said(false).await, Said::Error(1047, ..)), "{code:x}");
    }
    // An empty packet is no command.
    client.stream.write_all(&[0, 0, 0, 0]).await.unwrap();
    client.expect_answer();
    assert!(matches!(client.said(false).await, Said::Error(1047, ..)));
    // Halves of commands.
    for (code, wants_answer) in [(0x17, true), (0x18, false), (0x19, false), (0x1a, true), (0x1b, true), (0x04, true)] {
        for body in [&b""[..], b"\x01", b"\xff\xff\xff\xff", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            client.command(code, body).await;
            if wants_answer {
                client.read().await.expect("an answer");
            }
        }
    }
    assert_eq!(client.query("SELECT 1").await.lines(), ["1"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn logins_that_are_too_large() {
    let sandbox = start().await;
    let (mut client, _) = Client::greeted(sandbox.query).await;
    client.stream.write_all(&[0xff, 0xff, 0x01, 1]).await.unwrap();
    client.stream.write_all(&[b'x'; 1000]).await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), client.stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "it is not waited for");
    assert_eq!(Client::root(sandbox.query).await.query("SELECT 1").await.lines(), ["1"]);
    sandbox.stop().await;
}

#[tokio::test]
async fn tables_that_are_too_deep() {
    let sandbox = start().await;
    let mut client = Client::root(sandbox.query).await;
    let ddl = format!(
        "CREATE TABLE d.deep (id INT, a {}INT{}) DUPLICATE KEY(id)",
        "ARRAY<".repeat(50_000),
        ">".repeat(50_000)
    );
    let said = client.query(&ddl).await.lines();
    assert!(said[0].contains("Type exceeds the maximum nesting depth of 15"), "{said:?}");
    for sql in [
        "CREATE TABLE d.x (",
        "CREATE TABLE d.x (id DECIMAL(999999999999999999999))",
        "CREATE DATABASE ``",
        "DROP TABLE",
        "USE `a`.`b`.`c`.`d`",
    ] {
        assert!(matches!(client.query(sql).await, Said::Error(..)), "{sql}");
    }
    assert_eq!(client.query("SELECT count(*) FROM d.t").await.lines(), ["0"]);
    sandbox.stop().await;
}
