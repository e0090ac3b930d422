//! One batch on its way from the first record to the stored position.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{SealedRange, Ticket};
use super::label::Tag;
use crate::domain::{Nonce, Partition, TxnId};

/// A batch in one of the two slots.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub(super) ticket: Ticket,
    pub(super) phase: Phase,
    /// Set from sealing on.
    pub(super) nonce: Option<Nonce>,
    pub(super) ranges: BTreeMap<Partition, SealedRange>,
    /// Assignment that each partition belonged to when the batch was sealed: a partition that left and came back is
    /// not the batch's any more.
    pub(super) epochs: BTreeMap<Partition, u64>,
    /// Loads in two phases, by table; what is loaded in one phase has nothing left to commit.
    pub(super) loads: BTreeMap<Tag, LoadState>,
    /// From the first moment on at which the intent may have reached the broker.
    pub(super) intent_sent: bool,
    /// Wall clock when it was prepared, milliseconds since the Unix epoch.
    pub(super) prepared_ms: i64,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// New records.
    Fresh,
    /// Rows loaded again for tables whose first load was aborted.
    Reload {
        /// The intent that this brings to its end.
        settles: Nonce,
        /// Tables that became visible under the earlier nonce.
        done: BTreeSet<Tag>,
        /// End and leader epoch of the last record, as the settled intent has them.
        bounds: BTreeMap<Partition, SealedRange>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Phase {
    /// Records are being added.
    Filling,
    /// Sealed; part of it becomes visible when it is prepared, which has to wait for the batch before.
    Sealed,
    /// Sealed; the engine is preparing.
    Preparing,
    /// Prepared in all its tables.
    Prepared,
    /// The intent is on its way to the group, or being read back.
    Recording,
    /// The intent is stored: the loads are being committed.
    Committing,
    /// Everything is visible: the end positions are on their way.
    Advancing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LoadState {
    pub(super) id: Option<TxnId>,
    pub(super) visible: bool,
    /// Commits sent.
    pub(super) commits: u32,
    /// Questions asked since the last commit.
    pub(super) asks: u32,
    pub(super) not_committable: bool,
}

impl Batch {
    pub(super) fn filling(ticket: Ticket, kind: Kind) -> Self {
        Self {
            ticket,
            phase: Phase::Filling,
            nonce: None,
            ranges: BTreeMap::new(),
            epochs: BTreeMap::new(),
            loads: BTreeMap::new(),
            intent_sent: false,
            prepared_ms: 0,
            kind,
        }
    }

    /// True until the intent may have been sent: the batch can be dropped and read again from its own start.
    pub(super) fn before_intent(&self) -> bool {
        self.phase < Phase::Recording
    }

    /// True if there is anything to commit.
    pub(super) fn has_rows(&self) -> bool {
        !self.loads.is_empty()
    }

    pub(super) fn touches_any(&self, partitions: &BTreeSet<Partition>) -> bool {
        self.phase == Phase::Filling || self.ranges.keys().any(|partition| partitions.contains(partition))
    }
}
