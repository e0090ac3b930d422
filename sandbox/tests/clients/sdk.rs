//! StarRocks' own loader for Java, which its Flink connector is made of: the protocol as StarRocks' authors speak it.

use std::process::Command;

use loadlock_sandbox::{EngineKind, Sandbox};

use crate::java::{ALL, in_two_phases, loaded, program, start};
use crate::shell::{PASSWORD, output};

async fn prepared(sandbox: &Sandbox, how: [&str; 2]) -> Option<Command> {
    let mut command = program("Load.java", "starrocks", "StarRocks' stream load SDK").await?;
    command.arg(format!("http://{}", sandbox.frontend)).arg(sandbox.query.to_string()).arg(PASSWORD).args(how);
    Some(command)
}

/// Prepared rows are durable and invisible until the loader commits them.
#[tokio::test]
async fn transactions_are_prepared_and_committed() {
    for format in ["json", "csv"] {
        let sandbox = start(EngineKind::StarRocks).await;
        let Some(command) = prepared(&sandbox, ["transactions", format]).await else { return };
        let (hidden, said) = in_two_phases(command, &sandbox, ("PREPARED", 1), || loaded(&sandbox)).await;
        assert_eq!(said, "prepared 1\nok\n", "{format}");
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
        let Some(command) = prepared(&sandbox, ["stream-load", format]).await else { return };
        let ran = output(command).await.expect("java");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert_eq!(said, "ok\n", "{format}");
        assert_eq!(loaded(&sandbox).await, ALL, "{format}");
        sandbox.stop().await;
    }
}
