//! Requests that are broken before their body begins.

use loadlock_sandbox::EngineKind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Guarded, say};
use crate::support::DEADLINE;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Want {
    /// This status.
    Status(u16),
    /// Whatever the port says to a request of good form.
    Answer,
    /// No answer: the rest may still come.
    Nothing,
    /// The connection is closed without an answer.
    End,
    /// 400 by StarRocks' frontend, which holds heads to a length, an answer by the others.
    TooLongForStarRocks,
}

/// A request whose connection ends with it.
fn head(line: &str, headers: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic cm9vdDo=\r\nConnection: close\r\n{headers}\r\n").into()
}

fn cases() -> Vec<(&'static str, Vec<u8>, Want)> {
    use Want::{Answer, End, Nothing, Status, TooLongForStarRocks};
    let put = |headers: &str| head("PUT /api/d/t/_stream_load", headers);
    let get = |headers: &str| head("GET /x", headers);
    vec![
        ("noise", b"\x00\x01\xff\xfe noise\r\n\r\n".to_vec(), Status(400)),
        ("TLS where there is none", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), Status(400)),
        ("half a line", b"GET /x HT".to_vec(), Nothing),
        ("half a head", b"GET /x HTTP/1.1\r\nHost: x\r\n".to_vec(), Nothing),
        ("only line breaks", b"\r\n\r\n\r\n".to_vec(), Nothing),
        ("no version", b"GET /x\r\n\r\n".to_vec(), Status(400)),
        ("version 3", b"GET /x HTTP/3.0\r\n\r\n".to_vec(), Status(400)),
        ("version 2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), End),
        ("a method in small letters", head("put /api/d/t/_stream_load", "Content-Length: 0\r\n"), Answer),
        ("a method that there is not", head("BREW /pot", ""), Answer),
        ("no path", head("GET", ""), Status(400)),
        ("a whole address", head("GET http://elsewhere:1/api/d/get_load_state?label=l", ""), Answer),
        ("an asterisk", head("OPTIONS *", ""), Answer),
        ("rubbish in percents", head("GET /%zz/%/%ff%00/%2e%2e/?label=%&=&&a", ""), Answer),
        ("a long line", head(&format!("GET /{}", "a".repeat(5000)), ""), TooLongForStarRocks),
        ("a line beyond 64 KiB", head(&format!("GET /{}", "a".repeat(70_000)), ""), Status(414)),
        ("a long header", get(&format!("columns: {}\r\n", "a".repeat(40_000))), TooLongForStarRocks),
        ("a header of 4 MB", get(&format!("columns: {}\r\n", "a".repeat(4_000_000))), Status(431)),
        ("100,000 headers", get(&"a: b\r\n".repeat(100_000)), Status(431)),
        ("a NUL in a header", get("label: a\0b\r\n"), Status(400)),
        (
            "a header that isn't UTF-8",
            [&b"GET /x HTTP/1.1\r\nConnection: close\r\nlabel: \xff\xfe\r\n\r\n"[..]].concat(),
            Answer,
        ),
        ("a header over two lines", get("label: a\r\n b\r\n"), Status(400)),
        ("a space before a colon", get("label : a\r\n"), Status(400)),
        ("a header without a colon", get("label\r\n"), Status(400)),
        ("lines that end with a line feed", b"GET /x HTTP/1.1\nConnection: close\n\n".to_vec(), Answer),
        ("a negative length", put("Content-Length: -1\r\n"), Status(400)),
        ("a length with a sign", put("Content-Length: +5\r\n"), Status(400)),
        ("a length of words", put("Content-Length: five\r\n"), Status(400)),
        ("an empty length", put("Content-Length:\r\n"), Status(400)),
        ("a length beyond 64 bits", put("Content-Length: 99999999999999999999\r\n"), Status(400)),
        ("two lengths", put("Content-Length: 1\r\nContent-Length: 2\r\n"), Status(400)),
        ("an encoding that there is not", put("Transfer-Encoding: gzip\r\n"), Status(400)),
        ("chunks that aren't last", put("Transfer-Encoding: chunked, gzip\r\n"), Status(400)),
        ("an expectation that there is not", get("Expect: a miracle\r\n"), Answer),
        ("a login that isn't base64", head("GET /x", "Authorization: Basic %%%\r\n"), Answer),
        ("garbage behind a request", [get(""), b"\x00garbage\r\n\r\n".to_vec()].concat(), Answer),
    ]
}

async fn check(kind: EngineKind) {
    let mut guarded = Guarded::start(kind).await;
    let sandbox = &guarded.sandbox;
    let mut wrong = Vec::new();
    for (port, address) in [
        ("frontend", sandbox.frontend),
        ("backend", sandbox.backend),
        ("admin", sandbox.admin),
        ("query", sandbox.query),
    ] {
        for (name, bytes, want) in cases() {
            let said = say(address, &bytes).await;
            if port == "query" {
                // Not its protocol: it greets, and says that it doesn't understand, or waits for the rest of a packet.
                if !said.text.contains("mysql_native_password") {
                    wrong.push(format!("{port}, {name}: {said:?}"));
                }
                continue;
            }
            let want = match want {
                Want::TooLongForStarRocks if port == "frontend" && kind == EngineKind::StarRocks => Want::Status(400),
                Want::TooLongForStarRocks => Want::Answer,
                Want::Status(_) | Want::Answer | Want::Nothing | Want::End => want,
            };
            let got = match said.status() {
                Some(status @ (400 | 414 | 431)) if said.ended => Want::Status(status),
                Some(200..=599) => Want::Answer,
                None if said.ended => Want::End,
                _ => Want::Nothing,
            };
            if got != want {
                wrong.push(format!("{port}, {name}: {got:?} and not {want:?}: {said:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
    guarded.serves("all of them").await;
    guarded.sandbox.stop().await;
}

#[tokio::test]
async fn starrocks_heads() {
    check(EngineKind::StarRocks).await;
}

#[tokio::test]
async fn doris_heads() {
    check(EngineKind::Doris).await;
}

#[tokio::test]
async fn what_starrocks_says_to_a_long_head() {
    let guarded = Guarded::start(EngineKind::StarRocks).await;
    let long = head(&format!("GET /{}", "a".repeat(5000)), "");
    let said = say(guarded.sandbox.frontend, &long).await.text;
    assert!(said.ends_with("Bad Request. <br/> An HTTP line is larger than 4096 bytes."), "{said}");
    let wide = head("GET /x", &format!("jsonpaths: {}\r\n", "a".repeat(33_000)));
    let said = say(guarded.sandbox.frontend, &wide).await.text;
    assert!(said.contains("text/html") && said.ends_with("HTTP header is larger than 32768 bytes."), "{said}");
    guarded.sandbox.stop().await;
}

#[tokio::test]
async fn clients_that_never_finish_don_t_keep_others_away() {
    let mut guarded = Guarded::start(EngineKind::Doris).await;
    let sandbox = &guarded.sandbox;
    let mut slow = Vec::new();
    for address in [sandbox.frontend, sandbox.backend, sandbox.admin, sandbox.query] {
        for round in 0..75_u8 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let begun = b"PUT /api/d/t/_stream_load HTTP/1.1\r\nHost: x\r\nlabel: l";
            stream.write_all(&begun[..begun.len().min(usize::from(round))]).await.unwrap();
            slow.push(stream);
        }
    }
    guarded.serves("300 clients that wait").await;
    // One byte more of each.
    for stream in &mut slow {
        let _ = stream.write_all(b"x").await;
    }
    guarded.serves("300 slow clients").await;
    let stopping = guarded.sandbox.stop();
    tokio::time::timeout(DEADLINE, stopping).await.expect("it stops although they are still there");
    drop(slow);
}
