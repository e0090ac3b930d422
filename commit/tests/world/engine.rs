//! The engine: labels and what became of them. It keeps its word on states and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::domain::{Label, TxnId, TxnState};
use loadlock_commit::{Tag, Txn};

use crate::judge::Judge;
use crate::log::Place;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Prepared,
    Committed,
    Visible,
    Aborted,
}

struct Load {
    id: TxnId,
    table: Tag,
    stage: Stage,
    rows: BTreeSet<Place>,
    forgotten: bool,
}

#[derive(Default)]
pub(crate) struct Engine {
    loads: BTreeMap<Label, Load>,
    last_id: i64,
    forgot: u64,
}

impl Engine {
    /// Begin, load and prepare in one. A label that was ever used is refused.
    pub(crate) fn prepare(
        &mut self,
        label: &Label,
        table: Tag,
        rows: &BTreeSet<Place>,
        judge: &mut Judge,
    ) -> Option<TxnId> {
        if let Some(load) = self.loads.get(label) {
            judge.label_used_again(label);
            // An engine that still has it open takes it for the same request.
            return (load.stage == Stage::Prepared).then_some(load.id);
        }
        self.last_id += 1;
        let id = TxnId(self.last_id);
        let load = Load { id, table, stage: Stage::Prepared, rows: rows.clone(), forgotten: false };
        self.loads.insert(label.clone(), load);
        Some(id)
    }

    /// True if this made the load visible.
    pub(crate) fn commit(&mut self, txn: &Txn, judge: &mut Judge) -> bool {
        let Some(load) = self.find(txn) else { return false };
        if load.stage != Stage::Prepared {
            return false;
        }
        load.stage = Stage::Committed;
        judge.became_visible(load.table, &load.rows);
        true
    }

    /// True if this ended the load.
    pub(crate) fn abort(&mut self, txn: &Txn) -> bool {
        match self.find(txn) {
            Some(load) if load.stage == Stage::Prepared => {
                load.stage = Stage::Aborted;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(crate) fn state(&mut self, txn: &Txn) -> TxnState {
        match self.find(txn) {
            None => TxnState::Unknown,
            Some(load) if load.forgotten => TxnState::Unknown,
            Some(load) => match load.stage {
                Stage::Prepared => TxnState::Prepared,
                Stage::Committed => TxnState::Committed,
                Stage::Visible => TxnState::Visible,
                Stage::Aborted => TxnState::Aborted { reason: None },
            },
        }
    }

    /// What is so, whether or not the engine remembers it.
    pub(crate) fn had_final_word(&self, label: &Label) -> bool {
        self.loads.get(label).is_some_and(|load| load.stage != Stage::Prepared)
    }

    /// Rows of the load are, or will be, in the table.
    pub(crate) fn was_committed(&self, label: &Label) -> bool {
        self.loads.get(label).is_some_and(|load| matches!(load.stage, Stage::Committed | Stage::Visible))
    }

    /// A label that is remembered.
    pub(crate) fn any_label(&self) -> Option<String> {
        self.loads.iter().find(|(_, load)| !load.forgotten).map(|(label, _)| label.to_string())
    }

    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgot > 0
    }

    pub(crate) fn has_unpublished(&self) -> bool {
        self.loads.values().any(|load| load.stage == Stage::Committed)
    }

    /// COMMITTED becomes VISIBLE in its own time.
    pub(crate) fn publish(&mut self) {
        for load in self.loads.values_mut() {
            if load.stage == Stage::Committed {
                load.stage = Stage::Visible;
            }
        }
    }

    /// A prepared load has waited too long.
    pub(crate) fn time_out(&mut self, choice: usize) -> bool {
        let mut prepared: Vec<_> = self.loads.values_mut().filter(|load| load.stage == Stage::Prepared).collect();
        let choice = choice % prepared.len().max(1);
        let Some(load) = prepared.get_mut(choice) else { return false };
        load.stage = Stage::Aborted;
        true
    }

    /// Only what is finished is forgotten.
    pub(crate) fn forget(&mut self, choice: usize) -> bool {
        let finished = |load: &&mut Load| load.stage != Stage::Prepared && !load.forgotten;
        let mut loads: Vec<_> = self.loads.values_mut().filter(finished).collect();
        // The newest are the ones that somebody may still ask for.
        let newest = loads.len().saturating_sub(1 + choice % 3);
        let Some(load) = loads.get_mut(newest) else { return false };
        load.forgotten = true;
        self.forgot += 1;
        true
    }

    fn find(&mut self, txn: &Txn) -> Option<&mut Load> {
        self.loads.get_mut(&txn.label).filter(|load| txn.id.is_none_or(|id| id == load.id))
    }
}
