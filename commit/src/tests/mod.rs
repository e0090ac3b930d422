//! Situations of the protocol, event by event. [`Scene`] is the group and the shell around one protocol: it answers
//! what is asked when a test says so, and shows effects as short lines (`brief`).

#![expect(clippy::wildcard_enum_match_arm, reason = "a test takes the one effect that it waits for")]

mod brief;
mod checks;
mod ending;
mod flow;
mod recording;
mod resolve;
mod revocation;
mod settling;
mod starts;

use std::collections::{BTreeMap, BTreeSet};
use std::ops;

use self::brief::brief;
use super::event::{Effect, Event, SealedRange, Stop, StopCode, Ticket};
use super::label::Tag;
use super::metadata::{Fate, Intent, IntentTable, Metadata};
use super::protocol::{Protocol, Settings, StartWish};
use crate::domain::{Nonce, Offset, Partition, PositionToStore, Range, RecordAnswer, Stored, Table, TxnId, TxnState};

/// Log of every partition.
const LOG: Range = Range { start: 0, end: 1000 };

/// Digest of the mapping.
const MAPPING: Tag = Tag(7);

fn table(name: &str) -> Table {
    Table { database: "d".into(), name: name.into() }
}

fn tag(name: &str) -> Tag {
    Tag::of_table(&table(name))
}

fn set(partitions: &[Partition]) -> BTreeSet<Partition> {
    partitions.iter().copied().collect()
}

fn aborted() -> TxnState {
    TxnState::Aborted { reason: None }
}

fn unclear() -> RecordAnswer {
    RecordAnswer::Unclear("timed out".to_owned())
}

fn passing() -> RecordAnswer {
    RecordAnswer::Passing("illegal generation".to_owned())
}

/// Metadata as the pipeline writes it, without an intent.
fn plain() -> Metadata {
    Metadata { topic_id: Some("T".to_owned()), ..Metadata::empty() }
}

/// Metadata with an intent over these tables; a name behind `!` is done, one behind `-` aborted.
fn intent(nonce: u128, end: Offset, tables: &[&str]) -> Metadata {
    let tables = tables.iter().map(|name| {
        let fate = match name.chars().next() {
            Some('!') => Fate::Done,
            Some('-') => Fate::Aborted,
            _ => Fate::Open,
        };
        (tag(name.trim_start_matches(['!', '-'])), IntentTable { txn: None, fate })
    });
    let tables = tables.collect();
    let intent = Intent { nonce: Nonce(nonce), end, mapping: MAPPING, leader_epoch: 3, written_ms: 0, tables };
    Metadata { intent: Some(intent), ..plain() }
}

struct Scene {
    protocol: Protocol,
    /// What the group has stored for each partition of the topic.
    stored: BTreeMap<Partition, Option<Stored>>,
    log: Range,
    topic_id: Option<String>,
    cluster_id: Option<String>,
    leader_epoch: i32,
    /// Effects that wait for their answers.
    open: Vec<Effect>,
}

impl Scene {
    /// A topic of three partitions, each at position 0.
    fn new() -> Self {
        let mut scene = Self::without_positions(StartWish::Committed);
        for partition in 0..3 {
            scene.put(partition, 0, &plain());
        }
        scene
    }

    fn without_positions(start: StartWish) -> Self {
        let tables = vec![table("a"), table("b")];
        let settings = Settings {
            pipeline: Tag(1),
            topic: "t".to_owned(),
            tables,
            at_least_once: BTreeSet::new(),
            mapping: MAPPING,
            start,
        };
        Self {
            protocol: Protocol::new(settings),
            stored: (0..3).map(|partition| (partition, None)).collect(),
            log: LOG,
            topic_id: Some("T".to_owned()),
            cluster_id: None,
            leader_epoch: 3,
            open: Vec::new(),
        }
    }

    /// Loads into this table are visible once prepared.
    fn at_least_once(&mut self, name: &str) {
        self.protocol.settings.at_least_once.insert(tag(name));
    }

    fn put(&mut self, partition: Partition, offset: Offset, metadata: &Metadata) {
        self.stored.insert(partition, Some(Stored { offset, metadata: metadata.to_string() }));
    }

    /// `offset` and what stands beside it, as `brief` shows it.
    fn position(&self, partition: Partition) -> String {
        let Some(Stored { offset, metadata }) = self.stored.get(&partition).cloned().flatten() else {
            return "none".to_owned();
        };
        brief::position(&PositionToStore { partition, offset, metadata })
    }

    fn on(&mut self, event: Event) -> Vec<String> {
        let effects = self.protocol.step(event);
        let lines = effects.iter().map(brief).collect();
        self.open.extend(effects);
        lines
    }

    /// Takes the latest open effect that `wanted` knows.
    fn take<T>(&mut self, what: &str, wanted: impl Fn(&Effect) -> Option<T>) -> T {
        let found = self.open.iter().enumerate().rev().find_map(|(place, effect)| Some((place, wanted(effect)?)));
        let Some((place, value)) = found else {
            let open: Vec<_> = self.open.iter().map(brief).collect();
            panic!("no open {what} among {open:?}");
        };
        self.open.remove(place);
        value
    }

    // ---- the group ---------------------------------------------------------------------------------------------------

    fn give(&mut self, partitions: &[Partition]) -> Vec<String> {
        self.on(Event::Assigned(set(partitions)))
    }

    fn revoke(&mut self, partitions: &[Partition]) -> Vec<String> {
        self.on(Event::Revoking(set(partitions)))
    }

    fn lose(&mut self, partitions: &[Partition]) -> Vec<String> {
        self.on(Event::Lost(set(partitions)))
    }

    /// Answers the open read of positions.
    fn read(&mut self) -> Vec<String> {
        let (ticket, partitions) = self.take("read", |effect| match effect {
            Effect::ReadPositions { ticket, partitions } => Some((*ticket, partitions.clone())),
            _ => None,
        });
        let log = partitions.into_iter().map(|partition| (partition, self.log)).collect();
        let (stored, topic_id, cluster_id) = (self.stored.clone(), self.topic_id.clone(), self.cluster_id.clone());
        self.on(Event::Positions { ticket, stored, log, topic_id, cluster_id, now_ms: 5 })
    }

    /// Answers the open read of positions, and that the engine remembers nothing of this pipeline.
    fn read_as_new(&mut self) -> Vec<String> {
        assert_eq!(self.read(), ["look for labels"]);
        self.labels(None)
    }

    /// Answers the open question for labels.
    fn labels(&mut self, remembered: Option<&str>) -> Vec<String> {
        let ticket = self.take("labels", |effect| match effect {
            Effect::LookForLabels { ticket } => Some(*ticket),
            _ => None,
        });
        self.on(Event::Labels { ticket, remembered: remembered.map(str::to_owned) })
    }

    /// Answers the open search for evidence of this table.
    fn evidence(&mut self, name: &str, committed: bool) -> Vec<String> {
        let wanted = tag(name);
        let ticket = self.take("evidence", |effect| match effect {
            Effect::LookForEvidence { ticket, table, .. } if *table == wanted => Some(*ticket),
            _ => None,
        });
        let looked = "looked everywhere".to_owned();
        self.on(Event::Evidence { ticket, table: wanted, committed, looked })
    }

    /// Answers the open question where partitions start.
    fn resolve(&mut self, starts: &[(Partition, Offset)]) -> Vec<String> {
        let ticket = self.take("resolve", |effect| match effect {
            Effect::Resolve { ticket, .. } => Some(*ticket),
            _ => None,
        });
        self.on(Event::Resolved { ticket, starts: starts.iter().copied().collect() })
    }

    fn owning(partitions: &[Partition]) -> Self {
        let mut scene = Self::new();
        scene.give(partitions);
        scene.read();
        scene
    }

    fn record(&mut self) -> (Ticket, Vec<PositionToStore>) {
        self.take("record", |effect| match effect {
            Effect::Record { ticket, positions, .. } => Some((*ticket, positions.clone())),
            _ => None,
        })
    }

    /// Stores what the open call sends for these partitions, answers so, and reads back those that are still ours.
    fn recorded(
        &mut self,
        stores: &[Partition],
        answer: RecordAnswer,
        ours: &[Partition],
        doubtful: bool,
    ) -> Vec<String> {
        let (ticket, positions) = self.record();
        for PositionToStore { partition, offset, metadata } in positions {
            if stores.contains(&partition) {
                self.stored.insert(partition, Some(Stored { offset, metadata }));
            }
        }
        let read = ours.iter().map(|partition| (*partition, self.stored.get(partition).cloned().flatten())).collect();
        self.on(Event::Recorded { ticket, answer, read, doubtful })
    }

    /// The open call is stored, cleanly.
    fn store(&mut self) -> Vec<String> {
        let all: Vec<_> = self.open_record().into_iter().collect();
        self.recorded(&all, RecordAnswer::Stored, &all, false)
    }

    /// The open call is not stored; everything is still ours.
    fn refuse(&mut self, answer: RecordAnswer) -> Vec<String> {
        let all: Vec<_> = self.open_record().into_iter().collect();
        self.recorded(&[], answer, &all, false)
    }

    fn open_record(&self) -> BTreeSet<Partition> {
        let positions = self.open.iter().rev().find_map(|effect| match effect {
            Effect::Record { positions, .. } => Some(positions),
            _ => None,
        });
        positions.map(|positions| positions.iter().map(|position| position.partition).collect()).unwrap_or_default()
    }

    // ---- batches -----------------------------------------------------------------------------------------------------

    fn fill_ticket(&mut self) -> Ticket {
        self.take("fill", |effect| match effect {
            Effect::Fill(fill) => Some(fill.ticket),
            Effect::NextFill { ticket } => Some(*ticket),
            _ => None,
        })
    }

    /// The open fill is sealed.
    fn seal(&mut self, nonce: u128, ranges: &[(Partition, ops::Range<Offset>)], tables: &[&str]) -> Vec<String> {
        let ticket = self.fill_ticket();
        self.seal_as(ticket, nonce, ranges, tables)
    }

    fn seal_as(
        &mut self,
        ticket: Ticket,
        nonce: u128,
        ranges: &[(Partition, ops::Range<Offset>)],
        tables: &[&str],
    ) -> Vec<String> {
        let leader_epoch = self.leader_epoch;
        let sealed = |range: &ops::Range<Offset>| SealedRange {
            range: Range { start: range.start, end: range.end },
            leader_epoch,
        };
        let ranges = ranges.iter().map(|(partition, range)| (*partition, sealed(range))).collect();
        let tables = tables.iter().map(|name| tag(name)).collect();
        self.on(Event::Sealed { ticket, nonce: Nonce(nonce), ranges, tables })
    }

    fn prepare_ticket(&mut self) -> Ticket {
        self.take("prepare", |effect| match effect {
            Effect::Prepare { ticket } => Some(*ticket),
            _ => None,
        })
    }

    fn prepared(&mut self) -> Vec<String> {
        let ticket = self.prepare_ticket();
        self.on(Event::Prepared { ticket, ids: BTreeMap::new(), now_ms: 9 })
    }

    fn load_fails(&mut self, refused: Option<&str>) -> Vec<String> {
        let ticket = self.prepare_ticket();
        let stop = refused.map(|what| Stop { code: StopCode::LoadRefused, what: what.to_owned() });
        self.on(Event::LoadFailed { ticket, stop })
    }

    /// The commit of this table is answered.
    fn commit(&mut self, name: &str, not_committable: bool) -> Vec<String> {
        let wanted = tag(name);
        let ticket = self.take("commit", |effect| match effect {
            Effect::Commit { ticket, table, .. } if *table == wanted => Some(*ticket),
            _ => None,
        });
        self.on(Event::CommitAnswered { ticket, table: wanted, not_committable })
    }

    /// The engine says what became of this table's load.
    fn state(&mut self, name: &str, state: TxnState) -> Vec<String> {
        let wanted = tag(name);
        let ticket = self.take("ask", |effect| match effect {
            Effect::Ask { ticket, table, .. } if *table == wanted => Some(*ticket),
            _ => None,
        });
        self.on(Event::State { ticket, table: wanted, state })
    }

    fn abort(&mut self, name: &str) -> Vec<String> {
        let wanted = tag(name);
        let ticket = self.take("abort", |effect| match effect {
            Effect::Abort { ticket, table, .. } if *table == wanted => Some(*ticket),
            _ => None,
        });
        self.on(Event::AbortAnswered { ticket, table: wanted })
    }

    /// The commits of these tables are answered, and each is visible.
    fn visible(&mut self, names: &[&str]) -> Vec<String> {
        let mut last = Vec::new();
        for name in names {
            self.commit(name, false);
            last = self.state(name, TxnState::Visible);
        }
        last
    }

    /// Seals, prepares and records a batch: its intent is stored and its commits are under way.
    fn committing(&mut self, nonce: u128, ranges: &[(Partition, ops::Range<Offset>)], tables: &[&str]) -> Vec<String> {
        self.seal(nonce, ranges, tables);
        self.prepared();
        self.store()
    }

    fn stop_with(code: StopCode) -> Event {
        Event::Drain(Some(Stop { code, what: "a reason".to_owned() }))
    }
}
