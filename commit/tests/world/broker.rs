//! The broker: stored positions, and a group that knows members and generations, never ownership.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::domain::{Partition, PositionToStore, RecordAnswer, Stored};

use crate::rng::Rng;

pub(crate) type MemberId = u64;

/// An OffsetCommit on its way, with the stamp that it was sent with.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) member: MemberId,
    pub(crate) generation: i32,
    pub(crate) positions: Vec<PositionToStore>,
}

/// One partition of a request that was stored.
pub(crate) struct Change {
    pub(crate) partition: Partition,
    pub(crate) before: Option<Stored>,
    pub(crate) after: Stored,
}

#[derive(Clone, Debug, Default)]
struct Seat {
    joined: bool,
    owns: BTreeSet<Partition>,
    given: Option<BTreeSet<Partition>>,
}

pub(crate) struct Broker {
    pub(crate) eager: bool,
    pub(crate) stored: BTreeMap<Partition, Option<Stored>>,
    seats: BTreeMap<MemberId, Seat>,
    generation: i32,
    rebalancing: bool,
    last_member: MemberId,
}

impl Broker {
    pub(crate) fn new(partitions: &BTreeSet<Partition>, eager: bool) -> Self {
        Self {
            eager,
            stored: partitions.iter().map(|partition| (*partition, None)).collect(),
            seats: BTreeMap::new(),
            generation: 0,
            rebalancing: false,
            last_member: 0,
        }
    }

    /// Judges a request and stores what is stored of it: everything, or only some partitions.
    pub(crate) fn commit(
        &mut self,
        request: &Request,
        only: Option<&BTreeSet<Partition>>,
    ) -> (RecordAnswer, Vec<Change>) {
        if !self.seats.contains_key(&request.member) {
            return (RecordAnswer::Gone("unknown member id".to_owned()), Vec::new());
        }
        if request.generation != self.generation {
            return (RecordAnswer::Passing("illegal generation".to_owned()), Vec::new());
        }
        let mut changes = Vec::new();
        for PositionToStore { partition, offset, metadata } in &request.positions {
            if only.is_some_and(|only| !only.contains(partition)) {
                continue;
            }
            let after = Stored { offset: *offset, metadata: metadata.clone() };
            let before = self.stored.insert(*partition, Some(after.clone())).flatten();
            changes.push(Change { partition: *partition, before, after });
        }
        let answer = match only {
            None => RecordAnswer::Stored,
            Some(_) => RecordAnswer::Refused("offset metadata too large".to_owned()),
        };
        (answer, changes)
    }

    // ---- the group ---------------------------------------------------------------------------------------------------

    /// A new member id.
    pub(crate) fn enter(&mut self) -> MemberId {
        self.last_member += 1;
        self.seats.insert(self.last_member, Seat::default());
        self.rebalance();
        if let Some(seat) = self.seats.get_mut(&self.last_member) {
            seat.joined = true;
        }
        self.last_member
    }

    /// Left, or expelled because nothing was heard of it.
    pub(crate) fn remove(&mut self, member: MemberId) {
        if self.seats.remove(&member).is_some() {
            self.rebalance();
        }
    }

    pub(crate) fn knows(&self, member: MemberId) -> bool {
        self.seats.contains_key(&member)
    }

    pub(crate) fn members(&self) -> Vec<MemberId> {
        self.seats.keys().copied().collect()
    }

    /// Everybody has to join again.
    pub(crate) fn rebalance(&mut self) {
        self.rebalancing = true;
        for seat in self.seats.values_mut() {
            seat.joined = false;
            seat.given = None;
        }
    }

    pub(crate) fn is_rebalancing(&self) -> bool {
        self.rebalancing
    }

    pub(crate) fn waits_for(&self, member: MemberId) -> bool {
        self.rebalancing && self.seats.get(&member).is_some_and(|seat| !seat.joined)
    }

    pub(crate) fn join(&mut self, member: MemberId, owns: BTreeSet<Partition>) {
        if let Some(seat) = self.seats.get_mut(&member) {
            seat.joined = true;
            seat.owns = owns;
        }
    }

    /// All have joined: a new generation. A partition that somebody else still holds is given to nobody yet.
    pub(crate) fn complete(&mut self, rng: &mut Rng) -> bool {
        if !self.rebalancing || self.seats.values().any(|seat| !seat.joined) {
            return false;
        }
        self.rebalancing = false;
        self.generation += 1;
        let members = self.members();
        for seat in self.seats.values_mut() {
            seat.given = Some(BTreeSet::new());
        }
        for partition in self.stored.keys() {
            let holder = self.seats.iter().find(|(_, seat)| seat.owns.contains(partition)).map(|(member, _)| *member);
            let wanted = match holder {
                Some(holder) if rng.half() => Some(holder),
                Some(_) | None => members.get(rng.below(members.len())).copied(),
            };
            if (holder.is_none() || holder == wanted)
                && let Some(given) = wanted.and_then(|m| self.seats.get_mut(&m)).and_then(|seat| seat.given.as_mut())
            {
                given.insert(*partition);
            }
        }
        true
    }

    pub(crate) fn has_given(&self, member: MemberId) -> bool {
        self.seats.get(&member).is_some_and(|seat| seat.given.is_some())
    }

    /// The generation and the assignment that wait for a member.
    pub(crate) fn sync(&mut self, member: MemberId) -> Option<(i32, BTreeSet<Partition>)> {
        let given = self.seats.get_mut(&member)?.given.take()?;
        Some((self.generation, given))
    }
}
