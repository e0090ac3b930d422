//! The judge knows the whole world: every store and every commit passes before it.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::domain::{Label, Nonce, Offset, Partition, Stored};
use loadlock_commit::metadata::{Fate, Metadata};
use loadlock_commit::{Tag, invariants, label};

use crate::broker::Change;
use crate::engine::Engine;
use crate::log::{Place, Topic};

/// A rule that was broken, by its name in `commit::invariants`.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
}

#[derive(Default)]
pub(crate) struct Judge {
    pub(crate) violations: Vec<Violation>,
    visible: BTreeMap<(Tag, Place), u32>,
    /// Tables in which a row may be visible more than once.
    pub(crate) at_least_once: BTreeSet<Tag>,
    /// First position that was stored for each partition.
    firsts: BTreeMap<Partition, Offset>,
    /// Partitions whose position carried this intent.
    recorded: BTreeSet<(Nonce, Partition)>,
}

impl Judge {
    pub(crate) fn broken(&mut self, rule: &'static str, what: String) {
        self.violations.push(Violation { rule, what });
    }

    /// Rows doubled or lost: nothing that follows matters.
    pub(crate) fn saw_damage(&self) -> bool {
        self.violations.iter().any(|violation| matches!(violation.rule, "EO-1" | "EO-2"))
    }

    pub(crate) fn became_visible(&mut self, table: Tag, rows: &BTreeSet<Place>) {
        for place in rows {
            let times = self.visible.entry((table, *place)).or_default();
            *times += 1;
            if *times > 1 && !self.at_least_once.contains(&table) {
                let what = format!("{place:?} is visible {times} times in {table}");
                self.violations.push(Violation { rule: "EO-1", what });
            }
        }
    }

    pub(crate) fn label_used_again(&mut self, label: &Label) {
        self.broken("EO-4", format!("{label} was prepared twice"));
    }

    /// EO-3: every partition of the batch has carried its intent.
    pub(crate) fn committing<'p>(&mut self, nonce: Nonce, partitions: impl Iterator<Item = &'p Partition>) {
        for partition in partitions {
            if !self.recorded.contains(&(nonce, *partition)) {
                self.broken("EO-3", format!("{nonce} is committed, and partition {partition} never carried it"));
            }
        }
    }

    /// A position was stored.
    pub(crate) fn stored(&mut self, change: &Change, topic: &Topic, engine: &Engine, pipeline: Tag) {
        let Change { partition, before, after } = change;
        let metadata = Metadata::parse(&after.metadata).ok();
        let intent = metadata.and_then(|metadata| metadata.intent).map(|intent| intent.nonce);
        if let Some(nonce) = intent {
            self.recorded.insert((nonce, *partition));
        }
        let Some(before) = before else {
            self.firsts.insert(*partition, after.offset);
            return;
        };
        if !invariants::never_back(before.offset, after.offset) {
            self.broken("EO-5", format!("partition {partition} moved from {} to {}", before.offset, after.offset));
        }
        self.all_visible(*partition, before.offset..after.offset, topic);
        self.replaced(before, intent, topic, engine, pipeline);
    }

    /// EO-2 for offsets that a position has just passed.
    fn all_visible(&mut self, partition: Partition, offsets: std::ops::Range<Offset>, topic: &Topic) {
        for offset in offsets {
            for table in topic.rows_of((partition, offset)) {
                if !self.visible.contains_key(&(table, (partition, offset))) {
                    self.broken("EO-2", format!("the position of {partition} passed {offset}, not visible in {table}"));
                }
            }
        }
    }

    /// EO-8: a nonce gives way only after the final word on its tables.
    fn replaced(&mut self, before: &Stored, now: Option<Nonce>, topic: &Topic, engine: &Engine, pipeline: Tag) {
        let intent = Metadata::parse(&before.metadata).ok().and_then(|metadata| metadata.intent);
        let Some(intent) = intent.filter(|intent| now != Some(intent.nonce)) else { return };
        for (tag, _) in intent.tables.iter().filter(|(_, table)| table.fate == Fate::Open) {
            let Some(table) = topic.table(*tag) else { continue };
            let label = label(pipeline, intent.nonce, table);
            if !engine.had_final_word(&label) {
                self.broken("EO-8", format!("{label} was replaced while it could still become visible"));
            }
        }
    }

    /// Everything drained: every record from the first position on is visible once in each of its tables.
    pub(crate) fn everything_arrived(&mut self, topic: &Topic) {
        let mut expected = BTreeSet::new();
        for (partition, first) in &self.firsts {
            for offset in *first..topic.end(*partition) {
                let place = (*partition, offset);
                expected.extend(topic.rows_of(place).map(|table| (table, place)));
            }
        }
        let there: BTreeSet<_> = self.visible.keys().copied().collect();
        // What has come to a standstill is missing rows for that reason alone.
        if there != expected && self.violations.is_empty() {
            let missing: Vec<_> = expected.difference(&there).collect();
            let strange: Vec<_> = there.difference(&expected).collect();
            self.broken("EO-2", format!("in the end missing {missing:?}, never asked for {strange:?}"));
        }
    }
}
