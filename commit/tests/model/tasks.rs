//! What takes time in a process: positions are read and stored, loads are prepared, committed and asked for.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::domain::{Partition, PositionToStore, Range, RecordAnswer, Stored, TxnState};
use loadlock_commit::metadata::OriginStart;
use loadlock_commit::{Event, Stop, StopCode, Tag, Ticket};

use crate::consumer::Recording;
use crate::engine::{name, name_of};
use crate::fault::Fault;
use crate::group::Request;
use crate::member::{Hands, Member, Task};
use crate::mutant::Mutant;
use crate::outside::{Broken, Late};
use crate::state::{Way, unclear};
use crate::world::{id_of, named, number_of};

impl Member {
    pub(crate) fn poll(&mut self, hands: &mut Hands<'_>) {
        self.consumer.poll(hands.mutant);
        if hands.mutant == Some(Mutant::HidesRevocation) {
            self.let_go(hands);
        }
    }

    pub(crate) fn lose_membership(&mut self, hands: &mut Hands<'_>) {
        self.consumer.lose_all(hands.mutant);
        self.forget_disowned();
    }

    pub(crate) fn answered(&mut self, answer: RecordAnswer) {
        if let Some(recording) = &mut self.consumer.recording {
            recording.answer = Some(answer);
        }
    }

    /// The guard of rule 2.
    pub(crate) fn passes(
        &self,
        positions: &[PositionToStore],
        holds: &BTreeSet<Partition>,
        mutant: Option<Mutant>,
    ) -> bool {
        let owned = |partition| mutant == Some(Mutant::StoresUnowned) || self.consumer.owned.contains(partition);
        let held = |partition| match mutant {
            Some(Mutant::ServesOldDecisions | Mutant::StoresUnowned) => true,
            _ => holds.contains(partition),
        };
        self.consumer.seat.is_some()
            && positions.iter().all(|PositionToStore { partition, .. }| held(partition) && owned(partition))
    }

    pub(crate) fn perform_task(&mut self, index: usize, task: Task, way: Way, hands: &mut Hands<'_>) {
        match task {
            Task::Tell(event) => self.step(event, hands),
            Task::Record { ticket, positions, holds } => self.record(index, ticket, positions, holds, way, hands),
            Task::Read { ticket } if hands.mutant == Some(Mutant::CarriesPositionsOver) => {
                let mut now = hands.outside.group.stored.clone();
                now.extend(self.carried.clone());
                self.carried = now.clone();
                self.tasks.push(Task::Tell(positions_event(ticket, now, hands)));
            }
            Task::Read { ticket } => {
                self.topic = hands.outside.origin.topic;
                let stored = hands.outside.group.stored.clone();
                self.tasks.push(Task::Tell(positions_event(ticket, stored, hands)));
            }
            Task::Resolve { ticket, start, fresh, partitions } => {
                self.resolve(ticket, start, fresh, &partitions, hands)
            }
            Task::Rejoin => {
                if let Some(seat) = self.consumer.seat {
                    hands.outside.group.remove(seat);
                }
                self.lose_membership(hands);
            }
            Task::Prepare { ticket } => self.prepare(ticket, way, hands),
            Task::Commit { ticket, table, txn } => {
                let load = name_of(&txn, hands.world);
                let (nonce, number) = named(&txn, hands.world);
                match way {
                    Way::Badly(Fault::EngineLost) => {}
                    Way::Badly(Fault::EngineLate) => hands.outside.late.push(Late::Commit(nonce, number)),
                    Way::Badly(_) => {
                        if let Some(load) = hands.outside.engine.loads.get_mut(&load) {
                            load.stuck = true;
                        }
                    }
                    Way::Well | Way::Half(_) | Way::Unclear { .. } => hands.outside.commit(load, hands.world),
                }
                let stuck = hands.outside.engine.loads.get(&load).is_some_and(|load| load.stuck);
                self.step(Event::CommitAnswered { ticket, table, not_committable: stuck }, hands);
            }
            Task::Abort { ticket, table, txn } => {
                let (nonce, number) = named(&txn, hands.world);
                match way {
                    Way::Badly(Fault::EngineLate) => hands.outside.late.push(Late::Abort(nonce, number)),
                    Way::Badly(_) => {}
                    Way::Well | Way::Half(_) | Way::Unclear { .. } => hands.outside.engine.abort(name(nonce, number)),
                }
                self.step(Event::AbortAnswered { ticket, table }, hands);
            }
            Task::Ask { txn, .. } if hands.mutant == Some(Mutant::WaitsForTheStuck) && hands.is_stuck(&txn) => {}
            Task::Ask { ticket, table, txn } => {
                let lapse = way == Way::Badly(Fault::Lapse);
                hands.outside.forgetful |= lapse;
                let known = hands.outside.engine.state(name_of(&txn, hands.world));
                let state = if lapse { TxnState::Unknown } else { known };
                self.tasks.push(Task::Tell(Event::State { ticket, table, state }));
            }
        }
        self.tasks.sort_by_key(Task::key);
    }

    fn resolve(
        &mut self,
        ticket: Ticket,
        start: OriginStart,
        fresh: bool,
        partitions: &BTreeSet<Partition>,
        hands: &Hands<'_>,
    ) {
        let at = |partition| match start {
            OriginStart::Latest(_) if fresh => hands.outside.ends.get(partition).copied().unwrap_or(0),
            OriginStart::Latest(ms) => hands.first_since(*partition, ms),
            OriginStart::Earliest | OriginStart::Timestamp(_) | OriginStart::Offsets => 0,
        };
        let starts = partitions.iter().map(|partition| (*partition, at(partition))).collect();
        self.tasks.push(Task::Tell(Event::Resolved { ticket, starts }));
    }

    fn prepare(&mut self, ticket: Ticket, way: Way, hands: &mut Hands<'_>) {
        let Some(batch) = self.sealed.get(&ticket).cloned() else { return };
        let mut ids: BTreeMap<Tag, _> = BTreeMap::new();
        for tag in &batch.tables {
            let number = number_of(*tag);
            if !hands.outside.engine.prepare(name(batch.nonce, number), batch.ranges.clone(), batch.origin) {
                hands.outside.break_rule(Broken::Eo4);
            }
            if hands.world.ids {
                ids.insert(*tag, id_of(batch.nonce, number));
            }
        }
        let event = match way {
            Way::Badly(_) => Event::LoadFailed { ticket, stop: None },
            Way::Well | Way::Half(_) | Way::Unclear { .. } => Event::Prepared { ticket, ids, now_ms: 0 },
        };
        self.step(event, hands);
    }

    /// An OffsetCommit: the guard, the stamp, and its way.
    fn record(
        &mut self,
        index: usize,
        ticket: Ticket,
        positions: Vec<PositionToStore>,
        holds: BTreeSet<Partition>,
        way: Way,
        hands: &mut Hands<'_>,
    ) {
        let Some(seat) = self.consumer.seat.filter(|_| self.passes(&positions, &holds, hands.mutant)) else {
            let answer = if self.consumer.seat.is_some() {
                RecordAnswer::NotOwned
            } else {
                RecordAnswer::Gone("no membership".to_owned())
            };
            let event = Event::Recorded { ticket, answer, read: BTreeMap::new(), doubtful: false };
            return self.tasks.push(Task::Tell(event));
        };
        if hands.mutant != Some(Mutant::HidesTopicId) && self.topic != hands.outside.origin.topic {
            let what = "the topic was created again".to_owned();
            return self.step(Event::Halt(Stop { code: StopCode::TopicChanged, what }), hands);
        }
        let age = self.consumer.age;
        let request = Request { seat, age, positions: positions.clone() };
        let (outside, world) = (&mut *hands.outside, hands.world);
        // EO-7: nothing is sent for what was given back.
        let place = outside.group.seats.get(&seat);
        if place.is_some_and(|place| positions.iter().any(|position| !place.holds.contains(&position.partition))) {
            outside.break_rule(Broken::Eo7);
        }
        let mut doubtful = false;
        let answer = match way {
            Way::Well => Some(outside.store(&request, None, world)),
            Way::Half(only) => {
                let answer = outside.store(&request, Some(only), world);
                Some(if answer == RecordAnswer::Stored {
                    RecordAnswer::Refused("too large".to_owned())
                } else {
                    answer
                })
            }
            Way::Unclear { stored } => {
                if stored {
                    outside.store(&request, None, world);
                }
                Some(unclear())
            }
            Way::Badly(Fault::Resend) => {
                doubtful = true;
                let answer = outside.store(&request, None, world);
                outside.late.push(Late::Store(request.clone(), None));
                Some(answer)
            }
            Way::Badly(_) => {
                outside.late.push(Late::Store(request.clone(), Some(index)));
                None
            }
        };
        let holds = positions.iter().map(|position| position.partition).collect();
        self.consumer.recording = Some(Recording { ticket, positions, holds, age, answer, doubtful });
    }

    /// True if something that it has sent can still arrive.
    pub(crate) fn has_requests(&self) -> bool {
        self.tasks.iter().any(|task| match task {
            Task::Record { positions, holds, .. } => {
                self.consumer.recording.is_none() && self.passes(positions, holds, None)
            }
            Task::Commit { .. } | Task::Abort { .. } => true,
            Task::Read { .. }
            | Task::Resolve { .. }
            | Task::Rejoin
            | Task::Prepare { .. }
            | Task::Ask { .. }
            | Task::Tell(_) => false,
        })
    }

    pub(crate) fn leave_requests(&mut self, hands: &mut Hands<'_>) {
        // A request that has left has passed the look at the topic's id.
        let now = hands.outside.origin.topic;
        for task in &self.tasks {
            let late = match task {
                Task::Record { positions, .. } if self.consumer.recording.is_none() && self.topic == now => {
                    self.consumer.seat.map(|seat| {
                        Late::Store(Request { seat, age: self.consumer.age, positions: positions.clone() }, None)
                    })
                }
                Task::Commit { txn, .. } => {
                    let (nonce, table) = named(txn, hands.world);
                    Some(Late::Commit(nonce, table))
                }
                Task::Abort { txn, .. } => {
                    let (nonce, table) = named(txn, hands.world);
                    Some(Late::Abort(nonce, table))
                }
                Task::Record { .. }
                | Task::Read { .. }
                | Task::Resolve { .. }
                | Task::Rejoin
                | Task::Prepare { .. }
                | Task::Ask { .. }
                | Task::Tell(_) => None,
            };
            hands.outside.late.extend(late);
        }
    }

    /// Answers that the protocol has no use for. A ticket is never asked for again, so they stay moot.
    pub(crate) fn forget_moot(&mut self, hands: &Hands<'_>) {
        let moot = |event: Event| {
            let mut protocol = self.protocol.clone();
            protocol.step(event).is_empty() && protocol == self.protocol
        };
        let state = |ticket, table, state| Event::State { ticket, table, state };
        let keep: Vec<_> = self
            .tasks
            .iter()
            .map(|task| match task {
                Task::Tell(event) => !moot(event.clone()),
                Task::Ask { ticket, table, .. } => {
                    [TxnState::Visible, TxnState::Prepared, TxnState::Aborted { reason: None }]
                        .into_iter()
                        .any(|answer| !moot(state(*ticket, *table, answer)))
                }
                Task::Read { ticket } => !moot(positions_event(*ticket, hands.outside.group.stored.clone(), hands)),
                Task::Prepare { ticket } => self.sealed.contains_key(ticket),
                Task::Record { .. }
                | Task::Resolve { .. }
                | Task::Rejoin
                | Task::Commit { .. }
                | Task::Abort { .. } => true,
            })
            .collect();
        let mut keep = keep.into_iter();
        self.tasks.retain(|_| keep.next().unwrap_or(true));
    }

    /// An assignment of nothing for a member that has nothing is taken at once: nobody can tell when.
    pub(crate) fn sync_nothing(&mut self, hands: &mut Hands<'_>) {
        let Some(seat) = self.consumer.seat.and_then(|seat| hands.outside.group.seats.get_mut(&seat)) else { return };
        let idle = self.consumer.owned.is_empty() && self.consumer.recording.is_none() && self.consumer.is_calm();
        if idle && seat.given.as_ref().is_some_and(BTreeSet::is_empty) {
            seat.given = None;
            self.consumer.age = 0;
        }
    }
}

fn positions_event(ticket: Ticket, stored: BTreeMap<Partition, Option<Stored>>, hands: &Hands<'_>) -> Event {
    let outside = &*hands.outside;
    let log = outside.ends.iter().map(|(partition, end)| (*partition, Range { start: 0, end: *end })).collect();
    let topic_id = Some(outside.topic_id().to_owned());
    Event::Positions { ticket, stored, log, topic_id, cluster_id: None, now_ms: outside.now() }
}
