//! Steps 3 to 7 of one batch: sealed, prepared, committed, each told by an event.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Batch, Kind, LoadState, Phase};
use super::event::{Effect, SealedRange, Stop, StopCode, Ticket};
use super::invariants::{self, Invariant};
use super::label::Tag;
use super::protocol::Protocol;
use crate::domain::{Nonce, Partition, TxnId, TxnState};

/// How often a commit is repeated while the load stays PREPARED before the batch is dropped (rule 9).
const COMMIT_TRIES_MAX: u32 = 20;

impl Protocol {
    pub(super) fn sealed(
        &mut self,
        ticket: Ticket,
        nonce: Nonce,
        ranges: BTreeMap<Partition, SealedRange>,
        tables: &BTreeSet<Tag>,
    ) {
        let Some(index) = self.batch_index(ticket, Phase::Filling) else { return };
        let Some(batch) = self.batches.get(index) else { return };
        if let Some(problem) = self.reload_problem(batch, &ranges) {
            return self.stop_now(problem);
        }
        let new = self.is_new(nonce);
        if !self.batches_touch(&ranges) || !self.must(Invariant::LabelOnce, new, || format!("{nonce} is used again")) {
            return;
        }
        let mut epochs = BTreeMap::new();
        for (partition, sealed) in &ranges {
            if let Some(owned) = self.owned.get_mut(partition) {
                owned.next = sealed.range.end;
                epochs.insert(*partition, owned.epoch);
            }
        }
        let Some(batch) = self.batches.get_mut(index) else { return };
        let (at_once, two_phase): (BTreeSet<Tag>, BTreeSet<Tag>) =
            tables.iter().partition(|tag| self.settings.at_least_once.contains(tag));
        // Loaded in one phase, its rows would be visible before those of the batch in front of it.
        let waits = index > 0 && !at_once.is_empty();
        batch.phase = if waits { Phase::Sealed } else { Phase::Preparing };
        batch.nonce = Some(nonce);
        batch.ranges = ranges;
        batch.epochs = epochs;
        batch.loads = two_phase.iter().map(|tag| (*tag, LoadState::default())).collect();
        if matches!(batch.kind, Kind::Reload { .. }) {
            self.flowing = false;
        }
        if !waits {
            self.emit(Effect::Prepare { ticket });
        }
    }

    /// The batch in front of it is done.
    pub(super) fn prepare_front(&mut self) {
        let Some(front) = self.batches.front_mut() else { return };
        front.phase = Phase::Preparing;
        let ticket = front.ticket;
        self.emit(Effect::Prepare { ticket });
    }

    /// EO-6: the batch begins where the one before ended.
    fn batches_touch(&mut self, ranges: &BTreeMap<Partition, SealedRange>) -> bool {
        ranges.iter().all(|(partition, SealedRange { range, .. })| {
            let next = self.owned.get(partition).map(|owned| owned.next);
            let touches = next.is_some_and(|next| invariants::touches(next, *range));
            self.must(Invariant::BatchesTouch, touches, || {
                format!("the batch of partition {partition} covers {range}, but the one before ended at {next:?}")
            })
        })
    }

    /// What is loaded again is exactly the range of the intent, and still the same records (rule 12).
    fn reload_problem(&self, batch: &Batch, ranges: &BTreeMap<Partition, SealedRange>) -> Option<Stop> {
        let Kind::Reload { bounds, .. } = &batch.kind else { return None };
        if let Some(stranger) = ranges.keys().find(|partition| !bounds.contains_key(partition)) {
            let what = format!("partition {stranger} came into a batch that loads others again");
            return Some(Stop { code: StopCode::Invariant, what });
        }
        for (partition, bound) in bounds {
            let sealed = ranges.get(partition);
            if sealed.map(|sealed| sealed.range) != Some(bound.range) {
                let what =
                    format!("partition {partition} was to be loaded again over {}, but {sealed:?} came", bound.range);
                return Some(Stop { code: StopCode::Invariant, what });
            }
            let epoch = sealed.map_or(-1, |sealed| sealed.leader_epoch);
            if epoch >= 0 && bound.leader_epoch >= 0 && epoch != bound.leader_epoch {
                let what = format!(
                    "topic {} partition {partition}: the records {} were written under leader epoch {} when they were \
                     first loaded and stand under epoch {epoch} now: the log was truncated and rewritten",
                    self.settings.topic, bound.range, bound.leader_epoch
                );
                return Some(Stop { code: StopCode::LogRewritten, what });
            }
        }
        None
    }

    pub(super) fn fill_was_empty(&mut self, ticket: Ticket) {
        if let Some(index) = self.batch_index(ticket, Phase::Filling) {
            self.batches.truncate(index);
            self.stop_reading();
        }
    }

    pub(super) fn prepared(&mut self, ticket: Ticket, ids: &BTreeMap<Tag, TxnId>, now_ms: i64) {
        let Some(index) = self.batch_index(ticket, Phase::Preparing) else { return };
        let Some(batch) = self.batches.get_mut(index) else { return };
        batch.phase = Phase::Prepared;
        batch.prepared_ms = now_ms;
        for (tag, load) in &mut batch.loads {
            load.id = ids.get(tag).copied();
        }
    }

    pub(super) fn load_failed(&mut self, ticket: Ticket, stop: Option<Stop>) {
        let Some(index) = self.batches.iter().position(|batch| batch.ticket == ticket && batch.before_intent()) else {
            return;
        };
        self.failures = self.failures.saturating_add(1);
        self.drop_from(index, "a load of it failed");
        if stop.is_some() {
            self.drain(stop);
        }
    }

    pub(super) fn commit_answered(&mut self, ticket: Ticket, table: Tag, not_committable: bool) {
        let Some(index) = self.batch_index(ticket, Phase::Committing) else { return };
        let Some(load) = self.batches.get_mut(index).and_then(|batch| batch.loads.get_mut(&table)) else { return };
        load.not_committable |= not_committable;
        load.asks = 0;
        self.ask(index, table);
    }

    fn ask(&mut self, index: usize, table: Tag) {
        let Some(batch) = self.batches.get(index) else { return };
        let (Some(txn), Some(load)) = (self.txn_of(batch, table), batch.loads.get(&table)) else { return };
        let effect = Effect::Ask { ticket: batch.ticket, table, txn, tries: load.asks };
        self.emit(effect);
    }

    pub(super) fn commit(&mut self, index: usize, table: Tag) {
        let Some(batch) = self.batches.get(index) else { return };
        let Some(txn) = self.txn_of(batch, table) else { return };
        let (ticket, stored) = (batch.ticket, self.intent_is_stored(batch));
        if !self.must(Invariant::IntentFirst, stored, || format!("{} has no intent in the group", txn.label)) {
            return;
        }
        let Some(load) = self.batches.get_mut(index).and_then(|batch| batch.loads.get_mut(&table)) else { return };
        let tries = load.commits;
        load.commits += 1;
        self.emit(Effect::Commit { ticket, table, txn, tries });
    }

    pub(super) fn state_read(&mut self, ticket: Ticket, table: Tag, state: TxnState) {
        if self.settlement.as_ref().is_some_and(|settlement| settlement.ticket == ticket) {
            return self.settlement_state(table, state);
        }
        let Some(index) = self.batch_index(ticket, Phase::Committing) else { return };
        let Some(load) = self.batches.get_mut(index).and_then(|batch| batch.loads.get_mut(&table)) else { return };
        match state {
            TxnState::Committed | TxnState::Visible => {
                load.visible = true;
                let all = self.batches.get(index).is_some_and(|batch| batch.loads.values().all(|load| load.visible));
                if let (true, Some(batch)) = (all, self.batches.get_mut(index)) {
                    batch.phase = Phase::Advancing;
                }
            }
            TxnState::Prepared if load.not_committable || load.commits >= COMMIT_TRIES_MAX => {
                self.stuck += 1;
                if self.stuck > 1 {
                    let what = format!(
                        "a prepared load into {} can't be committed, twice in a row; its records stay unloaded",
                        self.table_name(table)
                    );
                    return self.stop_now(Stop { code: StopCode::NotCommittable, what });
                }
                self.drop_from(index, "its load can't be committed");
            }
            TxnState::Prepared => self.commit(index, table),
            TxnState::Loading => {
                load.asks += 1;
                self.ask(index, table);
            }
            // Settling decides: it reads the positions again and looks for evidence (rule 10).
            TxnState::Unknown => self.drop_from(index, "the engine does not know its load"),
            TxnState::Aborted { .. } => self.drop_from(index, "its load was aborted"),
        }
    }
}
