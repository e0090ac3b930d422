//! StarRocks' own loader for Java, which its Flink connector is made of: the protocol as StarRocks' authors speak it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use loadlock_sandbox::{EngineKind, Sandbox};

use crate::java::{program, start};
use crate::shell::{PASSWORD, output};

/// Longest wait for a prepared transaction.
const DEADLINE: Duration = Duration::from_secs(60);

const WHAT: &str = "StarRocks' stream load SDK";

/// Number of rows and sum of their amounts, as `Load.java` makes them.
const ALL: [&str; 2] = ["1000", "499750.00"];

async fn loaded(sandbox: &Sandbox) -> Vec<String> {
    let sql = "SELECT count(*), sum(amount) FROM shop.orders";
    let mut client = crate::client::Client::log_in(sandbox.query, "root", PASSWORD, "").await.unwrap();
    client
        .query(sql)
        .await
        .lines()
        .iter()
        .flat_map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

async fn arguments(sandbox: &Sandbox, how: [&str; 2]) -> Option<std::process::Command> {
    let mut command = program("Load.java", WHAT).await?;
    command.arg(format!("http://{}", sandbox.frontend)).arg(sandbox.query.to_string()).arg(PASSWORD).args(how);
    Some(command)
}

/// Prepared rows are durable and invisible until the loader commits them.
#[tokio::test]
async fn transactions_are_prepared_and_committed() {
    for format in ["json", "csv"] {
        let sandbox = start(EngineKind::StarRocks).await;
        let Some(mut command) = arguments(&sandbox, ["transactions", format]).await else { return };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + DEADLINE;
        let prepared = loop {
            let open: Vec<String> = sandbox.transactions().into_iter().map(|txn| txn.state).collect();
            let ended = child.try_wait().unwrap().is_some();
            if ended || Instant::now() > deadline || open.contains(&"PREPARED".to_owned()) {
                break open;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let hidden = loaded(&sandbox).await;
        drop(child.stdin.take());
        let ran = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert_eq!(said, "prepared 1\nok\n", "{format}");
        assert_eq!(prepared, ["PREPARED"], "{format}");
        assert_eq!(hidden, ["0", "NULL"], "{format}: rows before the commit");
        assert_eq!(loaded(&sandbox).await, ALL, "{format}");
        assert!(sandbox.transactions().iter().all(|txn| txn.state == "VISIBLE"), "{:?}", sandbox.transactions());
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn loads_in_one_phase() {
    for format in ["json", "csv"] {
        let sandbox = start(EngineKind::StarRocks).await;
        let Some(command) = arguments(&sandbox, ["stream-load", format]).await else { return };
        let ran = output(command).await.expect("java");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert_eq!(said, "ok\n", "{format}");
        assert_eq!(loaded(&sandbox).await, ALL, "{format}");
        sandbox.stop().await;
    }
}
