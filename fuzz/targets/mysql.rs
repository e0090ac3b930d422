//! MySQL packets: whatever comes, before or behind a login, there is an answer or an end, and the next client is served.
//!
//! The first byte chooses engine, whether there is a login first, and whether the rest is raw or cut into packets, each a
//! length and that many bytes.

use loadlock_sandbox::Port;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::house::{Client, House, in_time};

/// Takes one input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    let house = House::enter();
    let sandbox = house.sandbox(*choice);
    let (logs_in, is_raw) = (choice & 2 == 0, choice & 4 != 0);
    let bytes = if is_raw { bytes.to_vec() } else { packets(bytes, u8::from(!logs_in)) };
    house.runtime.block_on(async {
        let connection = sandbox.connect(Port::Query);
        let stream = if logs_in { Client::log_in(connection).await.stream } else { connection };
        let (mut reader, mut writer) = tokio::io::split(stream);
        let writing = async {
            // A server that has closed doesn't read on.
            let _ = writer.write_all(&bytes).await;
            let _ = writer.shutdown().await;
        };
        let mut answer = Vec::new();
        in_time("packets", async { tokio::join!(writing, reader.read_to_end(&mut answer)) }).await.1.unwrap();
        let mut next = Client::log_in(sandbox.connect(Port::Query)).await;
        next.command(3, b"SELECT 1").await;
        next.answer().await;
    });
}

/// Packets of commands, each with the sequence number that its beginning has.
fn packets(mut bytes: &[u8], sequence: u8) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        out.extend_from_slice(&[payload.len().to_le_bytes()[0], 0, 0, sequence]);
        out.extend_from_slice(payload);
        bytes = rest;
    }
    out
}
