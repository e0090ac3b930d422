//! What happens to the cluster as a whole, at a call or at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::FaultKind;
use super::plan::Due;
use crate::admin;
use crate::cluster::Cluster;
use crate::topology::{Machines, NodeError};

/// Without anything due the plan is looked at so often all the same.
const IDLE: Duration = Duration::from_secs(3600);

/// Lets an event happen.
pub(super) async fn happen(cluster: &Arc<Cluster>, kind: &FaultKind) {
    if let FaultKind::ForgetLabels { labels, .. } = kind {
        cluster.forget_labels(labels);
    } else if let FaultKind::AdvanceClock { seconds, .. } = kind {
        admin::advance(cluster, Duration::from_secs(*seconds)).await;
    } else if let Some(machines) = cluster.faults.machines() {
        let kind = kind.clone();
        // In a task of its own: the one that asks for it may run on the node that is killed.
        let change = tokio::spawn(async move { change_node(&machines, &kind).await });
        if let Ok(Err(error)) = change.await {
            tracing::warn!(%error, "an event of the fault plan came to nothing");
        }
    }
}

async fn change_node(machines: &Machines, kind: &FaultKind) -> Result<(), NodeError> {
    if let FaultKind::Restart { role, index, .. } = kind {
        machines.restart(*role, *index).await
    } else if let FaultKind::Kill { role, index, .. } = kind {
        machines.kill(*role, *index).await
    } else if let FaultKind::Revive { role, index, .. } = kind {
        machines.start(*role, *index).await
    } else if let FaultKind::Lead { index, .. } = kind {
        machines.lead(*index).await
    } else {
        Ok(())
    }
}

/// Lets the events of the plan happen at their times.
pub(crate) async fn keep_time(cluster: Arc<Cluster>, mut stopped: watch::Receiver<bool>) {
    loop {
        let Due { events, undone, next } = cluster.faults.due(Instant::now());
        for (id, kind) in events {
            happen(&cluster, &kind).await;
            cluster.faults.happened(id);
        }
        for id in undone {
            // Refused if somebody has committed it meanwhile.
            let _ = cluster.abort(id, "rolled back by its backend").await;
        }
        let next = next.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = tokio::time::sleep_until(next.into()) => {}
            () = cluster.faults.changed.notified() => {}
            _ = stopped.changed() => return,
        }
    }
}
