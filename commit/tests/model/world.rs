//! What a small world is made of: its size, and how often each fault may happen in it.

use std::sync::OnceLock;

use loadlock_commit::domain::{Nonce, Offset, Partition, Table, TxnId};
use loadlock_commit::{Settings, StartWish, Tag, Txn};

use crate::fault::{Budget, Fault};

/// Number of a table in its world.
pub(crate) type TableNumber = usize;

/// A small world. Everything that is not a fault may always happen; a fault as often as its budget says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    /// The member that owns each partition in the beginning.
    pub(crate) owners: &'static [usize],
    pub(crate) members: usize,
    /// Records of every partition.
    pub(crate) records: Offset,
    pub(crate) tables: usize,
    /// Records of a partition in one batch.
    pub(crate) batch: Offset,
    /// A batch may also be sealed with only one of the partitions that have records.
    pub(crate) apart: bool,
    /// Records that make no row.
    pub(crate) blank: &'static [(Partition, Offset)],
    /// The engine commits by transaction id.
    pub(crate) ids: bool,
    /// The group stores nothing yet.
    pub(crate) start: Option<StartWish>,
    /// Records that come later.
    pub(crate) later: Offset,
    /// Nothing has happened yet: the first assignment has still to be heard.
    pub(crate) cold: bool,
    pub(crate) faults: &'static [(Fault, u8)],
    /// Faults of the soak; the others stay as they are.
    pub(crate) soak: &'static [(Fault, u8)],
}

/// The plain world, from which the others differ.
pub(crate) const PLAIN: World = World {
    name: "plain",
    owners: &[0],
    members: 1,
    records: 1,
    tables: 1,
    batch: 1,
    apart: false,
    blank: &[],
    ids: false,
    start: None,
    later: 0,
    cold: false,
    faults: &[],
    soak: &[],
};

/// Name of the tables.
const NAMES: [&str; 3] = ["a", "b", "c"];

impl World {
    pub(crate) fn partitions(&self) -> impl Iterator<Item = Partition> + use<> {
        (0..self.owners.len()).filter_map(|partition| Partition::try_from(partition).ok())
    }

    pub(crate) fn table_numbers(&self) -> std::ops::Range<TableNumber> {
        0..self.tables
    }

    fn table(number: TableNumber) -> Table {
        Table { database: "m".into(), name: NAMES.get(number).copied().unwrap_or("z").into() }
    }

    pub(crate) fn number(&self, table: &Table) -> TableNumber {
        NAMES.iter().position(|name| *name == &*table.name).unwrap_or(self.tables)
    }

    /// Tables that get a row of this record.
    pub(crate) fn makes_row(&self, place: (Partition, Offset)) -> bool {
        !self.blank.contains(&place)
    }

    /// End of every log in the beginning.
    pub(crate) fn first_end(&self) -> Offset {
        self.records - self.later
    }

    /// Where the pipeline starts that has no position.
    pub(crate) fn start_at(&self) -> Offset {
        if self.start == Some(StartWish::Latest) { self.first_end() } else { 0 }
    }

    pub(crate) fn settings(&self, mapping: u8) -> Settings {
        Settings {
            pipeline: Tag(1),
            topic: "model".to_owned(),
            tables: self.table_numbers().map(Self::table).collect(),
            at_least_once: std::collections::BTreeSet::new(),
            mapping: Tag(7 + u32::from(mapping)),
            start: self.start.unwrap_or(StartWish::Committed),
        }
    }

    pub(crate) fn budget(&self, soak: bool) -> Budget {
        let mut budget = Budget::default();
        for (fault, times) in self.faults {
            budget.set(*fault, *times);
        }
        for (fault, times) in self.soak.iter().filter(|_| soak) {
            budget.set(*fault, *times);
        }
        budget
    }
}

/// Tags of all tables, by number.
pub(crate) fn all_tags() -> &'static [Tag] {
    static TAGS: OnceLock<Vec<Tag>> = OnceLock::new();
    TAGS.get_or_init(|| (0..NAMES.len()).map(|number| Tag::of_table(&World::table(number))).collect())
}

pub(crate) fn number_of(tag: Tag) -> TableNumber {
    all_tags().iter().position(|known| *known == tag).unwrap_or(NAMES.len())
}

pub(crate) fn tag_of(number: TableNumber) -> Tag {
    all_tags().get(number).copied().unwrap_or(Tag(0))
}

/// Nonce and table of a load, as its label and its id name them.
pub(crate) fn named(txn: &Txn, world: &World) -> (Nonce, TableNumber) {
    let nonce = txn.label.0.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or(Nonce(0));
    (nonce, world.number(&txn.table))
}

/// The engine's number of a load.
pub(crate) fn id_of(nonce: Nonce, table: TableNumber) -> TxnId {
    TxnId(i64::try_from(nonce.0 * 8 + table as u128).unwrap_or(0))
}
