//! What an action does.

use std::collections::BTreeMap;

use loadlock_commit::domain::{PositionToStore, Range, RecordAnswer, Stored, TxnState};
use loadlock_commit::metadata::OriginStart;
use loadlock_commit::{Event, Tag, Ticket};

use crate::consumer::Recording;
use crate::engine::{name, name_of};
use crate::fault::Fault;
use crate::group::Request;
use crate::member::{End, Hands, Member, Task};
use crate::mutant::Mutant;
use crate::outside::{Broken, Late, Outside};
use crate::state::{Action, State, Way, unclear};
use crate::world::{World, id_of, named, number_of};
use loadlock_commit::domain::Partition;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A state that is being changed.
struct Change<'w> {
    before: &'w State,
    world: &'w World,
    mutant: Option<Mutant>,
    state: State,
}

/// The state after an action.
pub(crate) fn next(state: &State, action: &Action, world: &World, mutant: Option<Mutant>) -> State {
    let mut change = Change { before: state, world, mutant, state: state.clone() };
    if let Some(fault) = action.fault() {
        change.outside().budget.spend(fault);
    }
    change.act(action);
    change.bury();
    change.tidy();
    change.state.seal();
    change.state
}

impl Change<'_> {
    /// The member, and what it may touch.
    fn with<R>(&mut self, index: usize, act: impl FnOnce(&mut Member, &mut Hands<'_>) -> R) -> Option<R> {
        let nonce = self.state.fresh_nonce();
        let State { members, outside, .. } = &mut self.state;
        let member = Arc::make_mut(members.get_mut(index)?);
        let outside = Arc::make_mut(outside);
        let mut hands = Hands { world: self.world, mutant: self.mutant, outside, nonce };
        Some(act(member, &mut hands))
    }

    fn outside(&mut self) -> &mut Outside {
        Arc::make_mut(&mut self.state.outside)
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Hear(index) => {
                self.with(*index, |member, hands| {
                    if let Some(event) = member.consumer.inbox.pop_front() {
                        member.step(event, hands);
                    }
                });
            }
            Action::Task(index, number, way) => {
                self.with(*index, |member, hands| {
                    if *number < member.tasks.len() {
                        let task = member.tasks.remove(*number);
                        member.perform_task(*index, task, *way, hands);
                    }
                });
            }
            Action::Seal(index, only) => {
                self.with(*index, |member, hands| member.seal(*only, hands));
            }
            Action::Sync(index) => self.sync(*index),
            Action::Poll(index) => {
                self.with(*index, Member::poll);
            }
            Action::ReadBack(index) | Action::Impatient(index) => {
                self.with(*index, |member, hands| {
                    let read = member.consumer.read_back(&hands.outside.group.stored, hands.mutant);
                    member.tasks.extend(read.map(Task::Tell));
                });
            }
            Action::LearnLoss(index) => {
                self.with(*index, Member::lose_membership);
            }
            Action::Rebalance { taken, given } => self.rebalance(*taken, given),
            Action::ExpelDead(seat) => self.outside().group.remove(*seat),
            Action::Arrive(number) => self.arrive(*number),
            Action::Crash { member, leaves_requests } => self.crash(*member, *leaves_requests, 0),
            Action::Remap(index) => self.crash(*index, false, 1),
            Action::Grow(partition) => self.outside().grow(*partition),
            Action::Recreate => {
                let outside = self.outside();
                outside.origin.topic += 1;
                outside.visible.clear();
                outside.group.stored.values_mut().for_each(|stored| *stored = None);
            }
            Action::Rewrite => self.outside().origin.epoch += 1,
            Action::ToolReads => {
                let stored = self.outside().group.stored.clone();
                self.outside().tool = Some(stored);
            }
            Action::ToolWrites => {
                self.crash(0, false, 0);
                let outside = self.outside();
                if let Some(stored) = outside.tool.take() {
                    outside.group.stored = stored;
                }
            }
            Action::Expel(index) => {
                let seat = self.state.members.get(*index).and_then(|member| member.consumer.seat);
                if let Some(seat) = seat {
                    self.outside().group.remove(seat);
                }
            }
            Action::Deadline(index) => {
                self.with(*index, Member::let_go);
            }
            Action::Resend(index) => self.resend(*index),
            Action::TimeOut(load) => self.outside().engine.abort(*load),
            Action::Forget(load) => {
                self.outside().forgetful = true;
                if let Some(load) = self.outside().engine.loads.get_mut(load) {
                    load.forgotten = true;
                }
            }
            Action::Drain(index) => {
                self.with(*index, |member, hands| member.step(Event::Drain(None), hands));
            }
        }
    }

    // ---- the group -------------------------------------------------------------------------------------------------

    fn sync(&mut self, index: usize) {
        self.with(index, |member, hands| {
            let seat = member.consumer.seat.and_then(|seat| hands.outside.group.seats.get_mut(&seat));
            if let Some(given) = seat.and_then(|seat| seat.given.take()) {
                member.consumer.sync(&given);
                if !member.consumer.is_blocked() {
                    member.poll(hands);
                }
            }
        });
    }

    fn enter(&mut self, index: usize) {
        let taken: Vec<_> = self.state.members.iter().filter_map(|member| member.consumer.seat).collect();
        let seat = self.outside().group.enter(index, |seat| taken.contains(&seat));
        self.with(index, |member, _| member.consumer.seat = Some(seat));
    }

    fn rebalance(&mut self, taken: Option<Partition>, given: &BTreeMap<Partition, u8>) {
        let outside = Arc::make_mut(&mut self.state.outside);
        if taken.is_some() {
            outside.group.complete(taken, &BTreeMap::new());
            outside.group.moving.extend(given);
        } else {
            outside.group.complete(None, given);
        }
        outside.age();
        for member in &mut self.state.members {
            let consumer = &mut Arc::make_mut(member).consumer;
            consumer.age = (consumer.age + 1).min(crate::group::AGE_MAX);
            if let Some(recording) = &mut consumer.recording {
                recording.age = (recording.age + 1).min(crate::group::AGE_MAX);
            }
        }
    }

    // ---- the end of processes --------------------------------------------------------------------------------------

    fn crash(&mut self, index: usize, leaves_requests: bool, mapping: u8) {
        self.with(index, |member, hands| {
            if leaves_requests {
                member.leave_requests(hands);
            }
            if let Some(seat) = member.consumer.seat.and_then(|seat| hands.outside.group.seats.get_mut(&seat)) {
                seat.process = None;
            }
        });
        self.replace(index, mapping);
    }

    /// A new process at this place; nobody waits for what the old one had sent.
    fn replace(&mut self, index: usize, mapping: u8) {
        for late in &mut self.outside().late {
            if let Late::Store(_, waits) = late
                && *waits == Some(index)
            {
                *waits = None;
            }
        }
        let fresh = Member::new(self.world, mapping);
        if let Some(member) = self.state.members.get_mut(index) {
            *member = Arc::new(fresh);
        }
    }

    /// A process that has ended leaves the group. One that was only asked to finish starts again.
    fn bury(&mut self) {
        for index in 0..self.state.members.len() {
            let Some((end, mapping)) =
                self.state.members.get(index).and_then(|member| Some((member.end?, member.mapping)))
            else {
                continue;
            };
            let seat = self.state.members.get(index).and_then(|member| member.consumer.seat);
            if let Some(seat) = seat {
                self.outside().group.remove(seat);
            }
            match end {
                End::Drained => self.replace(index, mapping),
                End::Stopped if seat.is_some() => {
                    self.replace(index, mapping);
                    if let Some(member) = self.state.members.get_mut(index) {
                        Arc::make_mut(member).end = Some(End::Stopped);
                    }
                }
                End::Stopped => {}
            }
        }
    }

    // ---- what is late ----------------------------------------------------------------------------------------------

    fn arrive(&mut self, number: usize) {
        if number >= self.state.outside.late.len() {
            return;
        }
        let world = self.world;
        let outside = Arc::make_mut(&mut self.state.outside);
        match outside.late.remove(number) {
            Late::Store(request, waits) => {
                let answer = outside.store(&request, None, world);
                if let Some(index) = waits {
                    self.with(index, |member, _| member.answered(answer));
                }
            }
            Late::Commit(nonce, table) => outside.commit(name(nonce, table), world),
            Late::Abort(nonce, table) => outside.engine.abort(name(nonce, table)),
        }
    }

    /// Nobody waits for the first copy any more; the second has the stamp of now.
    fn resend(&mut self, index: usize) {
        self.with(index, |member, hands| {
            for late in &mut hands.outside.late {
                if let Late::Store(_, waits) = late
                    && *waits == Some(index)
                {
                    *waits = None;
                }
            }
            let Some(seat) = member.consumer.seat else { return };
            let age = member.consumer.age;
            let Some(recording) = &mut member.consumer.recording else { return };
            recording.doubtful = true;
            let request = Request { seat, age, positions: recording.positions.clone() };
            hands.outside.late.push(Late::Store(request.clone(), Some(index)));
        });
    }

    /// What can only happen at once, or can't matter any more.
    fn tidy(&mut self) {
        self.outside().tidy();
        let dead: Vec<_> = self.state.outside.dead().collect();
        dead.into_iter().for_each(|seat| self.outside().group.remove(seat));
        for index in 0..self.state.members.len() {
            let (Some(member), Some(before)) = (self.state.members.get(index), self.before.members.get(index)) else {
                continue;
            };
            if Arc::ptr_eq(member, before) {
                continue;
            }
            let Member { consumer, end, .. } = &**member;
            if consumer.seat.is_none() && consumer.recording.is_none() && end.is_none() {
                self.enter(index);
            }
            self.with(index, |member, hands| {
                member.forget_moot(hands);
                member.sync_nothing(hands);
            });
        }
    }
}

impl Member {
    fn poll(&mut self, hands: &mut Hands<'_>) {
        self.consumer.poll(hands.mutant);
        if hands.mutant == Some(Mutant::HidesRevocation) {
            self.let_go(hands);
        }
    }

    fn lose_membership(&mut self, hands: &mut Hands<'_>) {
        self.consumer.lose_all(hands.mutant);
        self.forget_disowned();
    }

    fn answered(&mut self, answer: RecordAnswer) {
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

    fn perform_task(&mut self, index: usize, task: Task, way: Way, hands: &mut Hands<'_>) {
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
        let age = self.consumer.age;
        let request = Request { seat, age, positions: positions.clone() };
        let (outside, world) = (&mut *hands.outside, hands.world);
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

    fn leave_requests(&mut self, hands: &mut Hands<'_>) {
        for task in &self.tasks {
            let late = match task {
                Task::Record { positions, .. } if self.consumer.recording.is_none() => self.consumer.seat.map(|seat| {
                    Late::Store(Request { seat, age: self.consumer.age, positions: positions.clone() }, None)
                }),
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
    fn forget_moot(&mut self, hands: &Hands<'_>) {
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
    fn sync_nothing(&mut self, hands: &mut Hands<'_>) {
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
    let topic_id = Some(if outside.origin.topic == 0 { "T" } else { "U" }.to_owned());
    Event::Positions { ticket, stored, log, topic_id, now_ms: outside.now() }
}
