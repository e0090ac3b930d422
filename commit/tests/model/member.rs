//! One process: the production protocol, its consumer thread, and the least of a shell around both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use loadlock_commit::domain::{Nonce, Offset, Partition, PositionToStore, Range, Stored};
use loadlock_commit::metadata::OriginStart;
use loadlock_commit::{Effect, Event, Fill, Notice, Protocol, Reload, SealedRange, Stop, StopCode, Tag, Ticket, Txn};

use crate::consumer::Consumer;
use crate::engine::{Origin, name, name_of};
use crate::fault::Fault;
use crate::group::AGE_MAX;
use crate::mutant::{Memory, Mutant, as_if_stored, carries_intent, nonce_of};
use crate::outside::{Broken, Late, Outside};
use crate::world::{World, named, number_of, tag_of};

/// Something that takes time. Tasks end in any order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    Record {
        ticket: Ticket,
        positions: Vec<PositionToStore>,
        /// Partitions owned without interruption since the protocol decided.
        holds: BTreeSet<Partition>,
    },
    Read {
        ticket: Ticket,
    },
    Resolve {
        ticket: Ticket,
        start: OriginStart,
        fresh: bool,
        partitions: BTreeSet<Partition>,
    },
    Rejoin,
    Prepare {
        ticket: Ticket,
    },
    Commit {
        ticket: Ticket,
        table: Tag,
        txn: Txn,
    },
    Abort {
        ticket: Ticket,
        table: Tag,
        txn: Txn,
    },
    Ask {
        ticket: Ticket,
        table: Tag,
        txn: Txn,
    },
    /// An answer on its way.
    Tell(Event),
}

/// A batch that is being filled. Its records are read when it is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Filling {
    ticket: Ticket,
    reload: Option<Reload>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SealedBatch {
    pub(crate) nonce: Nonce,
    pub(crate) ranges: BTreeMap<Partition, Range>,
    pub(crate) tables: BTreeSet<Tag>,
    pub(crate) origin: Origin,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// It was asked to finish, and has.
    Drained,
    /// It needs a person.
    Stopped,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    pub(crate) protocol: Protocol,
    pub(crate) consumer: Consumer,
    pub(crate) tasks: Vec<Task>,
    pub(crate) sealed: BTreeMap<Ticket, SealedBatch>,
    pub(crate) end: Option<End>,
    pub(crate) draining: bool,
    /// Partitions that the protocol may store positions for: given, and neither released nor lost.
    given: BTreeSet<Partition>,
    frontier: BTreeMap<Partition, Offset>,
    filling: Option<Filling>,
    /// The topic that it has last seen, by how often it was created again.
    pub(crate) topic: u8,
    /// Its configuration.
    pub(crate) mapping: u8,
    /// Where a fill begins that goes back too far, if this process makes that mistake.
    rewound: BTreeMap<Partition, Offset>,
    /// Positions of earlier assignments, if this process makes that mistake.
    pub(crate) carried: BTreeMap<Partition, Option<Stored>>,
    memory: Memory,
}

/// What a process may look at and touch while it performs effects.
pub(crate) struct Hands<'w> {
    pub(crate) world: &'w World,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) outside: &'w mut Outside,
    /// A nonce that stands nowhere.
    pub(crate) nonce: u8,
}

impl Hands<'_> {
    /// First record of that time or later.
    pub(crate) fn first_since(&self, partition: Partition, ms: i64) -> Offset {
        let times = self.outside.times.iter();
        let mut later = times.filter(|((of, _), time)| *of == partition && **time >= ms);
        let end = self.outside.ends.get(&partition).copied().unwrap_or(0);
        later.next().map_or(end, |((_, offset), _)| *offset)
    }

    pub(crate) fn is_stuck(&self, txn: &Txn) -> bool {
        let load = self.outside.engine.loads.get(&name_of(txn, self.world));
        load.is_some_and(|load| load.stuck && !load.is_final())
    }
}

impl Member {
    pub(crate) fn new(world: &World, mapping: u8) -> Self {
        Self {
            protocol: Protocol::new(world.settings(mapping)),
            consumer: Consumer { age: AGE_MAX, ..Consumer::default() },
            tasks: Vec::new(),
            sealed: BTreeMap::new(),
            end: None,
            draining: false,
            given: BTreeSet::new(),
            frontier: BTreeMap::new(),
            filling: None,
            topic: 0,
            mapping,
            rewound: BTreeMap::new(),
            carried: BTreeMap::new(),
            memory: Memory::default(),
        }
    }

    /// Tells the protocol, and performs what it asks for.
    pub(crate) fn step(&mut self, event: Event, hands: &mut Hands<'_>) {
        if self.end.is_some() {
            return;
        }
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.hear(&event);
            let event = match hands.mutant {
                Some(mutant) => {
                    let sealed = &self.sealed;
                    self.memory.tamper(
                        mutant,
                        event,
                        |ticket| !sealed.contains_key(&ticket),
                        Tag(7 + u32::from(self.mapping)),
                    )
                }
                None => event,
            };
            for effect in self.protocol.step(event) {
                events.extend(self.perform(effect, hands));
            }
        }
        self.tasks.sort_by_key(Task::key);
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Assigned(partitions) => self.given.extend(partitions),
            Event::Lost(partitions) => self.given.retain(|partition| !partitions.contains(partition)),
            Event::Revoking(_) => {
                if let Some(leaving) = &mut self.consumer.leaving {
                    leaving.heard = true;
                }
            }
            Event::Drain(_) | Event::Halt(_) => self.draining = true,
            Event::Positions { .. }
            | Event::Resolved { .. }
            | Event::Recorded { .. }
            | Event::Sealed { .. }
            | Event::Empty { .. }
            | Event::Prepared { .. }
            | Event::LoadFailed { .. }
            | Event::CommitAnswered { .. }
            | Event::AbortAnswered { .. }
            | Event::Evidence { .. }
            | Event::Labels { .. }
            | Event::State { .. } => {}
        }
    }

    fn perform(&mut self, effect: Effect, hands: &mut Hands<'_>) -> Option<Event> {
        let task = match effect {
            Effect::ReadPositions { ticket, .. } => Task::Read { ticket },
            Effect::Resolve { ticket, start, fresh, partitions } => Task::Resolve { ticket, start, fresh, partitions },
            Effect::Record { ticket, positions, .. } => {
                // EO-7: nothing is stored for what was released or lost.
                if positions.iter().any(|position| !self.given.contains(&position.partition)) {
                    hands.outside.break_rule(Broken::Eo7);
                }
                return self.record_later(ticket, positions, hands);
            }
            Effect::Prepare { ticket } => {
                self.tasks.push(Task::Prepare { ticket });
                let early = hands.mutant == Some(Mutant::IntentBeforePrepare);
                return early.then(|| Event::Prepared { ticket, ids: BTreeMap::new(), now_ms: 0 });
            }
            Effect::Commit { ticket, table, txn, .. } => {
                self.committing(ticket, table, hands);
                Task::Commit { ticket, table, txn }
            }
            Effect::Abort { ticket, table, txn } => Task::Abort { ticket, table, txn },
            Effect::Ask { ticket, table, txn, .. } => Task::Ask { ticket, table, txn },
            // Nothing but the trail tells in this model; the stop that follows is the safe answer.
            Effect::LookForEvidence { ticket, table, .. } => {
                return Some(Event::Evidence { ticket, table, committed: false, looked: String::new() });
            }
            Effect::LookForLabels { ticket } => return Some(Event::Labels { ticket, remembered: None }),
            Effect::Rejoin => Task::Rejoin,
            Effect::Fill(fill) => return self.begin_fill(fill, hands),
            Effect::NextFill { ticket } => {
                self.filling = Some(Filling { ticket, reload: None });
                return None;
            }
            Effect::Join { starts } => {
                self.frontier.extend(starts);
                return None;
            }
            Effect::Hold => {
                self.filling = None;
                if hands.mutant != Some(Mutant::KeepsTheSecond) {
                    self.frontier.clear();
                }
                return None;
            }
            Effect::Seal { ticket } => return self.seal_for_drain(ticket, hands),
            Effect::Abandon { ticket, loads } => return self.abandon(ticket, &loads, hands),
            Effect::Release(partitions) => return self.release(&partitions, hands),
            Effect::Report(notice) => {
                if let Notice::Advanced { ticket } = notice {
                    self.sealed.remove(&ticket);
                }
                return None;
            }
            Effect::Drained => return self.ends(End::Drained),
            Effect::Stop(stop) => return self.stops(&stop, hands),
        };
        self.tasks.push(task);
        None
    }

    fn record_later(
        &mut self,
        ticket: Ticket,
        positions: Vec<PositionToStore>,
        hands: &mut Hands<'_>,
    ) -> Option<Event> {
        let intent = positions.iter().any(|position| carries_intent(&position.metadata));
        let told = match hands.mutant {
            Some(Mutant::CommitsBeforeReadBack) if intent => Some(as_if_stored(ticket, &positions, false)),
            Some(Mutant::SkipsTheAdvance) if !intent => return Some(as_if_stored(ticket, &positions, false)),
            _ => None,
        };
        self.tasks.push(Task::Record { ticket, positions, holds: self.consumer.known() });
        told
    }

    /// EO-3: every partition of the batch has carried its intent.
    fn committing(&mut self, ticket: Ticket, table: Tag, hands: &mut Hands<'_>) {
        let Some(batch) = self.sealed.get(&ticket) else { return };
        let load = hands.outside.engine.loads.get(&name(batch.nonce, number_of(table)));
        let recorded = |partition| load.is_some_and(|load| load.recorded.contains(partition));
        if !batch.ranges.keys().all(recorded) {
            hands.outside.break_rule(Broken::Eo3);
        }
    }

    fn release(&mut self, partitions: &BTreeSet<Partition>, hands: &mut Hands<'_>) -> Option<Event> {
        self.given.retain(|partition| !partitions.contains(partition));
        if self.consumer.leaving.as_ref().is_some_and(|leaving| leaving.heard) {
            self.let_go(hands);
        }
        None
    }

    /// The callback of a revocation ends, and the group hears of it.
    pub(crate) fn let_go(&mut self, hands: &mut Hands<'_>) {
        let gone = if hands.mutant == Some(Mutant::StoresReleased) {
            self.consumer.leaving.take().map(|leaving| leaving.partitions).unwrap_or_default()
        } else {
            self.consumer.let_go()
        };
        if let Some(seat) = self.consumer.seat {
            hands.outside.group.give_back(seat, &gone);
        }
        self.forget_disowned();
    }

    /// What waits to be stored is not for partitions that have left meanwhile, even if they come back.
    pub(crate) fn forget_disowned(&mut self) {
        for task in &mut self.tasks {
            if let Task::Record { holds, .. } = task {
                holds.retain(|partition| self.consumer.owned.contains(partition));
            }
        }
    }

    fn stops(&mut self, stop: &Stop, hands: &mut Hands<'_>) -> Option<Event> {
        let outside = &mut *hands.outside;
        outside.stopped = Some(stop.code);
        match stop.code {
            StopCode::OutcomeUnknown if outside.forgetful => {}
            StopCode::MappingChanged if hands.world.faults.iter().any(|(fault, _)| *fault == Fault::Remap) => {}
            StopCode::TopicChanged | StopCode::NoPosition if outside.origin.topic > 0 => {}
            StopCode::LogRewritten if outside.origin.epoch > 0 => {}
            StopCode::NotCommittable => {}
            StopCode::Invariant => outside.break_rule(Broken::Eo6),
            StopCode::OutcomeUnknown
            | StopCode::BadRecord
            | StopCode::LoadRefused
            | StopCode::PositionRefused
            | StopCode::TooManyRejects
            | StopCode::NoPosition
            | StopCode::PositionOutOfLog
            | StopCode::TopicChanged
            | StopCode::ClusterChanged
            | StopCode::PositionsLost
            | StopCode::Preflight
            | StopCode::PositionUnreadable
            | StopCode::MappingChanged
            | StopCode::LogRewritten
            | StopCode::Kafka
            | StopCode::DeadLetters
            | StopCode::TopicMissing
            | StopCode::Denied
            | StopCode::Fenced
            | StopCode::DrainUnfinished => outside.break_rule(Broken::Stop(stop.code)),
        }
        self.ends(End::Stopped)
    }

    fn ends(&mut self, end: End) -> Option<Event> {
        self.end.get_or_insert(end);
        None
    }

    // ---- filling -----------------------------------------------------------------------------------------------------

    fn begin_fill(&mut self, fill: Fill, hands: &mut Hands<'_>) -> Option<Event> {
        let Fill { ticket, starts, mut reload, .. } = fill;
        match (hands.mutant, &mut reload) {
            (Some(Mutant::RewindsToTheStored), None) => {
                let stored = |partition| Some(hands.outside.group.stored.get(partition)?.as_ref()?.offset);
                self.rewound = starts.keys().filter_map(|p| Some((*p, stored(p)?))).collect();
            }
            (Some(Mutant::ReloadsAllTables), Some(reload)) => {
                reload.tables = hands.world.table_numbers().map(tag_of).collect();
            }
            _ => {}
        }
        if hands.mutant == Some(Mutant::KeepsTheSecond) && reload.is_none() {
            let kept = std::mem::take(&mut self.frontier);
            self.frontier =
                starts.into_iter().map(|(p, at)| (p, kept.get(&p).map_or(at, |kept| at.max(*kept)))).collect();
        } else {
            self.frontier = starts;
        }
        self.filling = Some(Filling { ticket, reload });
        None
    }

    fn abandon(&mut self, ticket: Ticket, loads: &[Txn], hands: &mut Hands<'_>) -> Option<Event> {
        if self.filling.as_ref().is_some_and(|filling| filling.ticket == ticket) {
            self.filling = None;
        }
        if self.sealed.remove(&ticket).is_some() {
            for txn in loads {
                let (nonce, table) = named(txn, hands.world);
                hands.outside.late.push(Late::Abort(nonce, table));
            }
        }
        None
    }

    /// Partitions that have something to read for the batch that is being filled.
    pub(crate) fn readable(&self, world: &World, outside: &Outside) -> BTreeMap<Partition, Range> {
        let Some(filling) = &self.filling else { return BTreeMap::new() };
        let end = |partition, at: Offset| match &filling.reload {
            Some(reload) => reload.ends.get(&partition).copied().unwrap_or(at),
            None => outside.ends.get(&partition).copied().unwrap_or(at).min(at + world.batch),
        };
        let ranges =
            self.frontier.iter().map(|(partition, at)| (*partition, Range { start: *at, end: end(*partition, *at) }));
        ranges.filter(|(_, range)| !range.is_empty()).collect()
    }

    pub(crate) fn reloads(&self) -> bool {
        self.filling.as_ref().is_some_and(|filling| filling.reload.is_some())
    }

    pub(crate) fn seal(&mut self, only: Option<Partition>, hands: &mut Hands<'_>) {
        if let Some(event) = self.sealed_now(only, hands) {
            self.step(event, hands);
        }
    }

    fn seal_for_drain(&mut self, ticket: Ticket, hands: &mut Hands<'_>) -> Option<Event> {
        if self.filling.as_ref().is_none_or(|filling| filling.ticket != ticket) {
            return None;
        }
        let event = self.sealed_now(None, hands);
        self.frontier.clear();
        event
    }

    fn sealed_now(&mut self, only: Option<Partition>, hands: &mut Hands<'_>) -> Option<Event> {
        let mut ranges = self.readable(hands.world, hands.outside);
        let origin = Origin { mapping: self.mapping, ..hands.outside.origin };
        let leader_epoch = i32::from(origin.epoch);
        ranges.retain(|partition, _| only.is_none_or(|only| only == *partition));
        let Filling { ticket, reload } = self.filling.take()?;
        if ranges.is_empty() {
            return Some(Event::Empty { ticket });
        }
        for (partition, range) in &ranges {
            self.frontier.insert(*partition, range.end);
        }
        let rows = ranges.iter().any(|(partition, range)| {
            (range.start..range.end).any(|offset| hands.world.makes_row((*partition, offset)))
        });
        let wanted = |tag: &Tag| rows && reload.as_ref().is_none_or(|reload| reload.tables.contains(tag));
        let tables: BTreeSet<Tag> = hands.world.table_numbers().map(tag_of).filter(wanted).collect();
        let mut nonce = Nonce(u128::from(hands.nonce));
        hands.nonce += 1;
        if hands.mutant == Some(Mutant::NonceFromOffsets) {
            nonce = nonce_of(&ranges);
        }
        let sealed = ranges.iter().map(|(partition, range)| (*partition, SealedRange { range: *range, leader_epoch }));
        let sealed = sealed.collect();
        for (partition, from) in std::mem::take(&mut self.rewound) {
            if let Some(range) = ranges.get_mut(&partition) {
                range.start = from;
            }
        }
        self.sealed.insert(ticket, SealedBatch { nonce, ranges, tables: tables.clone(), origin });
        Some(Event::Sealed { ticket, nonce, ranges: sealed, tables })
    }
}

impl Task {
    /// Any order will do, so long as it is always the same.
    pub(crate) fn key(&self) -> (u8, Ticket, u32) {
        match self {
            Self::Record { ticket, .. } => (0, *ticket, 0),
            Self::Read { ticket } => (1, *ticket, 0),
            Self::Resolve { ticket, .. } => (2, *ticket, 0),
            Self::Rejoin => (3, 0, 0),
            Self::Prepare { ticket } => (4, *ticket, 0),
            Self::Commit { ticket, table, .. } => (5, *ticket, table.0),
            Self::Abort { ticket, table, .. } => (6, *ticket, table.0),
            Self::Ask { ticket, table, .. } => (7, *ticket, table.0),
            Self::Tell(event) => Self::told(event),
        }
    }

    fn told(event: &Event) -> (u8, Ticket, u32) {
        match event {
            Event::Positions { ticket, .. } => (8, *ticket, 0),
            Event::Resolved { ticket, .. } => (9, *ticket, 0),
            Event::Recorded { ticket, .. } => (10, *ticket, 0),
            Event::State { ticket, table, .. } => (11, *ticket, table.0),
            Event::Sealed { ticket, .. }
            | Event::Empty { ticket }
            | Event::Prepared { ticket, .. }
            | Event::LoadFailed { ticket, .. }
            | Event::CommitAnswered { ticket, .. }
            | Event::AbortAnswered { ticket, .. } => (12, *ticket, 0),
            Event::Evidence { ticket, .. } | Event::Labels { ticket, .. } => (14, *ticket, 0),
            Event::Assigned(_) | Event::Revoking(_) | Event::Lost(_) | Event::Drain(_) | Event::Halt(_) => (13, 0, 0),
        }
    }
}
