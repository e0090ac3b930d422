//! Bad input at every port: an answer or an end, no row lost, and the next client is served.

mod bodies;
mod heads;
mod rows;

use std::net::SocketAddr;
use std::time::Duration;

use loadlock_sandbox::{EngineKind, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Client, DEADLINE, one};

/// Tables with columns of the kinds that take much.
const DDL: &str = "CREATE TABLE d.good (id BIGINT) DUPLICATE KEY(id);
    CREATE TABLE d.t (id BIGINT, v STRING, j JSON, a ARRAY<INT>, m MAP<STRING, INT>, n DECIMAL(38,9), f DOUBLE,
        s SMALLINT, at DATETIME) DUPLICATE KEY(id)";
/// How long a connection may say nothing until it counts as waiting.
const SILENCE: Duration = Duration::from_millis(300);

/// A sandbox, and how many rows it has been given for good.
struct Guarded {
    sandbox: Sandbox,
    good: u64,
}

impl Guarded {
    async fn start(kind: EngineKind) -> Self {
        crate::watch::panics_are_fatal();
        let sandbox = Sandbox::builder(kind).ddl(DDL).account("root", "").start().await.unwrap();
        Self { sandbox, good: 0 }
    }

    /// Loads a row, and counts all that were loaded before.
    async fn serves(&mut self, behind: &str) {
        self.good += 1;
        let client = Client(&self.sandbox);
        let label = format!("good-{}", self.good);
        let headers = [("label", label.as_str()), ("format", "json"), ("expect", "100-continue")];
        let headers = [&headers[..], &[("read_json_by_line", "true")]].concat();
        let answer = client.send(hyper::Method::PUT, "/api/d/good/_stream_load", &headers, "{\"id\":1}").await;
        assert_eq!(answer.unwrap_or_else(|e| panic!("behind {behind}: {e}")).field("Status"), "Success", "{behind}");
        assert_eq!(one(&self.sandbox, "SELECT count(*) FROM d.good").await, self.good.to_string(), "{behind}");
    }
}

/// What a server said, and whether it closed the connection.
#[derive(Debug)]
struct Said {
    text: String,
    ended: bool,
}

impl Said {
    /// The status of the first answer that is none of `100 Continue`.
    fn status(&self) -> Option<u16> {
        let answers = self.text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok());
        answers.into_iter().find(|status| *status != 100)
    }
}

/// Writes everything and reads until the server ends the connection or says nothing more.
async fn say(address: SocketAddr, bytes: &[u8]) -> Said {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let bytes = bytes.to_vec();
    let writing = tokio::spawn(async move {
        // The server may have answered and closed by then.
        let _ = writer.write_all(&bytes).await;
        writer
    });
    let said = listen(&mut reader).await;
    writing.abort();
    said
}

async fn listen(reader: &mut (impl AsyncReadExt + Unpin)) -> Said {
    let mut said = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let started = std::time::Instant::now();
    let ended = loop {
        match tokio::time::timeout(SILENCE, reader.read(&mut buffer)).await {
            Ok(Ok(read @ 1..)) => said.extend_from_slice(&buffer[..read]),
            // Closed, or reset because it had not read all.
            Ok(Ok(0) | Err(_)) => break true,
            // Somebody who has said something has said all.
            Err(_) if !said.is_empty() || started.elapsed() > SILENCE * 3 => break false,
            Err(_) => {}
        }
        assert!(started.elapsed() < DEADLINE, "it goes on for ever: {}", said.escape_ascii());
    };
    Said { text: String::from_utf8_lossy(&said).into_owned(), ended }
}
