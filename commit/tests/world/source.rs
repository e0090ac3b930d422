//! The consumer thread of one process: membership, callbacks, and the only place that commits positions (rule 2).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use loadlock_commit::domain::{Partition, PositionToStore, RecordAnswer};
use loadlock_commit::{Event, Ticket};

use crate::broker::{Broker, MemberId, Request};
use crate::mutant::Mutant;
use crate::tally::Tally;

/// An OffsetCommit between its command and its read-back.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) ticket: Ticket,
    pub(crate) positions: Vec<PositionToStore>,
    /// Assignment of each partition when the call began.
    tenures: BTreeMap<Partition, u64>,
    generation: i32,
    answer: Option<RecordAnswer>,
    pub(crate) doubtful: bool,
}

/// A revocation inside its callback.
#[derive(Debug)]
struct Leaving {
    number: u64,
    partitions: BTreeSet<Partition>,
}

#[derive(Default)]
pub(crate) struct Source {
    pub(crate) member: Option<MemberId>,
    generation: i32,
    /// What is owned, each with the number of the event that told of it.
    tenures: BTreeMap<Partition, u64>,
    to_revoke: BTreeSet<Partition>,
    to_add: BTreeSet<Partition>,
    leaving: Option<Leaving>,
    pub(crate) recording: Option<Recording>,
    /// Events told to the protocol, in order; `told` counts them.
    pub(crate) inbox: VecDeque<Event>,
    told: u64,
}

/// What the thread can do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceStep {
    Enter,
    LearnLoss,
    Join,
    Sync,
    Poll,
    Deadline,
    ReadBack,
}

impl Source {
    fn tell(&mut self, event: Event) {
        self.told += 1;
        self.inbox.push_back(event);
    }

    /// What may happen now. While a commit is out the thread is inside it; the client's own threads go on.
    pub(crate) fn steps(&self, broker: &Broker) -> Vec<SourceStep> {
        let Some(member) = self.member else {
            let free = self.recording.is_none();
            return if free { vec![SourceStep::Enter] } else { vec![SourceStep::ReadBack] };
        };
        let blocked = self.recording.as_ref().is_some_and(|recording| recording.answer.is_none());
        let calm = self.to_revoke.is_empty() && self.to_add.is_empty() && self.leaving.is_none();
        let mut steps = Vec::new();
        if !broker.knows(member) {
            if !blocked {
                steps.push(SourceStep::LearnLoss);
            }
        } else if broker.waits_for(member) {
            let must_empty = broker.eager && !self.tenures.is_empty();
            if calm && (!must_empty || !blocked) {
                steps.push(SourceStep::Join);
            }
        } else if calm && broker.has_given(member) {
            steps.push(SourceStep::Sync);
        }
        if !blocked && self.leaving.is_none() && (!self.to_revoke.is_empty() || !self.to_add.is_empty()) {
            steps.push(SourceStep::Poll);
        }
        if !blocked && self.leaving.is_some() {
            steps.push(SourceStep::Deadline);
        }
        if self.may_read_back() {
            steps.push(SourceStep::ReadBack);
        }
        steps
    }

    /// A clean answer is read back at once; a passing refusal when its rebalance is over, or inside a revocation.
    fn may_read_back(&self) -> bool {
        let Some(Recording { answer: Some(answer), generation, .. }) = &self.recording else { return false };
        match answer {
            RecordAnswer::Passing(_) => {
                let calm = self.to_revoke.is_empty() && self.to_add.is_empty();
                self.leaving.is_some() || (calm && self.generation > *generation)
            }
            RecordAnswer::Stored
            | RecordAnswer::Unclear(_)
            | RecordAnswer::Gone(_)
            | RecordAnswer::Refused(_)
            | RecordAnswer::NotOwned => true,
        }
    }

    pub(crate) fn step(&mut self, step: SourceStep, broker: &mut Broker, tally: &mut Tally) -> Option<Event> {
        match step {
            SourceStep::Enter => self.member = Some(broker.enter()),
            SourceStep::LearnLoss => {
                tally.count("membership found lost");
                self.lose_all();
            }
            SourceStep::Join => self.join(broker),
            SourceStep::Sync => self.sync(broker, tally),
            SourceStep::Poll => self.poll(tally),
            SourceStep::Deadline => {
                tally.count("revocation went on without release");
                self.callback_ends(broker);
            }
            SourceStep::ReadBack => return self.read_back(broker, tally),
        }
        None
    }

    fn lose_all(&mut self) {
        let lost: BTreeSet<_> = std::mem::take(&mut self.tenures).into_keys().collect();
        if !lost.is_empty() {
            self.tell(Event::Lost(lost));
        }
        self.member = None;
        self.to_revoke.clear();
        self.to_add.clear();
        self.leaving = None;
    }

    /// Eager members give everything up first; cooperative ones join with what they own, without any callback.
    fn join(&mut self, broker: &mut Broker) {
        let Some(member) = self.member else { return };
        if broker.eager && !self.tenures.is_empty() {
            self.to_revoke = self.tenures.keys().copied().collect();
        } else {
            broker.join(member, self.tenures.keys().copied().collect());
        }
    }

    fn sync(&mut self, broker: &mut Broker, tally: &mut Tally) {
        let Some((generation, given)) = self.member.and_then(|member| broker.sync(member)) else { return };
        self.generation = generation;
        let owned: BTreeSet<_> = self.tenures.keys().copied().collect();
        self.to_revoke = owned.difference(&given).copied().collect();
        self.to_add = given.difference(&owned).copied().collect();
        if self.to_revoke.is_empty() && self.to_add.is_empty() && !owned.is_empty() {
            tally.count("generation rose without a callback");
        }
    }

    fn poll(&mut self, tally: &mut Tally) {
        if !self.to_revoke.is_empty() {
            let partitions = std::mem::take(&mut self.to_revoke);
            if self.recording.is_some() {
                tally.count("revocation while a commit is being read back");
            }
            tally.count(if partitions.len() < self.tenures.len() {
                "revoked, some stay"
            } else {
                "revoked, none stay"
            });
            self.tell(Event::Revoking(partitions.clone()));
            self.leaving = Some(Leaving { number: self.told, partitions });
            return;
        }
        let partitions = std::mem::take(&mut self.to_add);
        self.tell(Event::Assigned(partitions.clone()));
        self.tenures.extend(partitions.into_iter().map(|partition| (partition, self.told)));
    }

    /// The protocol lets the revocation with this number go on.
    pub(crate) fn release(&mut self, number: u64, broker: &mut Broker) {
        if self.leaving.as_ref().is_some_and(|leaving| leaving.number == number) {
            self.callback_ends(broker);
        }
    }

    fn callback_ends(&mut self, broker: &mut Broker) {
        let Some(leaving) = self.leaving.take() else { return };
        for partition in leaving.partitions {
            self.tenures.remove(&partition);
        }
        let Some(member) = self.member else { return };
        if broker.eager {
            broker.join(member, BTreeSet::new());
        } else if broker.knows(member) {
            broker.rebalance();
        }
    }

    /// Rule 4: this membership is closed; a new member follows.
    pub(crate) fn rejoin(&mut self, broker: &mut Broker) {
        if let Some(member) = self.member {
            broker.remove(member);
        }
        self.lose_all();
    }

    // ---- commits -----------------------------------------------------------------------------------------------------

    /// Begins an OffsetCommit, or says why not. `seen` is how many of our events the protocol knew when it decided:
    /// a partition that has come back since is not what it decided about.
    pub(crate) fn record(
        &mut self,
        ticket: Ticket,
        positions: Vec<PositionToStore>,
        seen: u64,
        mutant: Option<Mutant>,
        tally: &mut Tally,
    ) -> Result<Request, Event> {
        let refused = |answer| Event::Recorded { ticket, answer, read: BTreeMap::new(), doubtful: false };
        let Some(member) = self.member else { return Err(refused(RecordAnswer::Gone("no membership".to_owned()))) };
        let mut tenures = BTreeMap::new();
        for position in &positions {
            match self.tenures.get(&position.partition) {
                Some(tenure) if *tenure <= seen || mutant == Some(Mutant::ServesOldDecisions) => {
                    tenures.insert(position.partition, *tenure);
                }
                Some(_) => {
                    tally.count("an old decision about a partition that came back is refused");
                    return Err(refused(RecordAnswer::NotOwned));
                }
                None => {
                    tally.count("a commit for what is not owned is refused");
                    return Err(refused(RecordAnswer::NotOwned));
                }
            }
        }
        if self.leaving.is_some() {
            tally.count("positions are stored inside a revocation");
        }
        let request = Request { member, generation: self.generation, positions: positions.clone() };
        let generation = self.generation;
        self.recording = Some(Recording { ticket, positions, tenures, generation, answer: None, doubtful: false });
        Ok(request)
    }

    /// The connection broke: the client sends the same again, with the stamp that it has now.
    pub(crate) fn send_again(&mut self) -> Option<Request> {
        let member = self.member?;
        let recording = self.recording.as_mut()?;
        recording.doubtful = true;
        Some(Request { member, generation: self.generation, positions: recording.positions.clone() })
    }

    pub(crate) fn answered(&mut self, answer: RecordAnswer) {
        if let Some(recording) = &mut self.recording {
            recording.answer = Some(answer);
        }
    }

    fn read_back(&mut self, broker: &Broker, tally: &mut Tally) -> Option<Event> {
        let Recording { ticket, positions, tenures, answer, doubtful, .. } = self.recording.take()?;
        let still = |partition: &Partition| tenures.get(partition) == self.tenures.get(partition);
        let read: BTreeMap<_, _> = positions
            .iter()
            .filter(|position| still(&position.partition))
            .map(|position| (position.partition, broker.stored.get(&position.partition).cloned().flatten()))
            .collect();
        if read.len() < positions.len() {
            tally.count("read back without what has gone");
        }
        Some(Event::Recorded { ticket, answer: answer.unwrap_or(RecordAnswer::NotOwned), read, doubtful })
    }

    /// How many of our events the protocol has, when so many still wait.
    pub(crate) fn seen(&self) -> u64 {
        self.told.saturating_sub(self.inbox.len() as u64)
    }
}
