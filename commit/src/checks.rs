//! The invariants that one process can see, asked of the protocol's state at the moment before they could be broken.

use std::collections::BTreeMap;

use super::batch::{Batch, Kind, Phase};
use super::event::{Stop, StopCode};
use super::invariants::{self, Invariant};
use super::protocol::Protocol;
use super::record::Purpose;
use crate::domain::{Nonce, Offset, Partition};
use crate::metadata::Metadata;

impl Protocol {
    /// Counts the check, and stops the pipeline if it failed.
    pub(super) fn must(&mut self, invariant: Invariant, found: bool, what: impl FnOnce() -> String) -> bool {
        let holds = invariant.holds(found);
        if !holds {
            let what = format!("{} ({invariant})", what());
            self.stop_now(Stop { code: StopCode::Invariant, what });
        }
        holds
    }

    /// EO-3: every partition of the batch that is still its own carries the batch's intent.
    pub(super) fn intent_is_stored(&self, batch: &Batch) -> bool {
        let carries = |partition: &Partition| {
            let Some(owned) = self.owned.get(partition) else { return true };
            let carried = owned.metadata.intent.as_ref().map(|intent| intent.nonce);
            batch.epochs.get(partition) != Some(&owned.epoch) || carried == batch.nonce
        };
        batch.phase == Phase::Committing && batch.ranges.keys().all(carries)
    }

    /// EO-7: every partition of the batch is owned, and has been since the batch was sealed.
    pub(super) fn is_all_ours(&self, batch: &Batch) -> bool {
        let ours = |partition: &Partition| self.owned.get(partition).map(|owned| &owned.epoch);
        batch.ranges.keys().all(|partition| ours(partition).is_some() && ours(partition) == batch.epochs.get(partition))
    }

    /// EO-4: labels are made of nonces, and this one stands in nothing that is known.
    pub(super) fn is_new(&self, nonce: Nonce) -> bool {
        let known = |metadata: &Metadata| {
            metadata.trail == Some(nonce) || metadata.intent.as_ref().is_some_and(|intent| intent.nonce == nonce)
        };
        !self.batches.iter().any(|batch| batch.nonce == Some(nonce))
            && !self.owned.values().any(|owned| known(&owned.metadata))
    }

    /// EO-5, EO-7, EO-8: may these positions be stored?
    pub(super) fn may_be_stored(
        &mut self,
        purpose: Purpose,
        positions: &BTreeMap<Partition, (Offset, Metadata)>,
    ) -> bool {
        positions.iter().all(|(partition, (offset, metadata))| {
            let owned = self.owned.get(partition);
            let (ours, stored) = (owned.is_some(), owned.and_then(|owned| owned.stored));
            let then = owned.and_then(|owned| owned.metadata.intent.as_ref()).map(|intent| intent.nonce);
            let now = metadata.intent.as_ref().map(|intent| intent.nonce);
            let settled = then.is_none() || then == now || then.is_some_and(|then| self.is_settled(purpose, then));
            let back = stored.is_none_or(|stored| invariants::never_back(stored, *offset));
            self.must(Invariant::OwnedOnly, ours, || format!("partition {partition} was given up"))
                && self.must(Invariant::NeverBack, back, || {
                    format!("partition {partition} was to be moved back to {offset}")
                })
                && self.must(Invariant::FinalWordFirst, settled, || {
                    format!("the intent of partition {partition} was to be replaced before it is settled")
                })
        })
    }

    /// The engine has had its final word on every table of this intent that the intent does not list as done.
    fn is_settled(&self, purpose: Purpose, nonce: Nonce) -> bool {
        let reloads = |batch: &Batch| matches!(&batch.kind, Kind::Reload { settles, .. } if *settles == nonce);
        match purpose {
            Purpose::First => false,
            Purpose::Intent => self.batches.front().is_some_and(reloads),
            Purpose::Advance => self.batches.front().is_some_and(|batch| {
                let visible = batch.loads.values().all(|load| load.visible);
                (batch.nonce == Some(nonce) && visible) || (reloads(batch) && !batch.has_rows())
            }),
            Purpose::Settled => self.settlement.as_ref().is_some_and(|settlement| settlement.is_visible(nonce)),
        }
    }
}
