//! A state of a small world, and what may happen next in it.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::domain::{Partition, RecordAnswer, Stored};
use loadlock_commit::metadata::Metadata;

use crate::canon::Canon;
use crate::engine::{Engine, Name, Origin};
use crate::fault::Fault;
use crate::group::{Group, Seat, SeatId};
use crate::member::{End, Member, Task};
use crate::mutant::Mutant;
use crate::outside::Late;
use crate::outside::Outside;
use crate::step;
use crate::world::World;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Parts are shared between states until they change.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) members: Vec<Arc<Member>>,
    pub(crate) outside: Arc<Outside>,
    /// What makes it this state; see [`State::seal`].
    digest: u64,
    /// Nonces that stand anywhere, one bit each.
    nonces: u64,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// How a task goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Well,
    Badly(Fault),
    /// Only this partition is stored.
    Half(Partition),
    /// Stored or not, the answer does not say it.
    Unclear {
        stored: bool,
    },
}

/// One step of a world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// The protocol hears the next event of its consumer thread.
    Hear(usize),
    /// A task goes one step on.
    Task(usize, usize, Way),
    /// The batch is sealed: with all that can be read, or one partition only.
    Seal(usize, Option<Partition>),
    /// The client takes an assignment.
    Sync(usize),
    /// The consumer thread gets its callback.
    Poll(usize),
    ReadBack(usize),
    /// A process notices that it is no member any more.
    LearnLoss(usize),
    /// A rebalance ends.
    Rebalance {
        taken: Option<Partition>,
        given: BTreeMap<Partition, SeatId>,
    },
    /// The session of a dead member has run out.
    ExpelDead(SeatId),
    /// Something arrives late.
    Arrive(usize),
    /// A record comes.
    Grow(Partition),
    Crash {
        member: usize,
        leaves_requests: bool,
    },
    Remap(usize),
    Recreate,
    Rewrite,
    /// A tool reads the positions.
    ToolReads,
    /// The only process dies; a tool writes what it had read, and the process starts anew.
    ToolWrites,
    Expel(usize),
    Deadline(usize),
    Impatient(usize),
    /// The connection of an OffsetCommit breaks, and it is sent again.
    Resend(usize),
    TimeOut(Name),
    Forget(Name),
    Drain(usize),
}

impl Action {
    /// The fault that it is; none if it may always happen.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Task(_, _, Way::Badly(fault)) => Some(*fault),
            Self::Task(_, _, Way::Half(_)) => Some(Fault::Half),
            Self::Task(_, _, Way::Unclear { .. }) => Some(Fault::Unclear),
            Self::Rebalance { taken: Some(_), .. } => Some(Fault::Move),
            Self::Rebalance { taken: None, given } if given.is_empty() => Some(Fault::Rise),
            Self::Crash { .. } => Some(Fault::Crash),
            Self::Expel(_) => Some(Fault::Expel),
            Self::Deadline(_) => Some(Fault::Deadline),
            Self::Impatient(_) => Some(Fault::Impatient),
            Self::Resend(_) => Some(Fault::Resend),
            Self::TimeOut(_) => Some(Fault::TimeOut),
            Self::Forget(_) => Some(Fault::Forget),
            Self::Drain(_) => Some(Fault::Drain),
            Self::Remap(_) => Some(Fault::Remap),
            Self::Recreate => Some(Fault::Recreate),
            Self::Rewrite => Some(Fault::Rewrite),
            Self::ToolWrites => Some(Fault::Crash),
            Self::Task(_, _, Way::Well)
            | Self::Rebalance { .. }
            | Self::Hear(_)
            | Self::Grow(_)
            | Self::ToolReads
            | Self::Seal(..)
            | Self::Sync(_)
            | Self::Poll(_)
            | Self::ReadBack(_)
            | Self::LearnLoss(_)
            | Self::ExpelDead(_)
            | Self::Arrive(_) => None,
        }
    }
}

impl Action {
    fn urgency(&self) -> u8 {
        match self {
            Self::LearnLoss(_) | Self::ExpelDead(_) | Self::Sync(_) | Self::Poll(_) => 0,
            Self::ReadBack(_) | Self::Hear(_) => 1,
            Self::Arrive(_) | Self::Task(..) => 2,
            Self::Rebalance { .. } | Self::Grow(_) => 3,
            Self::Seal(..) => 4,
            Self::Crash { .. }
            | Self::Remap(_)
            | Self::Recreate
            | Self::Rewrite
            | Self::ToolReads
            | Self::ToolWrites
            | Self::Expel(_)
            | Self::Deadline(_)
            | Self::Impatient(_)
            | Self::Resend(_)
            | Self::TimeOut(_)
            | Self::Forget(_)
            | Self::Drain(_) => 5,
        }
    }
}

impl State {
    /// The group is at rest, every member has its partitions and nothing is loaded.
    pub(crate) fn first(world: &World, soak: bool) -> Self {
        let position = Stored {
            offset: 0,
            metadata: Metadata { topic_id: Some("T".to_owned()), ..Metadata::empty() }.to_string(),
        };
        let position = world.start.is_none().then_some(position);
        let mut group = Group {
            stored: world.partitions().map(|partition| (partition, position.clone())).collect(),
            ..Group::default()
        };
        let mut members = Vec::new();
        for index in 0..world.members {
            let mut member = Member::new(world, 0);
            let seat = SeatId::try_from(index).unwrap_or(SeatId::MAX);
            let owned: BTreeSet<_> =
                world.partitions().zip(world.owners).filter(|(_, owner)| **owner == index).map(|(p, _)| p).collect();
            let place = Seat { process: Some(index), holds: owned.clone(), given: None, joined: true };
            group.seats.insert(seat, place);
            member.consumer.seat = Some(seat);
            member.consumer.sync(&owned);
            member.consumer.poll(None);
            members.push(Arc::new(member));
        }
        let outside = Outside {
            group,
            engine: Engine::default(),
            late: Vec::new(),
            budget: world.budget(soak),
            visible: BTreeMap::new(),
            broken: None,
            origin: Origin::default(),
            ends: world.partitions().map(|partition| (partition, world.first_end())).collect(),
            firsts: if world.start.is_none() { world.partitions().map(|p| (p, 0)).collect() } else { BTreeMap::new() },
            tool: None,
            times: BTreeMap::new(),
            stopped: None,
            forgetful: false,
        };
        let mut state = Self { members, outside: Arc::new(outside), digest: 0, nonces: 0 };
        state.seal();
        if !world.cold { state.warm_up(world) } else { state }
    }

    /// Everybody has read its positions and waits for records.
    fn warm_up(self, world: &World) -> Self {
        let mut actions = Vec::new();
        self.actions(world, None, &mut actions);
        let begins = |action: &&Action| matches!(action, Action::Hear(_) | Action::Task(_, _, Way::Well));
        match actions.iter().find(begins) {
            Some(action) => step::next(&self, action, world, None).warm_up(world),
            None => self,
        }
    }

    /// Forgets the loads that nobody can name any more, and digests what is left.
    pub(crate) fn seal(&mut self) {
        let mut canon = Canon::default();
        let Outside {
            group,
            engine: _,
            late,
            budget,
            visible,
            broken,
            origin,
            ends,
            times,
            firsts,
            tool,
            stopped,
            forgetful,
        } = &*self.outside;
        canon.part(&(group, budget, visible, broken, stopped, forgetful));
        canon.part(&(origin, ends, times, firsts, tool));
        self.members.iter().for_each(|member| canon.part(&**member));
        canon.heap(late.iter().filter(|late| !matches!(late, Late::Abort(..))));
        self.nonces = canon.nonces() | 1;
        Arc::make_mut(&mut self.outside).forget_loads(self.nonces);
        canon.heap(self.outside.late.iter());
        canon.heap(self.outside.engine.loads.iter().map(|((nonce, table), load)| (u128::from(*nonce), table, load)));
        self.digest = canon.finish();
    }

    /// A nonce that stands nowhere.
    pub(crate) fn fresh_nonce(&self) -> u8 {
        u8::try_from(self.nonces.trailing_ones()).unwrap_or(u8::MAX)
    }

    /// What may happen next. Nothing, once a rule is broken.
    pub(crate) fn actions(&self, world: &World, mutant: Option<Mutant>, actions: &mut Vec<Action>) {
        if self.outside.broken.is_some() {
            return;
        }
        for (index, member) in self.members.iter().enumerate() {
            if member.end.is_none() {
                self.of_protocol(index, member, world, actions);
                self.of_consumer(index, member, actions);
                self.against_member(index, member, actions);
            }
        }
        self.of_group(actions);
        self.of_engine(actions);
        self.of_topic(world, actions);
        if mutant == Some(Mutant::WritesAsStranger) {
            self.of_tool(actions);
        }
        actions.extend((0..self.outside.late.len()).map(Action::Arrive));
    }

    fn allows(&self, fault: Fault) -> bool {
        self.outside.budget.allows(fault)
    }

    fn of_protocol(&self, index: usize, member: &Member, world: &World, actions: &mut Vec<Action>) {
        if !member.consumer.inbox.is_empty() {
            actions.push(Action::Hear(index));
        }
        for (number, task) in member.tasks.iter().enumerate() {
            let busy = member.consumer.recording.is_some();
            if busy && matches!(task, Task::Record { .. } | Task::Rejoin) {
                continue;
            }
            self.ways(member, task, |way| actions.push(Action::Task(index, number, way)));
        }
        let readable = member.readable(world, &self.outside);
        if !readable.is_empty() {
            actions.push(Action::Seal(index, None));
            if world.apart && readable.len() > 1 && !member.reloads() {
                actions.extend(readable.keys().map(|partition| Action::Seal(index, Some(*partition))));
            }
        }
    }

    fn ways(&self, member: &Member, task: &Task, mut push: impl FnMut(Way)) {
        push(Way::Well);
        let faults: &[Fault] = match task {
            Task::Record { positions, holds, .. } => {
                if !member.passes(positions, holds, None) {
                    return;
                }
                if positions.len() > 1 && self.allows(Fault::Half) {
                    positions.iter().for_each(|position| push(Way::Half(position.partition)));
                }
                if self.allows(Fault::Unclear) {
                    push(Way::Unclear { stored: false });
                    push(Way::Unclear { stored: true });
                }
                &[Fault::SlowCommit, Fault::Resend]
            }
            Task::Prepare { .. } => &[Fault::PrepareFails],
            Task::Commit { .. } => &[Fault::EngineLost, Fault::EngineLate, Fault::Stuck],
            Task::Abort { .. } => &[Fault::EngineLost, Fault::EngineLate],
            Task::Ask { .. } => &[Fault::Lapse],
            Task::Read { .. } | Task::Resolve { .. } | Task::Rejoin | Task::Tell(_) => &[],
        };
        faults.iter().filter(|fault| self.allows(**fault)).for_each(|fault| push(Way::Badly(*fault)));
    }

    fn of_consumer(&self, index: usize, member: &Member, actions: &mut Vec<Action>) {
        let consumer = &member.consumer;
        if let Some(seat) = consumer.seat {
            match self.outside.group.seats.get(&seat) {
                None if !consumer.is_blocked() => actions.push(Action::LearnLoss(index)),
                None => {}
                Some(place) if place.given.is_some() && consumer.is_calm() => actions.push(Action::Sync(index)),
                Some(_) => {}
            }
        }
        let calls = !consumer.to_revoke.is_empty() || !consumer.to_add.is_empty();
        if calls && consumer.leaving.is_none() && !consumer.is_blocked() {
            actions.push(Action::Poll(index));
        }
        if consumer.may_read_back() {
            actions.push(Action::ReadBack(index));
        }
    }

    fn against_member(&self, index: usize, member: &Member, actions: &mut Vec<Action>) {
        let consumer = &member.consumer;
        let sits = consumer.seat.is_some_and(|seat| self.outside.group.seats.contains_key(&seat));
        if self.allows(Fault::Crash) {
            actions.push(Action::Crash { member: index, leaves_requests: false });
            if member.has_requests() {
                actions.push(Action::Crash { member: index, leaves_requests: true });
            }
        }
        if self.allows(Fault::Remap) {
            actions.push(Action::Remap(index));
        }
        if sits && self.allows(Fault::Expel) {
            actions.push(Action::Expel(index));
        }
        if consumer.leaving.is_some() && !consumer.is_blocked() && self.allows(Fault::Deadline) {
            actions.push(Action::Deadline(index));
        }
        let answered = consumer.recording.as_ref().is_some_and(|recording| recording.answer.is_some());
        if answered && !consumer.may_read_back() && self.allows(Fault::Impatient) {
            actions.push(Action::Impatient(index));
        }
        if consumer.is_blocked() && self.allows(Fault::Resend) {
            actions.push(Action::Resend(index));
        }
        if !member.draining && self.allows(Fault::Drain) {
            actions.push(Action::Drain(index));
        }
    }

    /// A rebalance ends when everybody has taken the last one and nobody is inside a callback.
    fn of_group(&self, actions: &mut Vec<Action>) {
        let group = &self.outside.group;
        let dead = group.seats.iter().filter(|(_, seat)| seat.process.is_none());
        actions.extend(dead.map(|(seat, _)| Action::ExpelDead(*seat)));
        let ready = |seat: &Seat| {
            let member = seat.process.and_then(|process| self.members.get(process));
            seat.given.is_none() && member.is_some_and(|member| member.consumer.is_calm())
        };
        if group.seats.is_empty() || !group.seats.values().all(ready) {
            return;
        }
        let mut plans = vec![BTreeMap::new()];
        for partition in group.orphans() {
            let seats: Vec<_> = match group.moving.get(&partition) {
                Some(seat) => vec![*seat],
                None => group.seats.keys().copied().collect(),
            };
            plans = plans
                .into_iter()
                .flat_map(|plan: BTreeMap<Partition, SeatId>| {
                    seats.iter().map(move |seat| plan.clone().into_iter().chain([(partition, *seat)]).collect())
                })
                .collect();
        }
        let nothing = plans.iter().all(BTreeMap::is_empty);
        if !nothing {
            actions.extend(plans.into_iter().map(|given| Action::Rebalance { taken: None, given }));
            return;
        }
        if self.allows(Fault::Rise) {
            actions.push(Action::Rebalance { taken: None, given: BTreeMap::new() });
        }
        if self.allows(Fault::Move) {
            for partition in group.stored.keys() {
                let from = group.holder(*partition);
                // A lone member gets it back itself.
                let to = group.seats.keys().filter(|seat| Some(**seat) != from || group.seats.len() == 1);
                actions.extend(
                    to.map(|seat| Action::Rebalance { taken: Some(*partition), given: [(*partition, *seat)].into() }),
                );
            }
        }
    }

    fn of_engine(&self, actions: &mut Vec<Action>) {
        let engine = &self.outside.engine;
        if self.allows(Fault::TimeOut) {
            actions.extend(engine.names(|load| !load.is_final()).into_iter().map(Action::TimeOut));
        }
        if self.allows(Fault::Forget) {
            let loads = engine.names(|load| load.is_final() && !load.forgotten);
            actions.extend(loads.into_iter().map(Action::Forget));
        }
    }

    fn of_topic(&self, world: &World, actions: &mut Vec<Action>) {
        let grows = self.outside.ends.iter().filter(|(_, end)| **end < world.records);
        actions.extend(grows.map(|(partition, _)| Action::Grow(*partition)));
        if self.allows(Fault::Recreate) {
            actions.push(Action::Recreate);
        }
        if self.allows(Fault::Rewrite) {
            actions.push(Action::Rewrite);
        }
    }

    fn of_tool(&self, actions: &mut Vec<Action>) {
        match &self.outside.tool {
            None => actions.push(Action::ToolReads),
            Some(_) if self.allows(Fault::Crash) && self.members.len() == 1 => actions.push(Action::ToolWrites),
            Some(_) => {}
        }
    }

    /// True if nothing but a fault can happen.
    pub(crate) fn rests(&self, world: &World, mutant: Option<Mutant>) -> bool {
        let mut actions = Vec::new();
        self.actions(world, mutant, &mut actions);
        actions.iter().all(|action| action.fault().is_some())
    }

    /// The step that is to be taken first when nothing goes wrong any more: the group finds its rest, what is under way
    /// ends, and only then something new begins.
    pub(crate) fn most_urgent(&self, world: &World, mutant: Option<Mutant>) -> Option<Action> {
        let mut actions = Vec::new();
        self.actions(world, mutant, &mut actions);
        actions.into_iter().filter(|action| action.fault().is_none()).min_by_key(Action::urgency)
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Every record has arrived once, or everybody has stopped for a person. Nothing is asked for of a topic that was
    /// created again but that its rows are not mistaken for the old ones.
    pub(crate) fn is_settled(&self, world: &World) -> bool {
        let stopped = |member: &Arc<Member>| member.end == Some(End::Stopped);
        let again = self.outside.origin.topic > 0;
        self.outside.is_complete(world) || again || self.members.iter().all(stopped)
    }
}

/// An answer that says nothing.
pub(crate) fn unclear() -> RecordAnswer {
    RecordAnswer::Unclear("request timed out".to_owned())
}
