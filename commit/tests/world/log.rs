//! The topic: what every offset holds, and how far each log has grown.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::Tag;
use loadlock_commit::domain::{Offset, Partition, Range, Ranges, Table};

use crate::rng::mix;

/// A record's place; as a row it is counted once in each table that it belongs to.
pub(crate) type Place = (Partition, Offset);

pub(crate) struct Topic {
    ends: BTreeMap<Partition, Offset>,
    start: Offset,
    last: Offset,
    tables: Vec<(Tag, Table)>,
    at_least_once: BTreeSet<Tag>,
}

impl Topic {
    /// Logs begin at `start` and will end at `last`; so much of each is there from the beginning.
    pub(crate) fn new(partitions: Partition, start: Offset, first: Offset, last: Offset) -> Self {
        let table = |name: &str| Table { database: "world".into(), name: name.into() };
        let tables = ["a", "b"].map(table).map(|table| (Tag::of_table(&table), table)).to_vec();
        Self {
            ends: (0..partitions).map(|partition| (partition, first)).collect(),
            start,
            last,
            tables,
            at_least_once: BTreeSet::new(),
        }
    }

    /// The last table refuses loads in two phases.
    pub(crate) fn with_a_table_at_least_once(mut self) -> Self {
        self.at_least_once.extend(self.tables.last().map(|(tag, _)| *tag));
        self
    }

    pub(crate) fn at_least_once(&self) -> &BTreeSet<Tag> {
        &self.at_least_once
    }

    pub(crate) fn partitions(&self) -> BTreeSet<Partition> {
        self.ends.keys().copied().collect()
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().map(|(_, table)| table)
    }

    pub(crate) fn table(&self, tag: Tag) -> Option<&Table> {
        self.tables.iter().find(|(known, _)| *known == tag).map(|(_, table)| table)
    }

    /// A producer adds a record. False if the log has its full length.
    pub(crate) fn grow(&mut self, partition: Partition) -> bool {
        match self.ends.get_mut(&partition) {
            Some(end) if *end < self.last => {
                *end += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(crate) fn is_grown(&self) -> bool {
        self.ends.values().all(|end| *end >= self.last)
    }

    pub(crate) fn end(&self, partition: Partition) -> Offset {
        self.ends.get(&partition).copied().unwrap_or(self.start)
    }

    pub(crate) fn range(&self, partition: Partition) -> Range {
        Range { start: self.start, end: self.end(partition) }
    }

    pub(crate) fn ranges(&self, partitions: &BTreeSet<Partition>) -> Ranges {
        partitions.iter().map(|partition| (*partition, self.range(*partition))).collect()
    }

    /// Tables that get a row of this offset: none for a gap of the log, a reject or a filtered record.
    pub(crate) fn rows_of(&self, (partition, offset): Place) -> impl Iterator<Item = Tag> + '_ {
        let seed = u64::try_from(offset).unwrap_or(0) * 64 + u64::try_from(partition).unwrap_or(0);
        let kind = mix(seed) % 8;
        self.tables
            .iter()
            .enumerate()
            .filter(move |(index, _)| match kind {
                0 | 1 => false,
                2 | 3 => *index == 0,
                4 => *index == 1,
                _ => true,
            })
            .map(|(_, (tag, _))| *tag)
    }
}
