//! SQL: a statement gives an answer or an error, and the connection goes on.
//!
//! The first byte chooses the engine, the rest is the statement.

use loadlock_sandbox::Port;

use super::house::{Client, House};

/// Takes one input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, statement)) = data.split_first() else { return };
    let house = House::enter();
    let sandbox = house.sandbox(*choice);
    house.runtime.block_on(async {
        let mut client = Client::log_in(sandbox.connect(Port::Query)).await;
        client.command(2, b"d").await;
        client.answer().await;
        client.command(3, statement).await;
        client.answer().await;
        client.command(0x0e, b"").await;
        assert_eq!(client.read().await[0], 0, "a ping behind it");
    });
}
