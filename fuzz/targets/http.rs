//! HTTP: whatever bytes come in at one of the three ports, there is an answer or an end, and the next client is served.
//!
//! The first byte chooses engine and port, the second how many bytes are written at a time.

use std::time::Duration;

use loadlock_sandbox::Port;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::house::{House, in_time};

/// How long a request that may be unfinished waits for an answer before the client goes away.
const PATIENCE: Duration = Duration::from_millis(20);

/// Takes one input.
pub(crate) fn run(data: &[u8]) {
    let Some(([choice, step], bytes)) = data.split_first_chunk() else { return };
    let house = House::enter();
    let port = [Port::Frontend, Port::Backend, Port::Admin][usize::from(choice >> 1) % 3];
    let sandbox = house.sandbox(*choice);
    house.runtime.block_on(async {
        let answer = exchange(sandbox.connect(port), bytes, usize::from(*step) + 1, false).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "no HTTP: {}", answer.escape_ascii());
        let next = b"GET /sandbox/faults HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let answer = exchange(sandbox.connect(Port::Admin), next, next.len(), true).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "the next client: {}", answer.escape_ascii());
        // What an input planned must not hit the next one.
        sandbox.clear_faults();
    });
}

async fn exchange(stream: DuplexStream, bytes: &[u8], step: usize, waits: bool) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        for piece in bytes.chunks(step) {
            // A server that has answered and closed doesn't read on.
            if writer.write_all(piece).await.is_err() {
                break;
            }
        }
    };
    let mut answer = Vec::new();
    let reading = async {
        let mut buffer = vec![0; 4096];
        if waits {
            return drop(reader.read_to_end(&mut answer).await);
        }
        while let Ok(Ok(read @ 1..)) = tokio::time::timeout(PATIENCE, reader.read(&mut buffer)).await {
            answer.extend_from_slice(&buffer[..read]);
        }
    };
    in_time("HTTP", async { tokio::join!(writing, reading) }).await;
    answer
}
