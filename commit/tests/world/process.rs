//! One process: the production protocol, its consumer thread, and the least of a shell around both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use loadlock_commit::domain::{Nonce, Offset, Partition, PositionToStore, Range, Stored, TxnState};
use loadlock_commit::metadata::{Metadata, OriginStart};
use loadlock_commit::{
    Effect, Event, Fill, Notice, Protocol, Reload, SealedRange, Settings, StartWish, Stop, StopCode, Tag, Ticket, Txn,
};

use crate::broker::Broker;
use crate::judge::Judge;
use crate::log::{Place, Topic};
use crate::mutant::Mutant;
use crate::rng::Rng;
use crate::source::Source;
use crate::tally::Tally;

/// Something that takes time. Tasks end in any order.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Record {
        ticket: Ticket,
        positions: Vec<PositionToStore>,
        seen: u64,
    },
    Read {
        ticket: Ticket,
        partitions: BTreeSet<Partition>,
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
    AbortQuietly(Txn),
    Ask {
        ticket: Ticket,
        table: Tag,
        txn: Txn,
    },
    LookForEvidence {
        ticket: Ticket,
        table: Tag,
        txn: Txn,
    },
    LookForLabels {
        ticket: Ticket,
    },
    /// An answer on its way.
    Tell(Event),
}

#[derive(Debug)]
struct Filling {
    ticket: Ticket,
    nonce: Nonce,
    reload: Option<Reload>,
    ranges: BTreeMap<Partition, SealedRange>,
    rows: BTreeMap<Tag, BTreeSet<Place>>,
}

#[derive(Clone, Debug)]
pub(crate) struct SealedBatch {
    pub(crate) nonce: Nonce,
    partitions: BTreeSet<Partition>,
    pub(crate) rows: BTreeMap<Tag, BTreeSet<Place>>,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Drained,
    Stopped(Stop),
}

pub(crate) struct Process {
    pub(crate) protocol: Protocol,
    pub(crate) source: Source,
    pub(crate) tasks: Vec<Task>,
    pub(crate) sealed: BTreeMap<Ticket, SealedBatch>,
    pub(crate) end: Option<End>,
    pub(crate) draining: bool,
    pub(crate) frozen: bool,
    /// Partitions that the protocol may store positions for: given, and neither released nor lost.
    given: BTreeSet<Partition>,
    releasing: Option<u64>,
    frontier: BTreeMap<Partition, Offset>,
    filling: Option<Filling>,
    /// Where a fill begins that goes back too far, if this process makes that mistake.
    rewound: BTreeMap<Partition, Offset>,
    aborted: BTreeSet<(Ticket, Tag)>,
    committed: BTreeSet<(Ticket, Tag)>,
    mutant: Option<Mutant>,
}

/// What the shell may look at and touch while it performs effects.
pub(crate) struct Hands<'w> {
    pub(crate) topic: &'w Topic,
    pub(crate) judge: &'w mut Judge,
    pub(crate) tally: &'w mut Tally,
    pub(crate) rng: &'w mut Rng,
    pub(crate) broker: &'w mut Broker,
    /// Who this is, and where to write down what happens, if somebody wants to know.
    pub(crate) trace: Option<(usize, &'w mut Vec<String>)>,
}

impl Hands<'_> {
    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some((index, trace)) = &mut self.trace {
            trace.push(format!("  process {index} {}", what()));
        }
    }
}

pub(crate) fn settings(topic: &Topic, start: StartWish) -> Settings {
    Settings {
        pipeline: Tag::of("world"),
        topic: "world".to_owned(),
        tables: topic.tables().cloned().collect(),
        at_least_once: topic.at_least_once().clone(),
        mapping: Tag::of("mapping"),
        start,
    }
}

impl Process {
    pub(crate) fn new(settings: Settings, mutant: Option<Mutant>) -> Self {
        Self {
            protocol: Protocol::new(settings),
            source: Source::default(),
            tasks: Vec::new(),
            sealed: BTreeMap::new(),
            end: None,
            draining: false,
            frozen: false,
            given: BTreeSet::new(),
            releasing: None,
            frontier: BTreeMap::new(),
            filling: None,
            rewound: BTreeMap::new(),
            aborted: BTreeSet::new(),
            committed: BTreeSet::new(),
            mutant,
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.end.is_none()
    }

    /// Tells the protocol, and performs what it asks for.
    pub(crate) fn step(&mut self, event: Event, hands: &mut Hands<'_>) {
        self.hear(&event, hands);
        let mut events = VecDeque::from([self.tamper(event)]);
        while let Some(event) = events.pop_front() {
            hands.note(|| format!("<- {event:?}"));
            for effect in self.protocol.step(event) {
                hands.note(|| format!("-> {effect:?}"));
                events.extend(self.perform(effect, hands));
            }
        }
    }

    /// The next event of the consumer thread reaches the protocol.
    pub(crate) fn hear_source(&mut self, hands: &mut Hands<'_>) {
        let Some(event) = self.source.inbox.pop_front() else { return };
        self.step(event, hands);
    }

    fn hear(&mut self, event: &Event, hands: &mut Hands<'_>) {
        match event {
            Event::Assigned(partitions) => self.given.extend(partitions),
            Event::Lost(partitions) => self.given.retain(|partition| !partitions.contains(partition)),
            Event::Revoking(_) => self.releasing = Some(self.source.seen()),
            Event::Recorded { doubtful: true, .. } => hands.tally.count("a doubtful commit"),
            Event::State { state: TxnState::Unknown, .. } => hands.tally.count("the engine says unknown"),
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
            | Event::State { .. }
            | Event::Evidence { .. }
            | Event::Labels { .. } => {}
        }
    }

    fn perform(&mut self, effect: Effect, hands: &mut Hands<'_>) -> Option<Event> {
        let task = match effect {
            Effect::ReadPositions { ticket, partitions } => Task::Read { ticket, partitions },
            Effect::Resolve { ticket, start, fresh, partitions } => Task::Resolve { ticket, start, fresh, partitions },
            Effect::Record { ticket, positions, .. } => return self.record(ticket, positions, hands),
            Effect::Prepare { ticket } => Task::Prepare { ticket },
            Effect::Commit { ticket, table, txn, .. } => {
                if let Some(batch) = self.sealed.get(&ticket) {
                    hands.judge.committing(batch.nonce, batch.partitions.iter());
                }
                Task::Commit { ticket, table, txn }
            }
            Effect::Abort { ticket, table, txn } => Task::Abort { ticket, table, txn },
            Effect::Ask { ticket, table, txn, .. } => Task::Ask { ticket, table, txn },
            Effect::LookForEvidence { ticket, table, txn, .. } => Task::LookForEvidence { ticket, table, txn },
            Effect::LookForLabels { ticket } => Task::LookForLabels { ticket },
            Effect::Rejoin => Task::Rejoin,
            Effect::Fill(fill) => return self.begin_fill(fill, hands),
            Effect::NextFill { ticket } => return self.open_fill(ticket, None, hands),
            Effect::Join { starts } => return self.join(starts, hands),
            Effect::Hold => return self.hold(),
            Effect::Seal { ticket } => return self.seal_for_drain(ticket, hands),
            Effect::Abandon { ticket, loads } => return self.abandon(ticket, loads),
            Effect::Release(partitions) => return self.release(&partitions, hands),
            Effect::Report(notice) => return Self::report(&notice, hands),
            Effect::Drained => return self.ends(End::Drained),
            Effect::Stop(stop) => return self.stops(stop, hands),
        };
        self.tasks.push(task);
        None
    }

    fn stops(&mut self, stop: Stop, hands: &mut Hands<'_>) -> Option<Event> {
        if stop.code == StopCode::Invariant {
            hands.judge.broken("EO-6", stop.what.clone());
        }
        self.ends(End::Stopped(stop))
    }

    fn ends(&mut self, end: End) -> Option<Event> {
        self.end.get_or_insert(end);
        None
    }

    /// EO-7: nothing is stored for what was released or lost.
    fn record(&mut self, ticket: Ticket, positions: Vec<PositionToStore>, hands: &mut Hands<'_>) -> Option<Event> {
        for PositionToStore { partition, .. } in &positions {
            if !self.given.contains(partition) {
                hands.judge.broken("EO-7", format!("a position of {partition} is sent, which was given up"));
            }
        }
        let intent = positions.iter().any(|position| carries_intent(&position.metadata));
        hands.tally.count(if intent { "intents sent" } else { "advances and first positions sent" });
        self.tasks.push(Task::Record { ticket, positions: positions.clone(), seen: self.source.seen() });
        (self.mutant == Some(Mutant::CommitsBeforeReadBack) && intent).then(|| as_if_stored(ticket, &positions))
    }

    fn release(&mut self, partitions: &BTreeSet<Partition>, hands: &mut Hands<'_>) -> Option<Event> {
        self.given.retain(|partition| !partitions.contains(partition));
        if let Some(number) = self.releasing.take() {
            self.source.release(number, hands.broker);
        }
        None
    }

    fn report(notice: &Notice, hands: &mut Hands<'_>) -> Option<Event> {
        hands.tally.count(match notice {
            Notice::Advanced { .. } => "batches advanced",
            Notice::Dropped { why, .. } => why,
            Notice::Settled { reloads: true, .. } => "settled, to be loaded again",
            Notice::Settled { reloads: false, .. } => "settled, everything visible",
            Notice::Started { .. } => "first positions stored",
            Notice::ForeignPosition { .. } => "foreign positions",
            Notice::DoubtfulCommit => "membership given up",
        });
        None
    }

    // ---- filling -----------------------------------------------------------------------------------------------------

    fn begin_fill(&mut self, fill: Fill, hands: &mut Hands<'_>) -> Option<Event> {
        let Fill { ticket, starts, reload, .. } = fill;
        if self.mutant == Some(Mutant::RewindsToTheStored) && reload.is_none() {
            let stored = |partition| Some(hands.broker.stored.get(partition)?.as_ref()?.offset);
            self.rewound = starts.keys().filter_map(|p| Some((*p, stored(p)?))).collect();
        }
        self.frontier = starts;
        self.open_fill(ticket, reload, hands)
    }

    fn open_fill(&mut self, ticket: Ticket, reload: Option<Reload>, hands: &mut Hands<'_>) -> Option<Event> {
        let nonce = Nonce(hands.rng.nonce());
        self.filling = Some(Filling { ticket, nonce, reload, ranges: BTreeMap::new(), rows: BTreeMap::new() });
        None
    }

    fn join(&mut self, starts: BTreeMap<Partition, Offset>, hands: &mut Hands<'_>) -> Option<Event> {
        hands.tally.count("partitions joined a running fill");
        self.frontier.extend(starts);
        None
    }

    fn hold(&mut self) -> Option<Event> {
        self.filling = None;
        self.frontier.clear();
        None
    }

    fn abandon(&mut self, ticket: Ticket, loads: Vec<Txn>) -> Option<Event> {
        if self.filling.as_ref().is_some_and(|filling| filling.ticket == ticket) {
            self.filling = None;
        }
        if self.sealed.remove(&ticket).is_some() {
            self.tasks.extend(loads.into_iter().map(Task::AbortQuietly));
        }
        None
    }

    /// Partitions that have something to read for the batch that is being filled.
    pub(crate) fn readable(&self, topic: &Topic) -> Vec<Partition> {
        let Some(filling) = &self.filling else { return Vec::new() };
        let until = |partition: Partition| {
            let end = topic.end(partition);
            match filling.reload.as_ref().and_then(|reload| reload.ends.get(&partition)) {
                Some(bound) => end.min(*bound),
                None => end,
            }
        };
        self.frontier
            .iter()
            .filter(|(partition, at)| **at < until(**partition))
            .map(|(partition, _)| *partition)
            .collect()
    }

    /// One offset more.
    pub(crate) fn read_one(&mut self, partition: Partition, topic: &Topic) {
        let (Some(filling), Some(frontier)) = (&mut self.filling, self.frontier.get_mut(&partition)) else { return };
        let offset = *frontier;
        *frontier += 1;
        let sealed = filling
            .ranges
            .entry(partition)
            .or_insert(SealedRange { range: Range { start: offset, end: offset }, leader_epoch: 0 });
        sealed.range.end = *frontier;
        for table in topic.rows_of((partition, offset)) {
            if filling.reload.as_ref().is_none_or(|reload| reload.tables.contains(&table)) {
                filling.rows.entry(table).or_default().insert((partition, offset));
            }
        }
    }

    pub(crate) fn may_seal(&self) -> bool {
        let Some(filling) = &self.filling else { return false };
        match &filling.reload {
            None => !filling.ranges.is_empty(),
            Some(reload) => reload.ends.iter().all(|(partition, end)| self.frontier.get(partition) >= Some(end)),
        }
    }

    pub(crate) fn seal(&mut self, hands: &mut Hands<'_>) {
        if let Some(event) = self.sealed_now(hands) {
            self.step(event, hands);
        }
    }

    fn seal_for_drain(&mut self, ticket: Ticket, hands: &mut Hands<'_>) -> Option<Event> {
        if self.filling.as_ref().is_none_or(|filling| filling.ticket != ticket) {
            return None;
        }
        let event = self.sealed_now(hands);
        self.frontier.clear();
        event
    }

    fn sealed_now(&mut self, hands: &mut Hands<'_>) -> Option<Event> {
        let Filling { ticket, mut nonce, reload, ranges, mut rows } = self.filling.take()?;
        if ranges.is_empty() {
            hands.tally.count("a fill without any record");
            return Some(Event::Empty { ticket });
        }
        hands.tally.count(if rows.is_empty() {
            "batches without rows"
        } else if reload.is_some() {
            "batches loaded again"
        } else {
            "batches of new records"
        });
        if self.mutant == Some(Mutant::NonceFromOffsets) {
            nonce = nonce_of(&ranges);
        }
        for (partition, from) in std::mem::take(&mut self.rewound) {
            let until = ranges.get(&partition).map_or(from, |sealed| sealed.range.start);
            for offset in from..until {
                for table in hands.topic.rows_of((partition, offset)) {
                    rows.entry(table).or_default().insert((partition, offset));
                }
            }
        }
        let tables = rows.keys().copied().collect();
        let partitions = ranges.keys().copied().collect();
        self.sealed.insert(ticket, SealedBatch { nonce, partitions, rows });
        Some(Event::Sealed { ticket, nonce, ranges, tables })
    }

    // ---- mistakes ----------------------------------------------------------------------------------------------------

    fn tamper(&mut self, event: Event) -> Event {
        let Some(mutant) = self.mutant else { return event };
        match (mutant, event) {
            (Mutant::IgnoresDoubt, Event::Recorded { ticket, answer, read, .. }) => {
                Event::Recorded { ticket, answer, read, doubtful: false }
            }
            (Mutant::UnknownIsAborted, Event::State { ticket, table, state: TxnState::Unknown }) => {
                Event::State { ticket, table, state: TxnState::Aborted { reason: None } }
            }
            (Mutant::SkipsSettling, Event::Positions { ticket, stored, log, topic_id, cluster_id, now_ms }) => {
                let stored = stored.into_iter().map(|(partition, stored)| (partition, stored.map(forget_intent)));
                Event::Positions { ticket, stored: stored.collect(), log, topic_id, cluster_id, now_ms }
            }
            (Mutant::BelievesTheAbort, Event::AbortAnswered { ticket, table }) => {
                self.aborted.insert((ticket, table));
                Event::AbortAnswered { ticket, table }
            }
            (Mutant::BelievesTheCommit, Event::CommitAnswered { ticket, table, not_committable: false }) => {
                self.committed.insert((ticket, table));
                Event::CommitAnswered { ticket, table, not_committable: false }
            }
            (_, Event::State { ticket, table, .. }) if self.aborted.contains(&(ticket, table)) => {
                Event::State { ticket, table, state: TxnState::Aborted { reason: None } }
            }
            (_, Event::State { ticket, table, .. }) if self.committed.contains(&(ticket, table)) => {
                Event::State { ticket, table, state: TxnState::Visible }
            }
            (_, event) => event,
        }
    }

    pub(crate) fn believes_the_answer(&self) -> bool {
        self.mutant == Some(Mutant::BelievesTheAnswer)
    }

    pub(crate) fn mutant(&self) -> Option<Mutant> {
        self.mutant
    }
}

pub(crate) fn carries_intent(metadata: &str) -> bool {
    Metadata::parse(metadata).is_ok_and(|metadata| metadata.intent.is_some())
}

pub(crate) fn as_if_stored(ticket: Ticket, positions: &[PositionToStore]) -> Event {
    let stored = |position: &PositionToStore| Stored { offset: position.offset, metadata: position.metadata.clone() };
    let read = positions.iter().map(|position| (position.partition, Some(stored(position)))).collect();
    Event::Recorded { ticket, answer: loadlock_commit::domain::RecordAnswer::Stored, read, doubtful: false }
}

fn forget_intent(stored: Stored) -> Stored {
    match Metadata::parse(&stored.metadata) {
        Ok(metadata) => Stored { metadata: Metadata { intent: None, ..metadata }.to_string(), ..stored },
        Err(_) => stored,
    }
}

fn nonce_of(ranges: &BTreeMap<Partition, SealedRange>) -> Nonce {
    let places = ranges.iter().map(|(partition, sealed)| format!("{partition}:{}", sealed.range.start));
    Nonce(u128::from(Tag::of(&places.collect::<Vec<_>>().join(" ")).0))
}
