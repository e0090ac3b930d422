//! The state machine of one pipeline in one process: what is owned, what is being settled, at most two batches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::batch::{Batch, Kind, LoadState, Phase};
use super::event::{Effect, Event, Fill, Notice, Reload, SealedRange, Stop, StopCode, Ticket, Txn};
use super::invariants;
use super::label::{Tag, label};
use super::metadata::{Metadata, OriginStart};
use super::positions::{ReadInFlight, ResolveInFlight};
use super::record::Call;
use super::settle::Settlement;
use crate::domain::{Nonce, Offset, Partition, Ranges, Table, TxnState};

/// How often a commit is repeated while the load stays PREPARED before the batch is dropped (rule 9).
const COMMIT_TRIES_MAX: u32 = 20;

/// Two batches: one on its way through prepare and commit, one being filled or prepared (rule 14).
const BATCHES_MAX: usize = 2;

/// What the protocol has to know of its pipeline.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tag of the pipeline: topic and group.
    pub pipeline: Tag,
    /// Name of the topic, for texts.
    pub topic: String,
    /// Tables that the routes feed.
    pub tables: Vec<Table>,
    /// Digest of the mapping of all routes.
    pub mapping: Tag,
    /// Where to start without a position.
    pub start: StartWish,
}

/// Start as the configuration asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartWish {
    /// Only at a stored position.
    Committed,
    /// First record.
    Earliest,
    /// End of the log when the pipeline's positions are first written.
    Latest,
    /// First record at or after this time, milliseconds since the Unix epoch.
    Timestamp(i64),
    /// Offsets given for each partition.
    Offsets,
}

/// One assigned partition.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    /// Which assignment this is; rises with each.
    pub(super) epoch: u64,
    /// Position as last read or stored under this assignment.
    pub(super) stored: Option<Offset>,
    pub(super) metadata: Metadata,
    /// Where the next batch of this partition starts.
    pub(super) next: Offset,
    /// Log of the partition when its position was read.
    pub(super) log: Option<crate::domain::Range>,
    pub(super) standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The position has to be read.
    Unread,
    /// Without a position; its start is being resolved.
    Resolving {
        /// The start in its durable form.
        start: OriginStart,
        /// The origin was made by this very read.
        fresh: bool,
    },
    /// Its first position is resolved and has to be stored.
    First,
    /// An intent was found.
    Unsettled,
    /// May be read.
    Ready,
}

/// The protocol of one pipeline: [`Protocol::step`] is its only door.
#[derive(Clone, Debug)]
pub struct Protocol {
    pub(super) settings: Settings,
    pub(super) owned: BTreeMap<Partition, Owned>,
    pub(super) batches: VecDeque<Batch>,
    pub(super) settlement: Option<Settlement>,
    pub(super) call: Option<Call>,
    pub(super) reading: Option<ReadInFlight>,
    pub(super) resolving: Option<ResolveInFlight>,
    /// True while the shell reads in the order of `next`; false after anything that makes it read anew.
    flowing: bool,
    /// Partitions whose revocation waits for the call in flight.
    pub(super) leaving: BTreeSet<Partition>,
    draining: bool,
    stop: Option<Stop>,
    ended: bool,
    /// Fills that came to nothing since the last advance.
    failures: u32,
    /// Batches dropped by rule 9 since the last advance.
    stuck: u32,
    last_ticket: Ticket,
    last_epoch: u64,
    pub(super) effects: Vec<Effect>,
}

impl Protocol {
    /// A pipeline that owns nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            owned: BTreeMap::new(),
            batches: VecDeque::new(),
            settlement: None,
            call: None,
            reading: None,
            resolving: None,
            flowing: false,
            leaving: BTreeSet::new(),
            draining: false,
            stop: None,
            ended: false,
            failures: 0,
            stuck: 0,
            last_ticket: 0,
            last_epoch: 0,
            effects: Vec::new(),
        }
    }

    /// Takes one event and says what is to be done, in this order. Answers to what is no longer asked are ignored.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Assigned(partitions) => self.assigned(partitions),
            Event::Revoking(partitions) => self.revoking(partitions),
            Event::Lost(partitions) => self.lost(&partitions),
            Event::Positions { ticket, stored, log, topic_id, now_ms } => {
                self.positions_read(ticket, &stored, &log, topic_id, now_ms);
            }
            Event::Resolved { ticket, starts } => self.resolved(ticket, &starts),
            Event::Recorded { ticket, answer, read, doubtful } => self.recorded(ticket, &answer, &read, doubtful),
            Event::Sealed { ticket, nonce, ranges, tables } => self.sealed(ticket, nonce, ranges, &tables),
            Event::Empty { ticket } => self.fill_was_empty(ticket),
            Event::Prepared { ticket, ids, now_ms } => self.prepared(ticket, &ids, now_ms),
            Event::LoadFailed { ticket, stop } => self.load_failed(ticket, stop),
            Event::CommitAnswered { ticket, table, not_committable } => {
                self.commit_answered(ticket, table, not_committable);
            }
            Event::AbortAnswered { ticket, table } => self.abort_answered(ticket, table),
            Event::State { ticket, table, state } => self.state_read(ticket, table, state),
            Event::Drain(stop) => self.drain(stop),
            Event::Halt(stop) => self.stop_now(stop),
        }
        self.proceed();
        std::mem::take(&mut self.effects)
    }

    /// Tag of the pipeline, as it stands in its labels.
    pub fn pipeline(&self) -> Tag {
        self.settings.pipeline
    }

    /// True once the pipeline has asked to stop or has reported that it is drained.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    // ---- what the group gives and takes ------------------------------------------------------------------------

    fn assigned(&mut self, partitions: BTreeSet<Partition>) {
        // Given again without having been taken: whatever happened in between, somebody else may have owned it.
        let again: BTreeSet<_> = partitions.iter().filter(|p| self.owned.contains_key(p)).copied().collect();
        if !again.is_empty() {
            self.lost(&again);
        }
        for partition in partitions {
            self.last_epoch += 1;
            let owned = Owned {
                epoch: self.last_epoch,
                stored: None,
                metadata: Metadata::empty(),
                next: 0,
                log: None,
                standing: Standing::Unread,
            };
            self.owned.insert(partition, owned);
        }
    }

    fn revoking(&mut self, partitions: BTreeSet<Partition>) {
        self.drop_before_intent(&partitions);
        let waits = self.call.as_ref().is_some_and(|call| call.sent.keys().any(|p| partitions.contains(p)));
        if waits {
            self.leaving.extend(partitions);
        } else {
            self.release(partitions);
        }
    }

    /// Gives partitions up: from here on nothing is stored for them (EO-7).
    pub(super) fn release(&mut self, partitions: BTreeSet<Partition>) {
        self.forget(&partitions);
        self.emit(Effect::Release(partitions));
    }

    fn lost(&mut self, partitions: &BTreeSet<Partition>) {
        self.drop_before_intent(partitions);
        self.forget(partitions);
    }

    fn forget(&mut self, partitions: &BTreeSet<Partition>) {
        for partition in partitions {
            self.owned.remove(partition);
            self.leaving.remove(partition);
        }
    }

    /// Drops the batches before their intent that hold one of these partitions, and the settlement that does.
    fn drop_before_intent(&mut self, partitions: &BTreeSet<Partition>) {
        if self.settlement.as_ref().is_some_and(|settlement| settlement.holds_any(partitions)) {
            self.settlement = None;
        }
        let first = self.batches.iter().position(|batch| batch.before_intent() && batch.touches_any(partitions));
        if let Some(index) = first {
            self.drop_from(index, "a partition of it was taken away");
        }
        // Chunks on their way may hold records of these partitions.
        self.stop_reading();
    }

    // ---- batches ---------------------------------------------------------------------------------------------------

    fn sealed(
        &mut self,
        ticket: Ticket,
        nonce: Nonce,
        ranges: BTreeMap<Partition, SealedRange>,
        tables: &BTreeSet<Tag>,
    ) {
        let Some(index) = self.batch_index(ticket, Phase::Filling) else { return };
        let Some(batch) = self.batches.get(index) else { return };
        if let Some(problem) = self.seal_problem(batch, &ranges) {
            return self.stop_now(problem);
        }
        let mut epochs = BTreeMap::new();
        for (partition, sealed) in &ranges {
            if let Some(owned) = self.owned.get_mut(partition) {
                owned.next = sealed.range.end;
                epochs.insert(*partition, owned.epoch);
            }
        }
        let Some(batch) = self.batches.get_mut(index) else { return };
        batch.phase = Phase::Preparing;
        batch.nonce = Some(nonce);
        batch.ranges = ranges;
        batch.epochs = epochs;
        batch.loads = tables.iter().map(|tag| (*tag, LoadState::default())).collect();
        if matches!(batch.kind, Kind::Reload { .. }) {
            self.flowing = false;
        }
        self.emit(Effect::Prepare { ticket });
    }

    /// EO-6, and for a reload: exactly the range of the intent, and still the same records (rule 12).
    fn seal_problem(&self, batch: &Batch, ranges: &BTreeMap<Partition, SealedRange>) -> Option<Stop> {
        for (partition, sealed) in ranges {
            let next = self.owned.get(partition).map(|owned| owned.next);
            if !next.is_some_and(|next| invariants::touches(next, sealed.range)) {
                let what = format!(
                    "batch of partition {partition} covers {}, but the one before ended at {next:?} (EO-6)",
                    sealed.range
                );
                return Some(Stop { code: StopCode::Invariant, what });
            }
        }
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

    fn fill_was_empty(&mut self, ticket: Ticket) {
        if let Some(index) = self.batch_index(ticket, Phase::Filling) {
            self.batches.truncate(index);
            self.stop_reading();
        }
    }

    fn prepared(&mut self, ticket: Ticket, ids: &BTreeMap<Tag, crate::domain::TxnId>, now_ms: i64) {
        let Some(index) = self.batch_index(ticket, Phase::Preparing) else { return };
        let Some(batch) = self.batches.get_mut(index) else { return };
        batch.phase = Phase::Prepared;
        batch.prepared_ms = now_ms;
        for (tag, load) in &mut batch.loads {
            load.id = ids.get(tag).copied();
        }
    }

    fn load_failed(&mut self, ticket: Ticket, stop: Option<Stop>) {
        let Some(index) = self.batches.iter().position(|batch| batch.ticket == ticket && batch.before_intent()) else {
            return;
        };
        self.failures = self.failures.saturating_add(1);
        self.drop_from(index, "a load of it failed");
        if stop.is_some() {
            self.drain(stop);
        }
    }

    fn commit_answered(&mut self, ticket: Ticket, table: Tag, not_committable: bool) {
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
        let ticket = batch.ticket;
        let Some(load) = self.batches.get_mut(index).and_then(|batch| batch.loads.get_mut(&table)) else { return };
        let tries = load.commits;
        load.commits += 1;
        self.emit(Effect::Commit { ticket, table, txn, tries });
    }

    fn state_read(&mut self, ticket: Ticket, table: Tag, state: TxnState) {
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

    /// Drops the batch at `index` and those behind it. The partitions that stay go back to the start of the earliest
    /// dropped batch, or are read and settled anew if its intent may have been stored.
    pub(super) fn drop_from(&mut self, index: usize, why: &'static str) {
        while self.batches.len() > index {
            let Some(batch) = self.batches.pop_back() else { break };
            let loads: Vec<Txn> = batch.loads.keys().filter_map(|tag| self.txn_of(&batch, *tag)).collect();
            for (partition, sealed) in &batch.ranges {
                let Some(owned) = self.owned.get_mut(partition) else { continue };
                if batch.epochs.get(partition) != Some(&owned.epoch) {
                    continue;
                }
                if batch.intent_sent {
                    owned.standing = Standing::Unread;
                } else {
                    owned.next = sealed.range.start;
                }
            }
            self.emit(Effect::Abandon { ticket: batch.ticket, loads });
            self.emit(Effect::Report(Notice::Dropped { ticket: batch.ticket, why }));
        }
        self.stop_reading();
    }

    fn stop_reading(&mut self) {
        if self.batches.back().is_some_and(|batch| batch.phase == Phase::Filling) {
            let Some(batch) = self.batches.pop_back() else { return };
            self.emit(Effect::Abandon { ticket: batch.ticket, loads: Vec::new() });
        }
        if self.flowing {
            self.flowing = false;
            self.emit(Effect::Hold);
        }
    }

    // ---- the end -----------------------------------------------------------------------------------------------------

    fn drain(&mut self, stop: Option<Stop>) {
        self.draining = true;
        if self.stop.is_none() {
            self.stop = stop;
        }
        let Some(batch) = self.batches.back().filter(|batch| batch.phase == Phase::Filling) else { return };
        match batch.kind {
            Kind::Fresh => {
                let ticket = batch.ticket;
                self.emit(Effect::Seal { ticket });
            }
            // Loaded again is everything or nothing; its intent is settled by the next start.
            Kind::Reload { .. } => self.stop_reading(),
        }
    }

    /// Stops without finishing anything: what is open is left to the next member, who settles it.
    pub(super) fn stop_now(&mut self, stop: Stop) {
        if !self.ended {
            self.ended = true;
            self.emit(Effect::Stop(stop));
        }
    }

    // ---- what is possible now ---------------------------------------------------------------------------------------

    /// Starts whatever the state allows; called after every event.
    fn proceed(&mut self) {
        if self.ended {
            return;
        }
        self.read_unread();
        self.store_first_positions();
        self.move_front();
        self.settle();
        self.fill();
        if self.draining && self.batches.is_empty() && self.call.is_none() {
            self.ended = true;
            let effect = self.stop.take().map_or(Effect::Drained, Effect::Stop);
            self.emit(effect);
        }
    }

    /// The front batch moves on when it is prepared, and when it is visible.
    pub(super) fn move_front(&mut self) {
        if self.call.is_some() {
            return;
        }
        let Some(front) = self.batches.front() else { return };
        match front.phase {
            Phase::Prepared if front.has_rows() => self.record_intent(),
            Phase::Prepared | Phase::Advancing => self.record_advance(),
            Phase::Filling | Phase::Preparing | Phase::Recording | Phase::Committing => {}
        }
    }

    fn fill(&mut self) {
        let room =
            self.batches.len() < BATCHES_MAX && self.batches.back().is_none_or(|batch| batch.phase != Phase::Filling);
        if self.draining || !room || self.is_reloading() || self.settlement.is_some() || self.has_unsettled() {
            return;
        }
        if self.flowing {
            let ticket = self.open_batch(Kind::Fresh);
            return self.emit(Effect::NextFill { ticket });
        }
        let starts = self.starts_of_ready();
        if !starts.is_empty() {
            let ticket = self.open_batch(Kind::Fresh);
            self.flowing = true;
            self.emit(Effect::Fill(Fill { ticket, starts, reload: None, failures: self.failures }));
        }
    }

    /// Reads exactly these ranges again, for these tables only.
    pub(super) fn fill_again(
        &mut self,
        bounds: BTreeMap<Partition, SealedRange>,
        done: BTreeSet<Tag>,
        tables: BTreeSet<Tag>,
    ) {
        let starts = bounds.iter().map(|(partition, sealed)| (*partition, sealed.range.start)).collect();
        let ends = bounds.iter().map(|(partition, sealed)| (*partition, sealed.range.end)).collect();
        let ticket = self.open_batch(Kind::Reload { done, bounds });
        let reload = Some(Reload { ends, tables });
        self.flowing = true;
        self.emit(Effect::Fill(Fill { ticket, starts, reload, failures: self.failures }));
    }

    fn is_reloading(&self) -> bool {
        self.batches.iter().any(|batch| matches!(batch.kind, Kind::Reload { .. }))
    }

    fn open_batch(&mut self, kind: Kind) -> Ticket {
        let ticket = self.ticket();
        self.batches.push_back(Batch::filling(ticket, kind));
        ticket
    }

    fn starts_of_ready(&self) -> BTreeMap<Partition, Offset> {
        self.owned
            .iter()
            .filter(|(partition, owned)| owned.standing == Standing::Ready && !self.leaving.contains(partition))
            .map(|(partition, owned)| (*partition, owned.next))
            .collect()
    }

    /// Partitions that became ready are read too: beside the others if reading goes on, else with the next fill. A
    /// reload takes nobody in: its other tables get no rows.
    pub(super) fn join(&mut self, mut starts: BTreeMap<Partition, Offset>) {
        starts.retain(|partition, _| !self.leaving.contains(partition));
        if self.flowing && !self.is_reloading() && !starts.is_empty() {
            self.emit(Effect::Join { starts });
        }
    }

    /// An intent was found: what is being filled gives way; what is sealed, or settles another, goes its way first.
    pub(super) fn give_way(&mut self) {
        if !self.is_reloading() {
            self.stop_reading();
        }
    }

    pub(super) fn has_unsettled(&self) -> bool {
        self.owned.values().any(|owned| owned.standing == Standing::Unsettled)
    }

    // ---- small helpers -----------------------------------------------------------------------------------------------

    pub(super) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }

    pub(super) fn progressed(&mut self) {
        self.failures = 0;
        self.stuck = 0;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    fn batch_index(&self, ticket: Ticket, phase: Phase) -> Option<usize> {
        self.batches.iter().position(|batch| batch.ticket == ticket && batch.phase == phase)
    }

    pub(super) fn table(&self, tag: Tag) -> Option<&Table> {
        self.settings.tables.iter().find(|table| Tag::of_table(table) == tag)
    }

    pub(super) fn table_name(&self, tag: Tag) -> String {
        self.table(tag).map_or_else(|| format!("table {tag} (not configured)"), ToString::to_string)
    }

    pub(super) fn txn(&self, nonce: Nonce, tag: Tag, id: Option<crate::domain::TxnId>) -> Option<Txn> {
        let table = self.table(tag)?.clone();
        let label = label(self.settings.pipeline, nonce, &table);
        Some(Txn { table, label, id })
    }

    fn txn_of(&self, batch: &Batch, tag: Tag) -> Option<Txn> {
        self.txn(batch.nonce?, tag, batch.loads.get(&tag)?.id)
    }

    /// Ranges of a batch, for notices.
    pub(super) fn plain_ranges(ranges: &BTreeMap<Partition, SealedRange>) -> Ranges {
        ranges.iter().map(|(partition, sealed)| (*partition, sealed.range)).collect()
    }
}
