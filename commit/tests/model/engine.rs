//! The engine: labels and what became of them.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::Txn;
use loadlock_commit::domain::{Nonce, Partition, Range, TxnState};
use loadlock_commit::invariants;

use crate::world::{TableNumber, World, named};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    Prepared,
    Visible,
    Aborted,
}

/// One load. COMMITTED is VISIBLE here: both are final, and the protocol makes no difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Load {
    pub(crate) stage: Stage,
    pub(crate) rows: BTreeMap<Partition, Range>,
    pub(crate) forgotten: bool,
    /// Can never be committed.
    pub(crate) stuck: bool,
    /// Partitions whose position has carried the intent of this load.
    pub(crate) recorded: BTreeSet<Partition>,
    /// What its rows were made of.
    pub(crate) origin: Origin,
}

/// What rows are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// How often the topic was created again.
    pub(crate) topic: u8,
    /// How often the log was rewritten.
    pub(crate) epoch: u8,
    /// Which mapping made the rows.
    pub(crate) mapping: u8,
}

impl Load {
    /// What an engine that remembers would say.
    fn truth(&self) -> TxnState {
        match self.stage {
            Stage::Prepared => TxnState::Prepared,
            Stage::Visible => TxnState::Visible,
            Stage::Aborted => TxnState::Aborted { reason: None },
        }
    }

    pub(crate) fn is_final(&self) -> bool {
        invariants::is_final(&self.truth())
    }
}

/// Loads that somebody may still name, by nonce and table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Engine {
    pub(crate) loads: BTreeMap<(u8, TableNumber), Load>,
}

pub(crate) type Name = (u8, TableNumber);

/// Name of a load in the engine.
pub(crate) fn name(nonce: Nonce, table: TableNumber) -> Name {
    (u8::try_from(nonce.0).unwrap_or(u8::MAX), table)
}

pub(crate) fn name_of(txn: &Txn, world: &World) -> Name {
    let (nonce, table) = named(txn, world);
    name(nonce, table)
}

impl Engine {
    /// False if the label was used before.
    pub(crate) fn prepare(&mut self, name: Name, rows: BTreeMap<Partition, Range>, origin: Origin) -> bool {
        let recorded = BTreeSet::new();
        let load = Load { stage: Stage::Prepared, rows, forgotten: false, stuck: false, recorded, origin };
        if self.loads.contains_key(&name) {
            return false;
        }
        self.loads.insert(name, load);
        true
    }

    /// The load that this made visible.
    pub(crate) fn commit(&mut self, name: Name) -> Option<&Load> {
        let load = self.loads.get_mut(&name).filter(|load| load.stage == Stage::Prepared && !load.stuck)?;
        load.stage = Stage::Visible;
        Some(load)
    }

    pub(crate) fn abort(&mut self, name: Name) {
        if let Some(load) = self.loads.get_mut(&name).filter(|load| load.stage == Stage::Prepared) {
            load.stage = Stage::Aborted;
        }
    }

    pub(crate) fn state(&self, name: Name) -> TxnState {
        match self.loads.get(&name) {
            None => TxnState::Unknown,
            Some(load) if load.forgotten => TxnState::Unknown,
            Some(load) => load.truth(),
        }
    }

    /// A request that could still change something.
    pub(crate) fn is_open(&self, name: Name) -> bool {
        self.loads.get(&name).is_some_and(|load| load.stage == Stage::Prepared)
    }

    pub(crate) fn had_final_word(&self, name: Name) -> bool {
        self.loads.get(&name).is_some_and(Load::is_final)
    }

    pub(crate) fn names(&self, wanted: impl Fn(&Load) -> bool) -> Vec<Name> {
        self.loads.iter().filter(|(_, load)| wanted(load)).map(|(name, _)| *name).collect()
    }
}
