//! Deliberate mistakes, one rule taken out each: some world has to see each of them. They change what the protocol is
//! told and what is done of what it asks for, or the modelled shell; never the product.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::domain::{Nonce, Partition, PositionToStore, Range, RecordAnswer, Stored, TxnState};
use loadlock_commit::metadata::{Fate, Intent, Metadata};
use loadlock_commit::{Event, Tag, Ticket};

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// Commits in the engine as soon as the intent is sent.
    CommitsBeforeReadBack,
    /// Records the intent before its loads are prepared.
    IntentBeforePrepare,
    /// Takes the broker's answer for the truth: what was refused, or not answered, was never stored.
    BelievesTheBroker,
    /// Goes on when only some partitions carry what was sent.
    TakesHalfForAll,
    /// Stores what was decided before a partition left and came back.
    ServesOldDecisions,
    /// Stores positions of partitions that it does not own.
    StoresUnowned,
    /// Reads back partitions that left and came back as if they had stayed.
    TrustsReturned,
    /// The protocol is not told of a revocation.
    HidesRevocation,
    /// Goes on storing positions of what it has given back.
    StoresReleased,
    /// A membership that is lost without a callback is not told.
    SilentLoss,
    /// Goes on under a membership whose commit may still have a copy under way.
    IgnoresDoubt,
    /// Uses the positions of an earlier assignment.
    CarriesPositionsOver,
    /// Derives nonces from offsets.
    NonceFromOffsets,
    /// Takes the answer to an abort for the final word.
    BelievesTheAbort,
    /// Takes the answer to a commit for the final word.
    BelievesTheCommit,
    /// Reads on from the position, whatever intent stands there.
    SkipsSettling,
    /// Loads again while the older load is still prepared.
    PreparedIsAborted,
    /// Settles all intents that it finds as one.
    MergesIntents,
    /// Loads all tables of an intent again, the visible ones too.
    ReloadsAllTables,
    /// A rewritten intent does not say which tables are done.
    ForgetsDone,
    /// Waits for a load that can never be committed.
    WaitsForTheStuck,
    /// Takes "unknown" for "aborted".
    UnknownIsAborted,
    /// Takes "unknown" for "committed".
    UnknownIsCommitted,
    /// Takes another partition's advance for a proof that the load was committed.
    AdvanceIsProof,
    /// Reads again from the stored position while the batch before is visible and not advanced.
    RewindsToTheStored,
    /// Goes on reading behind a batch that was dropped.
    KeepsTheSecond,
    /// Takes the end positions for stored without storing them.
    SkipsTheAdvance,
    /// Takes a partition without a position for a new one, though it was there when the pipeline started.
    TakesMissingForNew,
    /// Does not look at the topic's id.
    HidesTopicId,
    /// Does not look at leader epochs.
    HidesEpochs,
    /// Does not look at the digest of the mapping.
    HidesMapping,
    /// A tool that is no member writes the positions that it has read, when the group is empty.
    WritesAsStranger,
}

pub(crate) fn carries_intent(metadata: &str) -> bool {
    Metadata::parse(metadata).is_ok_and(|metadata| metadata.intent.is_some())
}

/// The read-back of a commit that was stored.
pub(crate) fn as_if_stored(ticket: Ticket, positions: &[PositionToStore], doubtful: bool) -> Event {
    let stored = |position: &PositionToStore| Stored { offset: position.offset, metadata: position.metadata.clone() };
    let read = positions.iter().map(|position| (position.partition, Some(stored(position)))).collect();
    Event::Recorded { ticket, answer: RecordAnswer::Stored, read, doubtful }
}

/// The read-back of a commit of which nothing was stored.
pub(crate) fn as_if_refused(ticket: Ticket, positions: &[PositionToStore], doubtful: bool) -> Event {
    let read = positions.iter().map(|position| (position.partition, None)).collect();
    Event::Recorded { ticket, answer: RecordAnswer::Passing("refused".to_owned()), read, doubtful }
}

/// One nonce for each beginning.
pub(crate) fn nonce_of(ranges: &BTreeMap<Partition, Range>) -> Nonce {
    let number = ranges.iter().map(|(p, range)| range.start * 4 + i64::from(*p)).sum::<i64>();
    Nonce(u128::try_from(32 + number % 31).unwrap_or(0))
}

pub(crate) fn with_intents(
    stored: BTreeMap<Partition, Option<Stored>>,
    mut change: impl FnMut(Option<Intent>) -> Option<Intent>,
) -> BTreeMap<Partition, Option<Stored>> {
    let mut one = |stored: Stored| match Metadata::parse(&stored.metadata) {
        Ok(metadata) => {
            let intent = change(metadata.intent.clone());
            Stored { metadata: Metadata { intent, ..metadata }.to_string(), ..stored }
        }
        Err(_) => stored,
    };
    stored.into_iter().map(|(partition, stored)| (partition, stored.map(&mut one))).collect()
}

/// What a mutant remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Memory {
    aborted: BTreeSet<(Ticket, Tag)>,
    committed: BTreeSet<(Ticket, Tag)>,
    /// Some partition stands behind the first record.
    advanced: bool,
    /// An OffsetCommit was refused, or not answered.
    refused: bool,
}

impl Memory {
    /// What the protocol is told instead. `settles`: the ticket belongs to a settlement.
    pub(crate) fn tamper(
        &mut self,
        mutant: Mutant,
        event: Event,
        settles: impl Fn(Ticket) -> bool,
        mapping: Tag,
    ) -> Event {
        match (mutant, event) {
            (Mutant::IgnoresDoubt, Event::Recorded { ticket, answer, read, .. }) => {
                Event::Recorded { ticket, answer, read, doubtful: false }
            }
            (Mutant::BelievesTheBroker, Event::Recorded { ticket, answer, read, doubtful }) => {
                self.refused |= answer != RecordAnswer::Stored;
                Event::Recorded { ticket, answer, read, doubtful }
            }
            (Mutant::BelievesTheBroker, Event::Positions { ticket, stored, log, topic_id, cluster_id, now_ms })
                if self.refused =>
            {
                Event::Positions { ticket, stored: with_intents(stored, |_| None), log, topic_id, cluster_id, now_ms }
            }
            (_, Event::Positions { ticket, stored, log, topic_id, cluster_id, now_ms }) => {
                self.advanced = stored.values().flatten().any(|stored| stored.offset > 0);
                let stored = positions(mutant, stored, mapping);
                let topic_id = topic_id.filter(|_| mutant != Mutant::HidesTopicId);
                Event::Positions { ticket, stored, log, topic_id, cluster_id, now_ms }
            }
            (Mutant::HidesEpochs, Event::Sealed { ticket, nonce, mut ranges, tables }) => {
                ranges.values_mut().for_each(|sealed| sealed.leader_epoch = -1);
                Event::Sealed { ticket, nonce, ranges, tables }
            }
            (Mutant::BelievesTheAbort, Event::AbortAnswered { ticket, table }) => {
                self.aborted.insert((ticket, table));
                Event::AbortAnswered { ticket, table }
            }
            (Mutant::BelievesTheCommit, Event::CommitAnswered { ticket, table, not_committable }) => {
                self.committed.insert((ticket, table));
                Event::CommitAnswered { ticket, table, not_committable }
            }
            (_, Event::State { ticket, table, state }) => {
                let state = self.state(mutant, (ticket, table), state, settles(ticket));
                Event::State { ticket, table, state }
            }
            (_, event) => event,
        }
    }

    fn state(&self, mutant: Mutant, asked: (Ticket, Tag), state: TxnState, settles: bool) -> TxnState {
        let aborted = TxnState::Aborted { reason: None };
        let unknown = settles && state == TxnState::Unknown;
        if self.aborted.contains(&asked)
            || (mutant == Mutant::UnknownIsAborted && unknown)
            || (mutant == Mutant::PreparedIsAborted && settles && state == TxnState::Prepared)
        {
            aborted
        } else if self.committed.contains(&asked)
            || (mutant == Mutant::UnknownIsCommitted && unknown)
            || (mutant == Mutant::AdvanceIsProof && unknown && self.advanced)
        {
            TxnState::Visible
        } else {
            state
        }
    }
}

/// A position whose origin knows of no partition.
fn as_if_new(stored: Stored) -> Stored {
    let Ok(mut metadata) = Metadata::parse(&stored.metadata) else { return stored };
    if let Some(origin) = &mut metadata.origin {
        origin.partitions = 0;
    }
    Stored { metadata: metadata.to_string(), ..stored }
}

fn positions(
    mutant: Mutant,
    stored: BTreeMap<Partition, Option<Stored>>,
    mapping: Tag,
) -> BTreeMap<Partition, Option<Stored>> {
    if mutant == Mutant::HidesMapping {
        return with_intents(stored, |intent| Some(Intent { mapping, ..intent? }));
    }
    if mutant == Mutant::TakesMissingForNew {
        return stored.into_iter().map(|(partition, stored)| (partition, stored.map(as_if_new))).collect();
    }
    if mutant == Mutant::SkipsSettling {
        return with_intents(stored, |_| None);
    }
    if mutant == Mutant::ForgetsDone {
        return with_intents(stored, |intent| {
            let mut intent = intent?;
            intent.tables.retain(|_, table| table.fate == Fate::Open);
            Some(intent)
        });
    }
    if mutant == Mutant::MergesIntents {
        let mut first = None;
        return with_intents(stored, |intent| {
            let intent = intent?;
            let nonce = *first.get_or_insert(intent.nonce);
            Some(Intent { nonce, ..intent })
        });
    }
    stored
}
