//! What an action does.

use std::collections::BTreeMap;
use std::sync::Arc;

use loadlock_commit::Event;
use loadlock_commit::domain::Partition;

use crate::engine::name;
use crate::group::{AGE_MAX, Request, SeatId};
use crate::member::{End, Hands, Member, Task};
use crate::mutant::Mutant;
use crate::outside::{Late, Outside};
use crate::state::{Action, State};
use crate::world::World;

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

    fn rebalance(&mut self, taken: Option<Partition>, given: &BTreeMap<Partition, SeatId>) {
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
            consumer.age = (consumer.age + 1).min(AGE_MAX);
            if let Some(recording) = &mut consumer.recording {
                recording.age = (recording.age + 1).min(AGE_MAX);
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
