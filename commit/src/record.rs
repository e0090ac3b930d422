//! Steps 6 and 8: positions are stored by one OffsetCommit at a time, and the read-back decides what was stored.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Kind, Phase};
use super::event::{Effect, Notice, Stop, StopCode, Ticket};
use super::invariants::Invariant;
use super::metadata::{Fate, Intent, IntentTable, METADATA_MAX, METADATA_MAX_TOTAL, Metadata};
use super::protocol::{Protocol, Standing};
use crate::domain::{Nonce, Offset, Partition, PositionToStore, RecordAnswer, Stored};

/// An OffsetCommit under way. There is never more than one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Call {
    ticket: Ticket,
    purpose: Purpose,
    pub(super) sent: BTreeMap<Partition, Sent>,
    tries: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sent {
    epoch: u64,
    offset: Offset,
    metadata: Metadata,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// First positions of partitions that had none.
    First,
    /// Intent of the front batch.
    Intent,
    /// End positions of the front batch.
    Advance,
    /// End positions of an intent that was found and is visible in all its tables.
    Settled,
}

/// What the read-back says of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Every partition is still ours and carries what was sent.
    Stored,
    /// Every partition is still ours, and none carries it.
    NotStored,
    /// Some are gone, or half was stored, or the membership is gone.
    Broken,
}

impl Protocol {
    pub(super) fn record_first(&mut self, partitions: &BTreeSet<Partition>) {
        let positions = partitions
            .iter()
            .filter_map(|partition| {
                let owned = self.owned.get(partition)?;
                Some((*partition, (owned.next, owned.metadata.clone())))
            })
            .collect();
        self.send(Purpose::First, positions);
    }

    /// Step 6: the intent beside the unchanged start positions, all partitions of the batch in one call.
    pub(super) fn record_intent(&mut self) {
        let Some(batch) = self.batches.front() else { return };
        let Some(nonce) = batch.nonce else { return };
        let whole = self.is_all_ours(batch);
        if !self.must(Invariant::OwnedOnly, whole, || "a batch has lost a partition before its intent".to_owned()) {
            return;
        }
        let Some(batch) = self.batches.front() else { return };
        let mut tables: BTreeMap<_, _> =
            batch.loads.iter().map(|(tag, load)| (*tag, IntentTable { txn: load.id, fate: Fate::Open })).collect();
        if let Kind::Reload { done, .. } = &batch.kind {
            tables.extend(done.iter().map(|tag| (*tag, IntentTable { txn: None, fate: Fate::Done })));
        }
        let mut positions = BTreeMap::new();
        for (partition, sealed) in &batch.ranges {
            let Some(owned) = self.owned.get(partition) else { continue };
            let intent = Intent {
                nonce,
                end: sealed.range.end,
                mapping: self.settings.mapping,
                leader_epoch: sealed.leader_epoch,
                written_ms: batch.prepared_ms,
                tables: tables.clone(),
            };
            let metadata = Metadata { intent: Some(intent), ..owned.metadata.clone() };
            positions.insert(*partition, (sealed.range.start, metadata));
        }
        if let Some(batch) = self.batches.front_mut() {
            batch.phase = Phase::Recording;
            batch.intent_sent = true;
        }
        self.send(Purpose::Intent, positions);
    }

    /// Step 8: the end positions of the front batch, for the partitions that are still its own.
    pub(super) fn record_advance(&mut self) {
        let Some(batch) = self.batches.front() else { return };
        let trail = if batch.has_rows() { batch.nonce } else { None };
        let mut positions = BTreeMap::new();
        for (partition, sealed) in &batch.ranges {
            let Some(owned) = self.owned.get(partition) else { continue };
            if batch.epochs.get(partition) == Some(&owned.epoch) && !self.leaving.contains(partition) {
                positions.insert(*partition, (sealed.range.end, owned.metadata.advanced(trail)));
            }
        }
        if let Some(batch) = self.batches.front_mut() {
            batch.phase = Phase::Recording;
        }
        if positions.is_empty() {
            // All its partitions have left: their new owners advance them. The next batch has waited for this one.
            self.front_done();
            return self.move_front();
        }
        self.send(Purpose::Advance, positions);
    }

    pub(super) fn record_settled(&mut self, ends: &BTreeMap<Partition, Offset>, nonce: Nonce) {
        let mut positions = BTreeMap::new();
        for (partition, end) in ends {
            if let Some(owned) = self.owned.get(partition) {
                positions.insert(*partition, (*end, owned.metadata.advanced(Some(nonce))));
            }
        }
        self.send(Purpose::Settled, positions);
    }

    fn send(&mut self, purpose: Purpose, positions: BTreeMap<Partition, (Offset, Metadata)>) {
        if !self.may_be_stored(purpose, &positions) {
            return;
        }
        let mut sent = BTreeMap::new();
        let mut total = 0;
        for (partition, (offset, metadata)) in positions {
            let Some(owned) = self.owned.get(&partition) else { continue };
            let text = metadata.to_string();
            total += text.len();
            if text.len() > METADATA_MAX || total > METADATA_MAX_TOTAL {
                let what = format!(
                    "the intent of a batch over {} tables does not fit beside a position; lower the number of tables \
                     that one topic feeds",
                    self.settings.tables.len()
                );
                return self.stop_now(Stop { code: StopCode::PositionRefused, what });
            }
            sent.insert(partition, Sent { epoch: owned.epoch, offset, metadata, text });
        }
        let ticket = self.ticket();
        let call = Call { ticket, purpose, sent, tries: 0 };
        self.emit(call.effect());
        self.call = Some(call);
    }

    pub(super) fn recorded(
        &mut self,
        ticket: Ticket,
        answer: &RecordAnswer,
        read: &BTreeMap<Partition, Option<Stored>>,
        doubtful: bool,
    ) {
        if self.call.as_ref().is_none_or(|call| call.ticket != ticket) {
            return;
        }
        let Some(call) = self.call.take() else { return };
        if doubtful {
            return self.give_up_membership();
        }
        let verdict = self.judge(&call, answer, read);
        match verdict {
            Verdict::Stored => self.stored(&call),
            Verdict::NotStored => {
                if let RecordAnswer::Refused(why) = answer {
                    let what = format!(
                        "kafka refuses to store positions of topic {}: {why}; the positions stay where they are, and what is \
                         open is settled by the next start",
                        self.settings.topic
                    );
                    self.stop_now(Stop { code: StopCode::PositionRefused, what });
                } else if call.sent.keys().any(|partition| self.leaving.contains(partition)) {
                    self.broken(&call);
                } else {
                    self.send_again(call);
                }
            }
            Verdict::Broken => self.broken(&call),
        }
        if self.call.is_none() && !self.leaving.is_empty() {
            let leaving = std::mem::take(&mut self.leaving);
            self.release(leaving);
        }
    }

    fn judge(&self, call: &Call, answer: &RecordAnswer, read: &BTreeMap<Partition, Option<Stored>>) -> Verdict {
        let mut carrying = 0;
        for (partition, sent) in &call.sent {
            let ours = self.owned.get(partition).is_some_and(|owned| owned.epoch == sent.epoch);
            let (true, Some(found)) = (ours, read.get(partition)) else { return Verdict::Broken };
            if found.as_ref().is_some_and(|found| found.offset == sent.offset && found.metadata == sent.text) {
                carrying += 1;
            }
        }
        match answer {
            RecordAnswer::Gone(_) => Verdict::Broken,
            RecordAnswer::Stored
            | RecordAnswer::Passing(_)
            | RecordAnswer::Unclear(_)
            | RecordAnswer::Refused(_)
            | RecordAnswer::NotOwned => {
                if carrying == call.sent.len() {
                    Verdict::Stored
                } else if carrying == 0 {
                    Verdict::NotStored
                } else {
                    Verdict::Broken
                }
            }
        }
    }

    fn send_again(&mut self, mut call: Call) {
        call.ticket = self.ticket();
        call.tries += 1;
        self.emit(call.effect());
        self.call = Some(call);
    }

    fn stored(&mut self, call: &Call) {
        for (partition, sent) in &call.sent {
            if let Some(owned) = self.owned.get_mut(partition) {
                owned.stored = Some(sent.offset);
                owned.metadata = sent.metadata.clone();
            }
        }
        match call.purpose {
            Purpose::First => {
                let starts = self.make_ready(call);
                self.emit(Effect::Report(Notice::Started { starts: starts.clone() }));
                self.join(starts);
            }
            Purpose::Intent => self.commit_front(),
            Purpose::Advance => self.front_done(),
            Purpose::Settled => {
                let ends = self.make_ready(call);
                self.settlement = None;
                self.progressed();
                self.join(ends);
            }
        }
    }

    /// The partitions of the call may be read from the offsets that were stored.
    fn make_ready(&mut self, call: &Call) -> BTreeMap<Partition, Offset> {
        let mut starts = BTreeMap::new();
        for (partition, sent) in &call.sent {
            if let Some(owned) = self.owned.get_mut(partition) {
                owned.next = sent.offset;
                owned.standing = Standing::Ready;
                starts.insert(*partition, sent.offset);
            }
        }
        starts
    }

    /// Step 7, and rule 1: only what has a recorded intent is committed.
    fn commit_front(&mut self) {
        let Some(batch) = self.batches.front_mut() else { return };
        batch.phase = Phase::Committing;
        let tables: Vec<_> = batch.loads.keys().copied().collect();
        for table in tables {
            self.commit(0, table);
        }
    }

    fn front_done(&mut self) {
        let Some(batch) = self.batches.pop_front() else { return };
        for (partition, epoch) in &batch.epochs {
            if let Some(owned) = self.owned.get_mut(partition)
                && owned.epoch == *epoch
                && owned.standing == Standing::Unsettled
            {
                owned.standing = Standing::Ready;
            }
        }
        self.progressed();
        self.emit(Effect::Report(Notice::Advanced { ticket: batch.ticket }));
    }

    /// Not all or nothing: nothing is known but what is read anew.
    fn broken(&mut self, call: &Call) {
        match call.purpose {
            Purpose::Intent => self.drop_from(0, "its intent was not stored for all its partitions"),
            Purpose::Advance => {
                if let Some(batch) = self.batches.front_mut() {
                    batch.intent_sent = true;
                }
                self.drop_from(0, "its end positions were not stored for all its partitions");
            }
            Purpose::First | Purpose::Settled => {
                self.settlement = None;
                for (partition, sent) in &call.sent {
                    if let Some(owned) = self.owned.get_mut(partition)
                        && owned.epoch == sent.epoch
                    {
                        owned.standing = Standing::Unread;
                    }
                }
            }
        }
    }

    /// Rule 4: a first copy of the request may still arrive with a valid stamp, so nothing more is committed under
    /// this membership; what is read as a new member counts.
    fn give_up_membership(&mut self) {
        self.emit(Effect::Report(Notice::DoubtfulCommit));
        if let Some(batch) = self.batches.front_mut() {
            batch.intent_sent = true;
        }
        self.settlement = None;
        self.drop_from(0, "a copy of its OffsetCommit may still arrive");
        self.owned.clear();
        let leaving = std::mem::take(&mut self.leaving);
        if !leaving.is_empty() {
            self.emit(Effect::Release(leaving));
        }
        self.emit(Effect::Rejoin);
    }
}

impl Call {
    fn effect(&self) -> Effect {
        let positions = self
            .sent
            .iter()
            .map(|(partition, sent)| PositionToStore {
                partition: *partition,
                offset: sent.offset,
                metadata: sent.text.clone(),
            })
            .collect();
        Effect::Record { ticket: self.ticket, tries: self.tries, positions }
    }
}
