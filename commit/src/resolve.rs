//! Intents that are decided by hand, when every member is stopped: what is known of each load, whether a person's word
//! may be taken for the rest, and what is to be stored then.
//!
//! A person decides only what the engine has forgotten (rule 10). A word against a final word of the engine, against the
//! trail or against a load that is still prepared is refused.

use std::collections::BTreeMap;

use crate::domain::{Nonce, Partition, PositionToStore, Range, Ranges, Stored, TxnState};
use crate::invariants;
use crate::label::Tag;
use crate::metadata::{Fate, Intent, IntentTable, Metadata};

/// An intent that is not settled, with every partition of the topic that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// Its nonce.
    pub nonce: Nonce,
    /// Digest of the mapping that made its rows.
    pub mapping: Tag,
    /// When it was written, milliseconds since the Unix epoch.
    pub written_ms: i64,
    /// Its tables. What one partition lists as known is known for all: a load has one outcome.
    pub tables: BTreeMap<Tag, IntentTable>,
    /// The partitions that carry it, with the position and all that stands beside it.
    pub holders: BTreeMap<Partition, Holder>,
    /// Some partition of the topic has the nonce as its trail: it was committed in all its tables.
    pub trail_seen: bool,
}

/// A partition that carries an open intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// From the position to the end that the intent names.
    pub range: Range,
    /// What stands beside the position.
    pub metadata: Metadata,
}

impl OpenIntent {
    /// The records that it covers.
    pub fn ranges(&self) -> Ranges {
        self.holders.iter().map(|(partition, holder)| (*partition, holder.range)).collect()
    }
}

/// All open intents of a topic, the oldest first.
pub fn open_intents(stored: &BTreeMap<Partition, Option<Stored>>) -> Vec<OpenIntent> {
    let read = |(partition, stored): (&Partition, &Option<Stored>)| {
        let stored = stored.as_ref()?;
        Some((*partition, stored.offset, Metadata::parse(&stored.metadata).ok()?))
    };
    let positions: Vec<_> = stored.iter().filter_map(read).collect();
    let mut open: BTreeMap<Nonce, OpenIntent> = BTreeMap::new();
    for (partition, start, metadata) in &positions {
        let Some(Intent { nonce, end, mapping, written_ms, tables, .. }) = &metadata.intent else { continue };
        let intent = open.entry(*nonce).or_insert_with(|| OpenIntent {
            nonce: *nonce,
            mapping: *mapping,
            written_ms: *written_ms,
            tables: BTreeMap::new(),
            holders: BTreeMap::new(),
            trail_seen: positions.iter().any(|(_, _, metadata)| metadata.trail == Some(*nonce)),
        });
        for (tag, table) in tables {
            let known = intent.tables.entry(*tag).or_insert(*table);
            if known.fate == Fate::Open {
                *known = *table;
            }
        }
        let holder = Holder { range: Range { start: *start, end: *end }, metadata: metadata.clone() };
        intent.holders.insert(*partition, holder);
    }
    let mut open: Vec<_> = open.into_values().collect();
    open.sort_by_key(|intent| intent.written_ms);
    open
}

/// What became of a load, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Its rows are visible, or will be.
    Committed,
    /// Its rows will never be visible.
    Aborted,
}

/// Who says what became of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Witness {
    /// The intent lists it.
    Intent,
    /// The engine remembers.
    Engine,
    /// Another partition was advanced by the same batch.
    Trail,
    /// A person, where nobody else knows.
    Person,
}

/// What a person says of the loads of an intent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// About these tables.
    pub tables: BTreeMap<Tag, Word>,
    /// About all others.
    pub others: Option<Word>,
}

/// What is known of one table's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What became of it, and who says so.
    Known(Word, Witness),
    /// Not ended: it has to be aborted, and the engine asked again.
    Unfinished,
    /// The engine has forgotten, and the person has said nothing about it.
    Unsaid,
    /// The engine has to be asked first, and was not.
    Unasked,
    /// The person says one thing and this witness another. [`Witness::Engine`] also where the load has not ended: it
    /// is not committed then.
    Contradicted(Word, Witness),
}

/// Weighs what is known of a load. `state` is the engine's answer, `None` where it was not asked.
pub fn verdict(intent: &OpenIntent, tag: Tag, table: IntentTable, state: Option<&TxnState>, said: &Said) -> Verdict {
    let named = said.tables.get(&tag).copied();
    let about = named.or(said.others);
    // A word for all tables is one for those that are not decided yet.
    let listed = |word| known(word, Witness::Intent, named);
    match (table.fate, state) {
        (Fate::Done, _) => listed(Word::Committed),
        (Fate::Aborted, _) => listed(Word::Aborted),
        (Fate::Open, Some(TxnState::Committed | TxnState::Visible)) => known(Word::Committed, Witness::Engine, about),
        (Fate::Open, Some(TxnState::Aborted { .. })) => known(Word::Aborted, Witness::Engine, about),
        (Fate::Open, Some(TxnState::Prepared | TxnState::Loading)) => match about {
            Some(Word::Committed) => Verdict::Contradicted(Word::Committed, Witness::Engine),
            Some(Word::Aborted) | None => Verdict::Unfinished,
        },
        (Fate::Open, Some(TxnState::Unknown)) if intent.trail_seen => known(Word::Committed, Witness::Trail, about),
        (Fate::Open, Some(TxnState::Unknown)) => {
            about.map_or(Verdict::Unsaid, |word| Verdict::Known(word, Witness::Person))
        }
        (Fate::Open, None) => Verdict::Unasked,
    }
}

fn known(word: Word, witness: Witness, said: Option<Word>) -> Verdict {
    match said {
        Some(said) if said != word => Verdict::Contradicted(said, witness),
        Some(_) | None => Verdict::Known(word, witness),
    }
}

/// What becomes of an intent whose every load is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every load is committed: the positions move to its end, with the nonce as their trail.
    Advances,
    /// No load is committed: the intent goes, and its records are read again at the unchanged positions.
    Withdrawn,
    /// Both: the intent stays and lists what is known; the next start loads the records into these tables, and only those.
    Reloads(Vec<Tag>),
}

/// What an intent becomes with these words on its tables. A table without a word counts as not decided, and then there
/// is no outcome; nor is there one that would move a position back (EO-5).
pub fn outcome(intent: &OpenIntent, words: &BTreeMap<Tag, Word>) -> Option<Outcome> {
    let mut aborted = Vec::new();
    for tag in intent.tables.keys() {
        match words.get(tag)? {
            Word::Committed => {}
            Word::Aborted => aborted.push(*tag),
        }
    }
    if aborted.is_empty() {
        let forward = |holder: &Holder| invariants::never_back(holder.range.start, holder.range.end);
        intent.holders.values().all(forward).then_some(Outcome::Advances)
    } else if aborted.len() == intent.tables.len() {
        Some(Outcome::Withdrawn)
    } else {
        Some(Outcome::Reloads(aborted))
    }
}

/// The positions that make an outcome so. All that stands beside them and is not the intent stays.
pub fn positions(intent: &OpenIntent, outcome: &Outcome) -> Vec<PositionToStore> {
    let one = |(partition, Holder { range, metadata }): (&Partition, &Holder)| {
        let (offset, metadata) = match outcome {
            Outcome::Advances => (range.end, metadata.advanced(Some(intent.nonce))),
            Outcome::Withdrawn => (range.start, metadata.advanced(None)),
            Outcome::Reloads(aborted) => (range.start, with_fates(metadata, intent, aborted)),
        };
        PositionToStore { partition: *partition, offset, metadata: metadata.to_string() }
    };
    intent.holders.iter().map(one).collect()
}

fn with_fates(metadata: &Metadata, open: &OpenIntent, aborted: &[Tag]) -> Metadata {
    let fate = |tag: &Tag| if aborted.contains(tag) { Fate::Aborted } else { Fate::Done };
    let tables = open.tables.iter().map(|(tag, table)| (*tag, IntentTable { fate: fate(tag), ..*table })).collect();
    let intent = metadata.intent.clone().map(|intent| Intent { tables, ..intent });
    Metadata { intent, ..metadata.clone() }
}
