//! The topic: what every offset holds, and how far each log has grown.

use std::collections::{BTreeMap, BTreeSet};

use loadlock::commit::Tag;
use loadlock::domain::{Offset, Partition, Range, Table};

use crate::climate::Climate;
use crate::rng::mix;

/// A record's place; as a row it is counted once in each table that it belongs to.
pub(crate) type Place = (Partition, Offset);

/// What an offset holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No record: compacted, or a control record.
    Gap,
    /// A row of both tables.
    Good,
    /// A row of the first table, rejected for the second.
    HalfBad,
    /// Rejected for both.
    Bad,
}

pub(crate) struct Topic {
    ends: BTreeMap<Partition, Offset>,
    start: Offset,
    last: Offset,
    salt: u64,
    bad: u64,
    tables: Vec<(Tag, Table)>,
}

impl Topic {
    pub(crate) fn new(climate: &Climate) -> Self {
        let table = |name: &str| Table { database: "world".into(), name: name.into() };
        Self {
            ends: (0..climate.partitions).map(|partition| (partition, climate.log_first)).collect(),
            start: climate.log_start,
            last: climate.log_last,
            salt: climate.salt,
            bad: climate.bad,
            tables: ["a", "b"].map(table).map(|table| (Tag::of_table(&table), table)).to_vec(),
        }
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

    pub(crate) fn end(&self, partition: Partition) -> Offset {
        self.ends.get(&partition).copied().unwrap_or(self.start)
    }

    pub(crate) fn range(&self, partition: Partition) -> Range {
        Range { start: self.start, end: self.end(partition) }
    }

    pub(crate) fn kind(&self, (partition, offset): Place) -> Kind {
        let place = u64::try_from(offset).unwrap_or(0) * 64 + u64::try_from(partition).unwrap_or(0);
        match mix(self.salt ^ place) % 1000 {
            n if n < self.bad / 2 => Kind::Bad,
            n if n < self.bad => Kind::HalfBad,
            n if n >= 900 => Kind::Gap,
            _ => Kind::Good,
        }
    }

    /// Tables for which this record is rejected.
    pub(crate) fn rejects_of(&self, place: Place) -> Vec<&Table> {
        let kind = self.kind(place);
        let rejected = |index| match kind {
            Kind::Gap | Kind::Good => false,
            Kind::HalfBad => index == 1,
            Kind::Bad => true,
        };
        self.tables().enumerate().filter(|(index, _)| rejected(*index)).map(|(_, table)| table).collect()
    }

    /// Tables that get a row of this offset.
    pub(crate) fn rows_of(&self, place: Place) -> impl Iterator<Item = Tag> + '_ {
        let kind = self.kind(place);
        self.tables
            .iter()
            .enumerate()
            .filter(move |(index, _)| match kind {
                Kind::Gap | Kind::Bad => false,
                Kind::HalfBad => *index == 0,
                Kind::Good => true,
            })
            .map(|(_, (tag, _))| *tag)
    }
}
