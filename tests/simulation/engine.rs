//! The engine: labels and what became of them. It keeps its word on states and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use loadlock::commit::Tag;
use loadlock::domain::{Label, Partition, TxnId, TxnState};

use crate::judge::Judge;
use crate::log::Place;
use crate::mutant::Mutant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Loading,
    Prepared,
    Committed,
    Visible,
    Aborted,
}

pub(crate) struct Load {
    pub(crate) id: TxnId,
    table: Tag,
    pub(crate) stage: Stage,
    rows: BTreeSet<Place>,
    pub(crate) written: usize,
    forgotten: bool,
    /// What somebody was told of it last: an engine that is believed.
    told: Option<TxnState>,
}

/// How a request names its transaction.
#[derive(Clone, Debug, Hash)]
pub(crate) enum Named {
    Label(Label),
    Id(TxnId),
}

/// A request that the engine refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum No {
    Exists,
    NotFound,
    Is(Stage),
    NotCommittable,
}

#[derive(Default)]
pub(crate) struct Engine {
    loads: BTreeMap<Label, Load>,
    last_id: i64,
    forgot: u64,
    /// For a while prepared loads can't be committed.
    pub(crate) uncommittable: bool,
    /// It was so once.
    pub(crate) was_uncommittable: bool,
    mutant: Option<Mutant>,
}

impl Engine {
    pub(crate) fn new(mutant: Option<Mutant>) -> Self {
        Self { mutant, ..Self::default() }
    }

    /// Opens a load. A label that was ever used is refused.
    pub(crate) fn begin(&mut self, label: &Label, table: Tag, judge: &mut Judge) -> Result<TxnId, No> {
        if self.loads.contains_key(label) {
            judge.label_used_again(label);
            return Err(No::Exists);
        }
        self.last_id += 1;
        let id = TxnId(self.last_id);
        let load =
            Load { id, table, stage: Stage::Loading, rows: BTreeSet::new(), written: 0, forgotten: false, told: None };
        self.loads.insert(label.clone(), load);
        Ok(id)
    }

    pub(crate) fn write(&mut self, label: &Label, rows: &[Place], judge: &mut Judge) -> Result<(), No> {
        let load = self.find(&Named::Label(label.clone())).ok_or(No::NotFound)?;
        if load.stage != Stage::Loading {
            return Err(No::Is(load.stage));
        }
        load.written += rows.len();
        for place in rows {
            if !load.rows.insert(*place) {
                judge.broken("EO-1", format!("{place:?} stands twice in load {label}"));
            }
        }
        Ok(())
    }

    pub(crate) fn prepare(&mut self, label: &Label) -> Result<&Load, No> {
        let load = self.find(&Named::Label(label.clone())).ok_or(No::NotFound)?;
        match load.stage {
            Stage::Loading => {
                load.stage = Stage::Prepared;
                Ok(load)
            }
            stage @ (Stage::Prepared | Stage::Committed | Stage::Visible | Stage::Aborted) => Err(No::Is(stage)),
        }
    }

    /// A body was torn off: Doris ends the load, StarRocks only forgets the rows of that body.
    pub(crate) fn torn(&mut self, label: &Label) {
        if let Some(load) = self.find(&Named::Label(label.clone())).filter(|load| load.stage == Stage::Loading) {
            load.stage = Stage::Aborted;
        }
    }

    /// Makes a load visible; true if this did it.
    pub(crate) fn commit(&mut self, named: &Named, judge: &mut Judge) -> Result<bool, No> {
        let uncommittable = self.uncommittable;
        let load = self.find(named).ok_or(No::NotFound)?;
        match load.stage {
            Stage::Prepared if uncommittable => Err(No::NotCommittable),
            Stage::Prepared => {
                load.stage = Stage::Committed;
                judge.became_visible(load.table, &load.rows);
                Ok(true)
            }
            Stage::Committed | Stage::Visible => Ok(false),
            stage @ (Stage::Loading | Stage::Aborted) => Err(No::Is(stage)),
        }
    }

    /// True if this ended the load.
    pub(crate) fn abort(&mut self, named: &Named) -> Result<bool, No> {
        let load = self.find(named).ok_or(No::NotFound)?;
        match load.stage {
            Stage::Loading | Stage::Prepared => {
                load.stage = Stage::Aborted;
                Ok(true)
            }
            Stage::Aborted => Ok(false),
            stage @ (Stage::Committed | Stage::Visible) => Err(No::Is(stage)),
        }
    }

    /// What a caller was told about a commit or an abort.
    pub(crate) fn told(&mut self, named: &Named, state: TxnState) {
        if let Some(load) = self.find(named) {
            load.told = Some(state);
        }
    }

    pub(crate) fn state(&mut self, label: &Label) -> TxnState {
        let mutant = self.mutant;
        let Some(load) = self.find(&Named::Label(label.clone())) else { return TxnState::Unknown };
        let state = match load.stage {
            Stage::Loading => TxnState::Loading,
            Stage::Prepared => TxnState::Prepared,
            Stage::Committed => TxnState::Committed,
            Stage::Visible => TxnState::Visible,
            Stage::Aborted => TxnState::Aborted { reason: None },
        };
        match (mutant, &load.told) {
            (Some(Mutant::CommitIsBelieved), Some(TxnState::Visible)) => TxnState::Visible,
            (Some(Mutant::AbortIsBelieved), Some(aborted @ TxnState::Aborted { .. })) => aborted.clone(),
            (Some(_) | None, _) => state,
        }
    }

    /// What is so, whether or not the engine remembers it.
    pub(crate) fn had_final_word(&self, label: &Label) -> bool {
        self.loads.get(label).is_some_and(|load| match load.stage {
            Stage::Committed | Stage::Visible | Stage::Aborted => true,
            Stage::Loading | Stage::Prepared => false,
        })
    }

    pub(crate) fn has_forgotten(&self) -> bool {
        self.forgot > 0
    }

    /// COMMITTED becomes VISIBLE in its own time.
    pub(crate) fn publish(&mut self) {
        for load in self.loads.values_mut() {
            if load.stage == Stage::Committed {
                load.stage = Stage::Visible;
            }
        }
    }

    /// A frontend starts anew: what was not prepared is gone.
    pub(crate) fn restart(&mut self) -> usize {
        let mut lost = 0;
        for load in self.loads.values_mut().filter(|load| load.stage == Stage::Loading) {
            load.stage = Stage::Aborted;
            load.forgotten = true;
            lost += 1;
        }
        lost
    }

    /// A prepared load has waited too long.
    pub(crate) fn time_out(&mut self, choice: usize) -> bool {
        self.pick(choice, |load| load.stage == Stage::Prepared, |load| load.stage = Stage::Aborted)
    }

    /// Only what is finished is forgotten; the newest are the ones that somebody may still ask for.
    pub(crate) fn forget(&mut self, choice: usize) -> bool {
        let finished = |load: &Load| match load.stage {
            Stage::Committed | Stage::Visible | Stage::Aborted => !load.forgotten,
            Stage::Loading | Stage::Prepared => false,
        };
        let forgot = self.pick(choice, finished, |load| load.forgotten = true);
        self.forgot += u64::from(forgot);
        forgot
    }

    /// One of the newest that are so.
    fn pick(&mut self, choice: usize, wanted: impl Fn(&Load) -> bool, act: impl Fn(&mut Load)) -> bool {
        let mut loads: Vec<_> = self.loads.values_mut().filter(|load| wanted(load)).collect();
        loads.sort_by_key(|load| std::cmp::Reverse(load.id));
        let choice = choice % loads.len().clamp(1, 4);
        loads.get_mut(choice).map(|load| act(load)).is_some()
    }

    /// Partitions that a load has rows of, and the load's label.
    pub(crate) fn partitions(&self, named: &Named) -> Option<(Label, BTreeSet<Partition>)> {
        let (label, load) = match named {
            Named::Label(label) => self.loads.get_key_value(label)?,
            Named::Id(id) => self.loads.iter().find(|(_, load)| load.id == *id)?,
        };
        Some((label.clone(), load.rows.iter().map(|(partition, _)| *partition).collect()))
    }

    fn find(&mut self, named: &Named) -> Option<&mut Load> {
        let load = match named {
            Named::Label(label) => self.loads.get_mut(label),
            Named::Id(id) => self.loads.values_mut().find(|load| load.id == *id),
        };
        load.filter(|load| !load.forgotten)
    }
}
