//! Step 3: which partitions are read, from where, and for which batch.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Batch, Kind, Phase};
use super::event::{Effect, Fill, Reload, SealedRange, Ticket};
use super::label::Tag;
use super::protocol::{Protocol, Standing};
use crate::domain::{Nonce, Offset, Partition};

/// Two batches: one on its way through prepare and commit, one being filled or prepared (rule 14).
const BATCHES_MAX: usize = 2;

impl Protocol {
    pub(super) fn fill(&mut self) {
        let room =
            self.batches.len() < BATCHES_MAX && self.batches.back().is_none_or(|batch| batch.phase != Phase::Filling);
        if self.draining || !room || self.is_reloading() || self.settlement.is_some() || self.has_unsettled() {
            return;
        }
        if self.flowing {
            let ticket = self.open_batch(Kind::Fresh);
            return self.emit(Effect::NextFill { ticket });
        }
        let starts = self.starts_of_ready();
        if !starts.is_empty() {
            let ticket = self.open_batch(Kind::Fresh);
            self.flowing = true;
            self.emit(Effect::Fill(Fill { ticket, starts, reload: None, failures: self.failures }));
        }
    }

    /// Reads exactly these ranges again, for these tables only.
    pub(super) fn fill_again(
        &mut self,
        settles: Nonce,
        bounds: BTreeMap<Partition, SealedRange>,
        done: BTreeSet<Tag>,
        tables: BTreeSet<Tag>,
    ) {
        let starts = bounds.iter().map(|(partition, sealed)| (*partition, sealed.range.start)).collect();
        let ends = bounds.iter().map(|(partition, sealed)| (*partition, sealed.range.end)).collect();
        let ticket = self.open_batch(Kind::Reload { settles, done, bounds });
        let reload = Some(Reload { ends, tables });
        self.flowing = true;
        self.emit(Effect::Fill(Fill { ticket, starts, reload, failures: self.failures }));
    }

    pub(super) fn is_reloading(&self) -> bool {
        self.batches.iter().any(|batch| matches!(batch.kind, Kind::Reload { .. }))
    }

    fn open_batch(&mut self, kind: Kind) -> Ticket {
        let ticket = self.ticket();
        self.batches.push_back(Batch::filling(ticket, kind));
        ticket
    }

    fn starts_of_ready(&self) -> BTreeMap<Partition, Offset> {
        self.owned
            .iter()
            .filter(|(partition, owned)| owned.standing == Standing::Ready && !self.leaving.contains(partition))
            .map(|(partition, owned)| (*partition, owned.next))
            .collect()
    }

    /// Partitions that became ready are read too: beside the others if reading goes on, else with the next fill. A
    /// reload takes nobody in: its other tables get no rows.
    pub(super) fn join(&mut self, mut starts: BTreeMap<Partition, Offset>) {
        starts.retain(|partition, _| !self.leaving.contains(partition));
        if self.flowing && !self.is_reloading() && !starts.is_empty() {
            self.emit(Effect::Join { starts });
        }
    }

    /// An intent was found: what is being filled gives way; what is sealed, or settles another, goes its way first.
    pub(super) fn give_way(&mut self) {
        if !self.is_reloading() {
            self.stop_reading();
        }
    }

    pub(super) fn stop_reading(&mut self) {
        if self.batches.back().is_some_and(|batch| batch.phase == Phase::Filling) {
            let Some(batch) = self.batches.pop_back() else { return };
            self.emit(Effect::Abandon { ticket: batch.ticket, loads: Vec::new() });
        }
        if self.flowing {
            self.flowing = false;
            self.emit(Effect::Hold);
        }
    }

    pub(super) fn has_unsettled(&self) -> bool {
        self.owned.values().any(|owned| owned.standing == Standing::Unsettled)
    }
}
