//! Counts of what really happened: a kind of step, fault or stop that no world ever sees fails the run.

use std::sync::atomic::{AtomicU64, Ordering};

use loadlock_commit::StopCode;

use crate::fault::Fault;
use crate::member::Task;
use crate::state::{Action, State};

/// Steps that are no faults.
const STEPS: [&str; 11] = [
    "an event of the consumer thread heard",
    "a batch sealed",
    "an assignment taken",
    "a callback",
    "a read-back",
    "a membership found lost",
    "a rebalance that gives partitions",
    "a dead member's session over",
    "a late request arrives",
    "a record comes",
    "a task goes well",
];

/// Tasks by their kind.
const TASKS: [&str; 9] = [
    "positions stored",
    "positions read",
    "a start resolved",
    "joined as a new member",
    "prepared",
    "committed",
    "aborted",
    "asked for a state",
    "an answer heard",
];

/// Stops that a world may come to.
const STOPS: [StopCode; 6] = [
    StopCode::OutcomeUnknown,
    StopCode::NotCommittable,
    StopCode::MappingChanged,
    StopCode::TopicChanged,
    StopCode::NoPosition,
    StopCode::LogRewritten,
];

/// Counters of all kinds.
#[derive(Default)]
pub(crate) struct Seen {
    steps: [AtomicU64; STEPS.len()],
    tasks: [AtomicU64; TASKS.len()],
    faults: [AtomicU64; Fault::ALL.len()],
    stops: [AtomicU64; STOPS.len()],
}

fn count(counters: &[AtomicU64], place: usize) {
    if let Some(counter) = counters.get(place) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Seen {
    pub(crate) fn action(&self, state: &State, action: &Action) {
        match action.fault() {
            Some(fault) => count(&self.faults, fault as usize),
            None => count(&self.steps, step(action)),
        }
        if let Action::Task(index, number, _) = action
            && let Some(task) = state.members.get(*index).and_then(|member| member.tasks.get(*number))
        {
            count(&self.tasks, kind(task));
        }
    }

    pub(crate) fn state(&self, state: &State) {
        if let Some(place) = STOPS.iter().position(|code| state.outside.stopped == Some(*code)) {
            count(&self.stops, place);
        }
    }

    /// Every kind with its count.
    pub(crate) fn all(&self) -> Vec<(String, u64)> {
        let steps = STEPS.iter().zip(&self.steps).map(|(name, count)| ((*name).to_owned(), count));
        let tasks = TASKS.iter().zip(&self.tasks).map(|(name, count)| (format!("task: {name}"), count));
        let faults = Fault::ALL.iter().zip(&self.faults).map(|(fault, count)| (format!("fault: {fault:?}"), count));
        let stops = STOPS.iter().zip(&self.stops).map(|(code, count)| (format!("stop: {code}"), count));
        let all = steps.chain(tasks).chain(faults).chain(stops);
        all.map(|(name, count)| (name, count.load(Ordering::Relaxed))).collect()
    }
}

fn step(action: &Action) -> usize {
    match action {
        Action::Hear(_) => 0,
        Action::Seal(..) => 1,
        Action::Sync(_) => 2,
        Action::Poll(_) => 3,
        Action::ReadBack(_) => 4,
        Action::LearnLoss(_) => 5,
        Action::Rebalance { .. } => 6,
        Action::ExpelDead(_) => 7,
        Action::Arrive(_) => 8,
        Action::Grow(_) => 9,
        Action::Task(..) => 10,
        Action::Crash { .. }
        | Action::Remap(_)
        | Action::Recreate
        | Action::Rewrite
        | Action::ToolReads
        | Action::ToolWrites
        | Action::Expel(_)
        | Action::Deadline(_)
        | Action::Impatient(_)
        | Action::Resend(_)
        | Action::TimeOut(_)
        | Action::Forget(_)
        | Action::Drain(_) => STEPS.len(),
    }
}

fn kind(task: &Task) -> usize {
    match task {
        Task::Record { .. } => 0,
        Task::Read { .. } => 1,
        Task::Resolve { .. } => 2,
        Task::Rejoin => 3,
        Task::Prepare { .. } => 4,
        Task::Commit { .. } => 5,
        Task::Abort { .. } => 6,
        Task::Ask { .. } => 7,
        Task::Tell(_) => 8,
    }
}
