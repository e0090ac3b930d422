//! Steps of a transaction that a fault of the plan changes.

use std::time::Duration;

use super::Cluster;
use crate::faults::{FaultKind, Named, current, not_committable, unclear_call};
use crate::transactions::{State, Transaction};

/// How much later than usual a transaction becomes visible.
pub(super) fn publish_delay() -> Duration {
    let millis = current(|kind| {
        if let FaultKind::PublishLate { millis } | FaultKind::PublishTimeout { millis } = kind {
            Some(*millis)
        } else {
            None
        }
    });
    Duration::from_millis(millis.unwrap_or(0))
}

/// True if who waits for rows to be visible is to be told that it takes too long.
pub(super) fn waits_in_vain() -> bool {
    current(|kind| matches!(kind, FaultKind::PublishTimeout { .. }).then_some(())).is_some()
}

impl Cluster {
    /// Table and label of a transaction that is known by its label or its id.
    pub(crate) fn named(&self, database: &str, label: &str, id: Option<i64>) -> Named {
        let ledger = self.ledger();
        let found = match id {
            Some(id) => ledger.get(id),
            None => ledger.newest(database, label),
        };
        found.map(|t| Named { table: t.table.clone(), label: t.label.clone() }).unwrap_or_default()
    }

    /// What a commit of a prepared transaction is refused with, if it is.
    pub(super) fn refuses_commit(&self, id: i64) -> Option<String> {
        self.transaction(id).filter(|t| t.state == State::Prepared)?;
        let message =
            current(
                |kind| {
                    if let FaultKind::NotCommittable { message } = kind { Some(message.clone()) } else { None }
                },
            )?;
        Some(message.unwrap_or_else(|| not_committable(self.faults.engine(), id)))
    }

    /// What a prepare that was done is answered with all the same; the one who is told so rolls it back.
    pub(super) fn undoes_prepare(&self) -> Option<String> {
        current(|kind| matches!(kind, FaultKind::PrepareUndone { .. }).then_some(()))?;
        Some(unclear_call(self.faults.engine()).to_owned())
    }

    /// The transaction as it is, if its abort is only answered; one that is put off comes by itself.
    pub(super) fn ignores_abort(&self, id: i64) -> Option<Transaction> {
        let as_it_is = self.transaction(id)?;
        if current(|kind| (*kind == FaultKind::AbortLost).then_some(())).is_some() {
            return Some(as_it_is);
        }
        if as_it_is.state != State::Prepared {
            return None;
        }
        let millis = current(|kind| if let FaultKind::PrepareUndone { millis } = kind { Some(*millis) } else { None });
        let millis = millis.filter(|millis| *millis > 0)?;
        self.faults.undo_later(id, millis);
        Some(as_it_is)
    }
}
