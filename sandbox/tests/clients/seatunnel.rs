//! Apache SeaTunnel's Doris sink, whose writer and committer are those of Doris' Flink connector: loads that are left open
//! between two checkpoints, and a restart that finds them by their labels.

use std::time::Duration;

use loadlock_sandbox::EngineKind;

use crate::java::{ALL, in_two_phases, loaded, program, start};
use crate::shell::PASSWORD;

#[tokio::test]
async fn one_checkpoint_is_committed_and_one_is_found_and_aborted() {
    for format in ["json", "csv"] {
        let Some(mut command) = program("Checkpoints.java", "doris", "Apache SeaTunnel's Doris sink").await else {
            return;
        };
        let sandbox = start(EngineKind::Doris).await;
        command.arg(sandbox.frontend.to_string()).arg(PASSWORD).arg(format);
        let (hidden, said) = in_two_phases(command, &sandbox, ("PREPARED", 2), || loaded(&sandbox)).await;
        // The sink knows only what Doris up to 2.0 says of a load that is committed already: no more than `errCode = 2, …`.
        assert_eq!(said, "prepared Success Success true\nrefused again true\nok\n", "{format}");
        assert_eq!(hidden, ["0", "NULL"], "{format}: rows before the commit");
        let visible = async {
            while loaded(&sandbox).await != ALL {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), visible).await.expect("what was committed becomes visible");
        let mut states: Vec<_> = sandbox.transactions().into_iter().map(|txn| (txn.label, txn.state)).collect();
        states.sort();
        // The third is the probe that told it where the labels end.
        let want = [("seatunnel_1", "VISIBLE"), ("seatunnel_2", "ABORTED"), ("seatunnel_3", "ABORTED")];
        assert_eq!(states, want.map(|(label, state)| (label.to_owned(), state.to_owned())), "{format}");
        sandbox.stop().await;
    }
}
