//! Everything outside the processes: group, engine, requests that nobody waits for, and the judge's memory.

use std::collections::BTreeMap;

use loadlock_commit::domain::{Nonce, Offset, Partition, PositionToStore, RecordAnswer, Stored};
use loadlock_commit::metadata::{Fate, Metadata};
use loadlock_commit::{StopCode, invariants};

use crate::engine::{Engine, Name, Origin, name};
use crate::fault::Budget;
use crate::group::{Group, Request, SeatId};
use crate::world::{TableNumber, World};

/// A request that may still arrive.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Late {
    /// An OffsetCommit, and the process that waits for its answer.
    Store(Request, Option<usize>),
    Commit(Nonce, TableNumber),
    Abort(Nonce, TableNumber),
}

/// What must never happen, by its name in `loadlock_commit::invariants`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Broken {
    Eo1,
    Eo2,
    Eo3,
    Eo4,
    Eo5,
    Eo6,
    Eo7,
    Eo8,
    /// A range was loaded again from other records, or by another mapping.
    Reload,
    /// Rows of a topic that was created again are recorded under the id of the one before.
    Topic,
    /// A partition started at records that were there before the pipeline.
    Start,
    /// A pipeline stopped without a reason that the rules know.
    Stop(StopCode),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Outside {
    pub(crate) group: Group,
    pub(crate) engine: Engine,
    pub(crate) late: Vec<Late>,
    pub(crate) budget: Budget,
    /// Rows that are visible: a bit for each offset.
    pub(crate) visible: BTreeMap<(TableNumber, Partition), u32>,
    pub(crate) broken: Option<Broken>,
    /// The topic and its log now; the mapping says nothing here.
    pub(crate) origin: Origin,
    /// End of every log.
    pub(crate) ends: BTreeMap<Partition, Offset>,
    /// When the records came that were not there in the beginning.
    pub(crate) times: BTreeMap<(Partition, Offset), i64>,
    /// First position that was stored for each partition.
    pub(crate) firsts: BTreeMap<Partition, Offset>,
    /// What a tool has read, if one meddles.
    pub(crate) tool: Option<BTreeMap<Partition, Option<Stored>>>,
    /// Why a person is needed, once a pipeline has said so.
    pub(crate) stopped: Option<StopCode>,
    /// The engine has forgotten something, or did not remember it for a moment.
    pub(crate) forgetful: bool,
}

impl Outside {
    /// A clock that only records move.
    pub(crate) fn now(&self) -> i64 {
        self.ends.values().sum::<Offset>() + 1
    }

    pub(crate) fn grow(&mut self, partition: Partition) {
        let now = self.now();
        if let Some(end) = self.ends.get_mut(&partition) {
            self.times.insert((partition, *end), now);
            *end += 1;
        }
    }

    pub(crate) fn break_rule(&mut self, broken: Broken) {
        self.broken.get_or_insert(broken);
    }

    // ---- positions -----------------------------------------------------------------------------------------------

    /// An OffsetCommit arrives: all of it is stored, or only some partitions.
    pub(crate) fn store(&mut self, request: &Request, only: Option<Partition>, world: &World) -> RecordAnswer {
        let answer = self.group.judge(request);
        if answer == RecordAnswer::Stored {
            for position in &request.positions {
                if only.is_none_or(|only| only == position.partition) {
                    self.store_one(position, world);
                }
            }
        }
        answer
    }

    fn store_one(&mut self, position: &PositionToStore, world: &World) {
        let PositionToStore { partition, offset, metadata } = position;
        let after = Stored { offset: *offset, metadata: metadata.clone() };
        let before = self.group.stored.insert(*partition, Some(after)).flatten();
        let intent = intent_of(metadata);
        if let Some((nonce, _)) = &intent {
            for (_, load) in self.engine.loads.iter_mut().filter(|((of, _), _)| name(*nonce, 0).0 == *of) {
                load.recorded.insert(*partition);
            }
        }
        let rows =
            self.engine.loads.iter().filter(|((of, _), _)| intent.as_ref().is_some_and(|(n, _)| name(*n, 0).0 == *of));
        if rows.clone().any(|(_, load)| load.origin.topic > 0) && !self.is_of_now(metadata) {
            self.break_rule(Broken::Topic);
        }
        let Some(before) = before else {
            self.firsts.insert(*partition, *offset);
            if *offset < world.start_at() {
                self.break_rule(Broken::Start);
            }
            return;
        };
        if !invariants::never_back(before.offset, *offset) {
            self.break_rule(Broken::Eo5);
        }
        if self.is_of_now(metadata) {
            self.all_visible(*partition, before.offset..*offset, world);
        }
        self.replaced(&before, intent.as_ref().map(|(nonce, _)| *nonce));
        if let (Some((before, _)), Some((after, _))) = (intent_of(&before.metadata), intent) {
            self.loaded_again(before, after);
        }
    }

    /// Id of the topic.
    pub(crate) fn topic_id(&self) -> &'static str {
        if self.origin.topic == 0 { "T" } else { "U" }
    }

    /// Whether a position belongs to the topic that is there now.
    fn is_of_now(&self, metadata: &str) -> bool {
        Metadata::parse(metadata).is_ok_and(|metadata| metadata.topic_id.as_deref() == Some(self.topic_id()))
    }

    /// EO-2 for offsets that a position has just passed.
    fn all_visible(&mut self, partition: Partition, offsets: std::ops::Range<Offset>, world: &World) {
        let rows: Vec<_> = offsets.filter(|offset| world.makes_row((partition, *offset))).collect();
        for table in world.table_numbers() {
            let visible = self.visible.get(&(table, partition)).copied().unwrap_or(0);
            if rows.iter().any(|offset| visible & bit(*offset) == 0) {
                self.break_rule(Broken::Eo2);
            }
        }
    }

    /// EO-8: a nonce gives way only after the final word on its tables.
    fn replaced(&mut self, before: &Stored, now: Option<Nonce>) {
        let Some((nonce, tables)) = intent_of(&before.metadata) else { return };
        if now == Some(nonce) {
            return;
        }
        if tables.iter().any(|table| !self.engine.had_final_word(name(nonce, *table))) {
            self.break_rule(Broken::Eo8);
        }
    }

    /// Rows are loaded again only from the records, and by the mapping, that they were first made of.
    fn loaded_again(&mut self, before: Nonce, after: Nonce) {
        let loads = self.engine.loads.iter();
        let mut origins: Vec<_> = loads
            .filter(|((of, _), _)| [name(before, 0).0, name(after, 0).0].contains(of))
            .map(|(_, load)| load.origin)
            .collect();
        origins.dedup();
        if before != after && origins.len() > 1 {
            self.break_rule(Broken::Reload);
        }
    }

    // ---- rows ----------------------------------------------------------------------------------------------------

    pub(crate) fn commit(&mut self, load: Name, world: &World) {
        let topic = self.origin.topic;
        let Some(rows) = self.engine.commit(load).filter(|load| load.origin.topic == topic) else { return };
        for (partition, range) in rows.rows.clone() {
            for offset in (range.start..range.end).filter(|offset| world.makes_row((partition, *offset))) {
                let visible = self.visible.entry((load.1, partition)).or_default();
                let twice = *visible & bit(offset) != 0;
                *visible |= bit(offset);
                if twice {
                    self.break_rule(Broken::Eo1);
                }
            }
        }
    }

    /// Every record is visible in all its tables, every position is at the end, and no intent is open.
    pub(crate) fn is_complete(&self, world: &World) -> bool {
        let stored = self.group.stored.values().all(|stored| {
            stored
                .as_ref()
                .is_some_and(|stored| stored.offset == world.records && intent_of(&stored.metadata).is_none())
        });
        let all = |partition| {
            let first = self.firsts.get(&partition).copied().filter(|_| self.origin.topic == 0).unwrap_or(0);
            (first..world.records)
                .filter(|at| world.makes_row((partition, *at)))
                .fold(0, |all, offset| all | bit(offset))
        };
        let keys = world.table_numbers().flat_map(|table| world.partitions().map(move |p| (table, p)));
        stored && keys.into_iter().all(|key| self.visible.get(&key).copied().unwrap_or(0) == all(key.1))
    }

    // ---- what nobody refers to any more ----------------------------------------------------------------------------

    /// Forgets requests that can change nothing any more.
    pub(crate) fn tidy(&mut self) {
        let Self { late, engine, group, .. } = self;
        late.retain(|late| match late {
            Late::Store(_, Some(_)) => true,
            Late::Store(request, None) => group.judge(request) == RecordAnswer::Stored,
            Late::Commit(nonce, table) | Late::Abort(nonce, table) => engine.is_open(name(*nonce, *table)),
        });
        late.sort_by_key(Late::key);
        late.dedup();
    }

    /// Keeps the loads of these nonces: nobody can name another.
    pub(crate) fn forget_loads(&mut self, nonces: u64) {
        let Self { late, engine, .. } = self;
        engine.loads.retain(|(nonce, _), _| nonces & (1 << nonce) != 0);
        late.retain(|late| !matches!(late, Late::Abort(nonce, table) if !engine.is_open(name(*nonce, *table))));
    }

    /// Seats of dead members of which nothing can arrive any more: nobody can tell when their sessions run out.
    pub(crate) fn dead(&self) -> impl Iterator<Item = SeatId> {
        let sends = |seat| self.late.iter().any(|late| matches!(late, Late::Store(request, _) if request.seat == seat));
        let seats = self.group.seats.iter().filter(move |(id, seat)| seat.process.is_none() && !sends(**id));
        seats.map(|(id, _)| *id)
    }

    pub(crate) fn age(&mut self) {
        for late in &mut self.late {
            if let Late::Store(request, _) = late {
                request.age = (request.age + 1).min(crate::group::AGE_MAX);
            }
        }
    }
}

impl Late {
    /// Any order will do, so long as it is always the same.
    fn key(&self) -> (u8, u128, TableNumber, String) {
        match self {
            Self::Store(request, waits) => {
                let first = request.positions.first();
                let text =
                    first.map(|position| format!("{} {} {}", position.partition, position.offset, position.metadata));
                let waits = waits.map_or(0, |process| process + 1);
                (0, u128::from(request.age), usize::from(request.seat) * 8 + waits, text.unwrap_or_default())
            }
            Self::Commit(nonce, table) => (1, nonce.0, *table, String::new()),
            Self::Abort(nonce, table) => (2, nonce.0, *table, String::new()),
        }
    }
}

fn bit(offset: Offset) -> u32 {
    u32::try_from(offset).ok().and_then(|offset| 1_u32.checked_shl(offset)).unwrap_or(0)
}

/// Nonce and outstanding tables of the intent in a text.
pub(crate) fn intent_of(metadata: &str) -> Option<(Nonce, Vec<TableNumber>)> {
    let intent = Metadata::parse(metadata).ok()?.intent?;
    let tags = crate::world::all_tags();
    let open = intent.tables.iter().filter(|(_, table)| table.fate == Fate::Open);
    let tables = open.filter_map(|(tag, _)| tags.iter().position(|known| known == tag)).collect();
    Some((intent.nonce, tables))
}
