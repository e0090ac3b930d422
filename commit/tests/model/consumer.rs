//! The consumer thread of one process: membership, callbacks, and the only place that commits positions (rule 2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use loadlock_commit::domain::{Partition, PositionToStore, RecordAnswer, Stored};
use loadlock_commit::{Event, Ticket};

use crate::group::{AGE_MAX, SeatId};
use crate::mutant::{Mutant, as_if_refused, as_if_stored};

/// An OffsetCommit between its command and its read-back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Recording {
    pub(crate) ticket: Ticket,
    pub(crate) positions: Vec<PositionToStore>,
    /// Partitions owned without interruption since the protocol decided.
    pub(crate) holds: BTreeSet<Partition>,
    pub(crate) age: u8,
    pub(crate) answer: Option<RecordAnswer>,
    pub(crate) doubtful: bool,
}

/// A revocation inside its callback.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leaving {
    pub(crate) partitions: BTreeSet<Partition>,
    /// The protocol has heard of it, so a release means this one.
    pub(crate) heard: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Consumer {
    pub(crate) seat: Option<SeatId>,
    pub(crate) age: u8,
    pub(crate) owned: BTreeSet<Partition>,
    pub(crate) to_revoke: BTreeSet<Partition>,
    pub(crate) to_add: BTreeSet<Partition>,
    pub(crate) leaving: Option<Leaving>,
    pub(crate) recording: Option<Recording>,
    /// Events told to the protocol, in order.
    pub(crate) inbox: VecDeque<Event>,
}

impl Consumer {
    /// While a commit is out the thread is inside it; the client's own threads go on.
    pub(crate) fn is_blocked(&self) -> bool {
        self.recording.as_ref().is_some_and(|recording| recording.answer.is_none())
    }

    /// Nothing is left to revoke or assign.
    pub(crate) fn is_calm(&self) -> bool {
        self.to_revoke.is_empty() && self.to_add.is_empty() && self.leaving.is_none()
    }

    /// A clean answer is read back at once; a passing refusal when its rebalance is over, or inside a revocation.
    pub(crate) fn may_read_back(&self) -> bool {
        let Some(Recording { answer: Some(answer), age, .. }) = &self.recording else { return false };
        match answer {
            RecordAnswer::Passing(_) => {
                let calm = self.to_revoke.is_empty() && self.to_add.is_empty();
                self.seat.is_none() || self.leaving.is_some() || (calm && self.age < *age)
            }
            RecordAnswer::Stored
            | RecordAnswer::Unclear(_)
            | RecordAnswer::Gone(_)
            | RecordAnswer::Refused(_)
            | RecordAnswer::NotOwned => true,
        }
    }

    /// The background thread takes an assignment; the callbacks follow when the thread polls.
    pub(crate) fn sync(&mut self, given: &BTreeSet<Partition>) {
        self.age = 0;
        self.to_revoke = self.owned.difference(given).copied().collect();
        self.to_add = given.difference(&self.owned).copied().collect();
    }

    /// The next callback.
    pub(crate) fn poll(&mut self, mutant: Option<Mutant>) {
        if !self.to_revoke.is_empty() {
            let partitions = std::mem::take(&mut self.to_revoke);
            if mutant != Some(Mutant::HidesRevocation) {
                self.inbox.push_back(Event::Revoking(partitions.clone()));
            }
            self.leaving = Some(Leaving { partitions, heard: false });
        } else if !self.to_add.is_empty() && self.leaving.is_none() {
            let partitions = std::mem::take(&mut self.to_add);
            self.owned.extend(&partitions);
            self.inbox.push_back(Event::Assigned(partitions));
        }
    }

    /// Partitions that the protocol knows to be ours: their assignment has been heard.
    pub(crate) fn known(&self) -> BTreeSet<Partition> {
        let mut known = self.owned.clone();
        for event in &self.inbox {
            if let Event::Assigned(partitions) = event {
                known.retain(|partition| !partitions.contains(partition));
            }
        }
        known
    }

    /// The callback ends: what leaves is no longer ours.
    pub(crate) fn let_go(&mut self) -> BTreeSet<Partition> {
        let Some(leaving) = self.leaving.take() else { return BTreeSet::new() };
        self.disown(&leaving.partitions);
        leaving.partitions
    }

    fn disown(&mut self, partitions: &BTreeSet<Partition>) {
        self.owned.retain(|partition| !partitions.contains(partition));
        if let Some(recording) = &mut self.recording {
            recording.holds.retain(|partition| !partitions.contains(partition));
        }
    }

    /// The membership is gone; without a callback, if it was taken by somebody else.
    pub(crate) fn lose_all(&mut self, mutant: Option<Mutant>) {
        let lost = std::mem::take(&mut self.owned);
        self.disown(&lost);
        if !lost.is_empty() && mutant != Some(Mutant::SilentLoss) {
            self.inbox.push_back(Event::Lost(lost.clone()));
        }
        self.seat = None;
        self.age = AGE_MAX;
        self.to_revoke.clear();
        self.to_add.clear();
        self.leaving = None;
    }

    /// What is read back of a commit, and what the protocol is told.
    pub(crate) fn read_back(
        &mut self,
        stored: &BTreeMap<Partition, Option<Stored>>,
        mutant: Option<Mutant>,
    ) -> Option<Event> {
        let Recording { ticket, positions, mut holds, answer, doubtful, .. } = self.recording.take()?;
        match (mutant, &answer) {
            (Some(Mutant::BelievesTheBroker), Some(RecordAnswer::Stored)) => {
                return Some(as_if_stored(ticket, &positions, doubtful));
            }
            (Some(Mutant::BelievesTheBroker), _) => return Some(as_if_refused(ticket, &positions, doubtful)),
            (Some(Mutant::TrustsReturned), _) => holds = self.owned.clone(),
            _ => {}
        }
        let read = positions.iter().filter(|position| holds.contains(&position.partition));
        let read = read.map(|position| (position.partition, stored.get(&position.partition).cloned().flatten()));
        if mutant == Some(Mutant::TakesHalfForAll)
            && read.clone().any(|(_, found)| positions.iter().any(|sent| carries(sent, found.as_ref())))
        {
            return Some(as_if_stored(ticket, &positions, doubtful));
        }
        Some(Event::Recorded {
            ticket,
            read: read.collect(),
            answer: answer.unwrap_or(RecordAnswer::NotOwned),
            doubtful,
        })
    }
}

fn carries(sent: &PositionToStore, found: Option<&Stored>) -> bool {
    found.is_some_and(|found| found.offset == sent.offset && found.metadata == sent.metadata)
}
