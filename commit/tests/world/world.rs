//! Processes, broker and engine under a seeded scheduler: what comes next is drawn among all that could.

use std::collections::BTreeSet;

use loadlock_commit::domain::Label;
use loadlock_commit::{Event, Stop, StopCode, Tag, Txn};

use crate::broker::{Broker, MemberId, Request};
use crate::climate::Climate;
use crate::engine::Engine;
use crate::judge::{Judge, Violation};
use crate::log::{Place, Topic};
use crate::mutant::Mutant;
use crate::process::{End, Hands, Process, settings};
use crate::rng::Rng;
use crate::source::SourceStep;
use crate::tally::Tally;

/// Steps within which a healed world has to come to rest; it takes less than 2,000.
const REST_WITHIN: usize = 5_000;

/// A request that its sender no longer waits for and that may still arrive.
pub(crate) enum Late {
    Store(Request),
    Prepare(Label, Tag, BTreeSet<Place>),
    Commit(Txn),
    Abort(Txn),
}

/// An OffsetCommit on its way to the broker, and whose thread waits for it.
pub(crate) struct OnItsWay {
    pub(crate) request: Request,
    pub(crate) process: usize,
}

/// One possible next step.
#[derive(Clone, Copy, Debug)]
enum Step {
    Hear(usize),
    Task(usize, usize),
    Read(usize),
    Seal(usize),
    Source(usize, SourceStep),
    Arrive(usize),
    Rebalanced,
    Publish,
    Grow,
}

pub(crate) struct World {
    pub(crate) climate: Climate,
    pub(crate) rng: Rng,
    pub(crate) topic: Topic,
    pub(crate) broker: Broker,
    pub(crate) engine: Engine,
    pub(crate) judge: Judge,
    pub(crate) tally: Tally,
    pub(crate) processes: Vec<Process>,
    pub(crate) on_the_way: Vec<OnItsWay>,
    pub(crate) late: Vec<Late>,
    pub(crate) healed: bool,
    pub(crate) uncommittable: bool,
    /// Everything has arrived: every process is to drain.
    closing: bool,
    mutant: Option<Mutant>,
    /// Seats of crashed processes that the broker has not given up yet.
    dead: Vec<MemberId>,
    /// A stop that only a person can end.
    stuck: Option<Stop>,
    trace: Option<Vec<String>>,
}

/// What a seed's world came to.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<Violation>,
    pub(crate) tally: Tally,
    pub(crate) trace: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>, traced: bool) -> Self {
        let mut rng = Rng::new(seed);
        let climate = Climate::new(&mut rng);
        let topic = Topic::new(climate.partitions, climate.log_start, climate.log_first, climate.log_last);
        let topic = if seed % 8 == 7 { topic.with_a_table_at_least_once() } else { topic };
        let broker = Broker::new(&topic.partitions(), climate.eager);
        let mut judge = Judge::default();
        judge.at_least_once.extend(topic.at_least_once());
        let processes = (0..climate.processes).map(|_| Process::new(settings(&topic, climate.start), mutant)).collect();
        Self {
            climate,
            rng,
            judge,
            topic,
            broker,
            engine: Engine::default(),
            tally: Tally::default(),
            processes,
            on_the_way: Vec::new(),
            late: Vec::new(),
            healed: false,
            uncommittable: false,
            closing: false,
            mutant,
            dead: Vec::new(),
            stuck: None,
            trace: traced.then(Vec::new),
        }
    }

    /// First faults, then healing: everything has to arrive, once.
    pub(crate) fn run(mut self) -> Outcome {
        for _ in 0..self.climate.steps {
            if self.rng.permille(self.climate.faults) {
                self.fault();
            } else {
                self.any_step();
            }
            self.bury();
            if self.is_over() {
                return self.outcome();
            }
        }
        self.heal();
        self.come_to_rest();
        self.outcome()
    }

    fn is_over(&self) -> bool {
        self.stuck.is_some() || self.judge.saw_damage()
    }

    fn outcome(self) -> Outcome {
        Outcome { violations: self.judge.violations, tally: self.tally, trace: self.trace.unwrap_or_default() }
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// Process `index` takes an event, or does something else with its hands.
    pub(crate) fn with(&mut self, index: usize, act: impl FnOnce(&mut Process, &mut Hands<'_>)) {
        let Some(process) = self.processes.get_mut(index) else { return };
        let mut hands = Hands {
            topic: &self.topic,
            judge: &mut self.judge,
            tally: &mut self.tally,
            rng: &mut self.rng,
            broker: &mut self.broker,
            trace: self.trace.as_mut().map(|trace| (index, trace)),
        };
        act(process, &mut hands);
    }

    // ---- the next step -----------------------------------------------------------------------------------------------

    fn possible(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, process) in self.processes.iter().enumerate() {
            if process.frozen || !process.is_running() {
                continue;
            }
            if !process.source.inbox.is_empty() {
                steps.push(Step::Hear(index));
            }
            steps.extend((0..process.tasks.len()).map(|task| Step::Task(index, task)));
            if !process.readable(&self.topic).is_empty() {
                steps.extend([Step::Read(index), Step::Read(index)]);
            }
            if process.may_seal() {
                steps.push(Step::Seal(index));
            }
            steps.extend(process.source.steps(&self.broker).into_iter().map(|step| Step::Source(index, step)));
        }
        steps.extend((0..self.on_the_way.len()).map(Step::Arrive));
        if self.broker.is_rebalancing() {
            steps.push(Step::Rebalanced);
        }
        if self.engine.has_unpublished() {
            steps.push(Step::Publish);
        }
        if !self.topic.is_grown() {
            steps.push(Step::Grow);
        }
        steps
    }

    /// False if nothing can happen any more.
    fn any_step(&mut self) -> bool {
        let steps = self.possible();
        let Some(step) = steps.get(self.rng.below(steps.len())).copied() else { return false };
        self.note(|| format!("{step:?}"));
        match step {
            Step::Hear(index) => self.with(index, |process, hands| process.hear_source(hands)),
            Step::Task(index, task) => self.task(index, task),
            Step::Read(index) => self.read(index),
            Step::Seal(index) => self.with(index, |process, hands| process.seal(hands)),
            Step::Source(index, step) => self.source(index, step),
            Step::Arrive(index) => self.arrive(index),
            Step::Rebalanced => {
                if self.broker.complete(&mut self.rng) {
                    self.tally.count("rebalances");
                }
            }
            Step::Publish => self.engine.publish(),
            Step::Grow => {
                let partitions: Vec<_> = self.topic.partitions().into_iter().collect();
                if let Some(partition) = partitions.get(self.rng.below(partitions.len())) {
                    self.topic.grow(*partition);
                }
            }
        }
        true
    }

    fn read(&mut self, index: usize) {
        let Some(process) = self.processes.get_mut(index) else { return };
        let readable = process.readable(&self.topic);
        if let Some(partition) = readable.get(self.rng.below(readable.len())) {
            process.read_one(*partition, &self.topic);
        }
    }

    fn source(&mut self, index: usize, step: SourceStep) {
        if step == SourceStep::Deadline && !self.rng.permille(30) {
            return;
        }
        let Some(process) = self.processes.get_mut(index) else { return };
        if let Some(event) = process.source.step(step, &mut self.broker, &mut self.tally) {
            process.tasks.push(crate::process::Task::Tell(event));
        }
    }

    // ---- the end of processes ----------------------------------------------------------------------------------------

    /// Processes that ended leave the group; others take their places, unless a person is needed.
    fn bury(&mut self) {
        for index in 0..self.processes.len() {
            let Some(end) = self.processes.get_mut(index).and_then(|process| process.end.clone()) else { continue };
            if self.closing && matches!(end, End::Drained) {
                self.leave(index);
                continue;
            }
            self.note(|| format!("process {index} ended: {end:?}"));
            match end {
                End::Drained => self.tally.count("drained under faults"),
                End::Stopped(stop) => self.stopped(stop),
            }
            self.replace(index, false);
        }
    }

    fn leave(&mut self, index: usize) {
        let member = self.processes.get_mut(index).and_then(|process| process.source.member.take());
        if let Some(member) = member {
            self.broker.remove(member);
        }
    }

    fn stopped(&mut self, stop: Stop) {
        self.tally.count(stop.code.name());
        match stop.code {
            StopCode::OutcomeUnknown => {
                if !self.engine.has_forgotten() {
                    self.judge.broken("rule 10", format!("stopped although nothing was forgotten: {}", stop.what));
                }
                self.stuck = Some(stop);
            }
            // Each has a fault as its reason; another process takes the place.
            StopCode::BadRecord | StopCode::LoadRefused | StopCode::PositionRefused | StopCode::NotCommittable => {}
            StopCode::TooManyRejects
            | StopCode::NoPosition
            | StopCode::PositionsLost
            | StopCode::PositionOutOfLog
            | StopCode::TopicChanged
            | StopCode::ClusterChanged
            | StopCode::PositionUnreadable
            | StopCode::MappingChanged
            | StopCode::LogRewritten
            | StopCode::Invariant
            | StopCode::Kafka
            | StopCode::DeadLetters
            | StopCode::TopicMissing
            | StopCode::Denied
            | StopCode::Fenced
            | StopCode::Preflight
            | StopCode::DrainUnfinished => {
                self.judge.broken("stop", format!("stopped without reason: {}: {}", stop.code, stop.what));
                self.stuck = Some(stop);
            }
        }
    }

    /// A new process at this place. Of the old one only what is on its way is left, and after a crash its seat.
    pub(crate) fn replace(&mut self, index: usize, crash: bool) {
        self.on_the_way.retain_mut(|commit| {
            if commit.process == index {
                self.late.push(Late::Store(commit.request.clone()));
            }
            commit.process != index
        });
        let fresh = Process::new(settings(&self.topic, self.climate.start), self.mutant);
        let Some(process) = self.processes.get_mut(index) else { return };
        let old = std::mem::replace(process, fresh);
        if let Some(member) = old.source.member {
            if crash {
                self.dead.push(member);
            } else {
                self.broker.remove(member);
            }
        }
        self.leave_behind(old);
    }

    pub(crate) fn expel_one_dead(&mut self) {
        if let Some(member) = self.dead.pop() {
            self.broker.remove(member);
        }
    }

    // ---- healing -----------------------------------------------------------------------------------------------------

    fn heal(&mut self) {
        self.note(|| "healed".to_owned());
        self.healed = true;
        while !self.dead.is_empty() {
            self.expel_one_dead();
        }
        for process in &mut self.processes {
            process.frozen = false;
        }
        for partition in self.topic.partitions() {
            while self.topic.grow(partition) {}
        }
    }

    /// Liveness: every position reaches the end of its log; then every process drains.
    fn come_to_rest(&mut self) {
        for _ in 0..REST_WITHIN {
            let moved = self.any_step();
            if !self.late.is_empty() && (!moved || self.rng.permille(50)) {
                self.late_one();
            } else if !moved && self.closing {
                break;
            }
            self.bury();
            if self.is_over() {
                return;
            }
            if !self.closing && (!moved || self.all_stored()) {
                if !self.all_stored() {
                    self.judge.broken("rest", format!("nothing moves any more: {:?}", self.broker.stored));
                }
                self.closing = true;
            }
            for index in 0..self.processes.len() {
                if self.closing
                    && self.processes.get(index).is_some_and(|process| process.is_running() && !process.draining)
                {
                    self.with(index, |process, hands| process.step(Event::Drain(None), hands));
                }
            }
            if self.closing && self.processes.iter().all(|process| !process.is_running()) {
                self.judge.everything_arrived(&self.topic);
                self.tally.count("worlds that came to rest");
                return;
            }
        }
        let positions = format!("{:?}", self.broker.stored);
        self.judge.broken("rest", format!("no rest; asked to drain: {}; {positions}", self.closing));
    }

    fn all_stored(&self) -> bool {
        self.broker.stored.iter().all(|(partition, stored)| {
            let at_end = |stored: &loadlock_commit::domain::Stored| {
                stored.offset == self.topic.end(*partition) && !crate::process::carries_intent(&stored.metadata)
            };
            stored.as_ref().is_some_and(at_end)
        })
    }
}
