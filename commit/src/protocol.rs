//! The state machine of one pipeline in one process: what is owned, what is being settled, at most two batches.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};

use super::batch::{Batch, Kind, Phase};
use super::event::{Effect, Event, Notice, SealedRange, Stop, Ticket, Txn};
use super::label::{Tag, label};
use super::metadata::{Metadata, OriginStart, noted_cluster};
use super::positions::{Identity, Labels, ReadInFlight, ResolveInFlight};
use super::record::Call;
use super::settle::Settlement;
use crate::domain::{Nonce, Offset, Partition, Ranges, Table, TxnId};

/// What the protocol has to know of its pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Tag of the pipeline: topic and group.
    pub pipeline: Tag,
    /// Name of the topic, for texts.
    pub topic: String,
    /// Tables that the routes feed.
    pub tables: Vec<Table>,
    /// Those of them that are loaded in one phase: visible once prepared, and never in an intent.
    pub at_least_once: BTreeSet<Tag>,
    /// Digest of the mapping of all routes.
    pub mapping: Tag,
    /// Where to start without a position.
    pub start: StartWish,
}

/// Start as the configuration asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// The position has to be read.
    Unread,
    /// Without a position, like the whole topic; whether the engine remembers loads of the pipeline is being asked.
    Doubted {
        /// The start in its durable form.
        start: OriginStart,
    },
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

/// The last number given out. It says nothing of what a protocol does next, so any two are equal.
#[derive(Clone, Copy, Debug, Default)]
struct Last(u64);

impl Last {
    fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

impl PartialEq for Last {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Last {}

impl Hash for Last {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

/// The protocol of one pipeline: [`Protocol::step`] is its only door.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Protocol {
    pub(super) settings: Settings,
    pub(super) owned: BTreeMap<Partition, Owned>,
    pub(super) batches: VecDeque<Batch>,
    pub(super) settlement: Option<Settlement>,
    pub(super) call: Option<Call>,
    pub(super) reading: Option<ReadInFlight>,
    pub(super) resolving: Option<ResolveInFlight>,
    pub(super) labels: Labels,
    /// True while the shell reads in the order of `next`; false after anything that makes it read anew.
    pub(super) flowing: bool,
    /// Partitions whose revocation waits for the call in flight.
    pub(super) leaving: BTreeSet<Partition>,
    pub(super) draining: bool,
    stop: Option<Stop>,
    ended: bool,
    /// Fills that came to nothing since the last advance.
    pub(super) failures: u32,
    /// Batches dropped by rule 9 since the last advance.
    pub(super) stuck: u32,
    last_ticket: Last,
    last_epoch: Last,
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
            labels: Labels::Unasked,
            flowing: false,
            leaving: BTreeSet::new(),
            draining: false,
            stop: None,
            ended: false,
            failures: 0,
            stuck: 0,
            last_ticket: Last::default(),
            last_epoch: Last::default(),
            effects: Vec::new(),
        }
    }

    /// Takes one event and says what is to be done, in this order. Answers to what is no longer asked are ignored.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Assigned(partitions) => self.assigned(partitions),
            Event::Revoking(partitions) => self.revoking(partitions),
            Event::Lost(partitions) => self.lost(&partitions),
            Event::Positions { ticket, stored, log, topic_id, cluster_id, now_ms } => {
                let cluster = cluster_id.as_deref().map(noted_cluster);
                self.positions_read(ticket, &stored, &log, &Identity { topic_id, cluster }, now_ms);
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
            Event::Evidence { ticket, table, committed, looked } => {
                self.evidence_found(ticket, table, committed, &looked);
            }
            Event::Labels { ticket, remembered } => self.labels_found(ticket, remembered),
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

    /// Why the pipeline will stop once what is open is finished.
    pub fn pending_stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    /// Batches whose intent was never sent, with their loads: whoever ends without finishing them rolls them back.
    pub fn without_intent(&self) -> Vec<(Ticket, Vec<Txn>)> {
        let open = self.batches.iter().filter(|batch| !batch.intent_sent);
        let loads = |batch: &Batch| batch.loads.keys().filter_map(|tag| self.txn_of(batch, *tag)).collect();
        open.map(|batch| (batch.ticket, loads(batch))).collect()
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
            let owned = Owned {
                epoch: self.last_epoch.next(),
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

    // ---- the end -----------------------------------------------------------------------------------------------------

    pub(super) fn drain(&mut self, stop: Option<Stop>) {
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
            Phase::Sealed => self.prepare_front(),
            Phase::Prepared if front.has_rows() => self.record_intent(),
            Phase::Prepared | Phase::Advancing => self.record_advance(),
            Phase::Filling | Phase::Preparing | Phase::Recording | Phase::Committing => {}
        }
    }

    // ---- small helpers -----------------------------------------------------------------------------------------------

    pub(super) fn emit(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.last_ticket.next()
    }

    pub(super) fn progressed(&mut self) {
        self.failures = 0;
        self.stuck = 0;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining
    }

    pub(super) fn batch_index(&self, ticket: Ticket, phase: Phase) -> Option<usize> {
        self.batches.iter().position(|batch| batch.ticket == ticket && batch.phase == phase)
    }

    pub(super) fn table(&self, tag: Tag) -> Option<&Table> {
        self.settings.tables.iter().find(|table| Tag::of_table(table) == tag)
    }

    pub(super) fn table_name(&self, tag: Tag) -> String {
        self.table(tag).map_or_else(|| format!("table {tag} (not configured)"), ToString::to_string)
    }

    pub(super) fn txn(&self, nonce: Nonce, tag: Tag, id: Option<TxnId>) -> Option<Txn> {
        let table = self.table(tag)?.clone();
        let label = label(self.settings.pipeline, nonce, &table);
        Some(Txn { table, label, id })
    }

    pub(super) fn txn_of(&self, batch: &Batch, tag: Tag) -> Option<Txn> {
        self.txn(batch.nonce?, tag, batch.loads.get(&tag)?.id)
    }

    /// Ranges of a batch, for notices.
    pub(super) fn plain_ranges(ranges: &BTreeMap<Partition, SealedRange>) -> Ranges {
        ranges.iter().map(|(partition, sealed)| (*partition, sealed.range)).collect()
    }
}
