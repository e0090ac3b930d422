//! The broker: stored positions, and a group that knows members and generations, never ownership.
//!
//! A generation is told by its age: how many rebalances ended since. Only requests of age 0 are taken.

use std::collections::{BTreeMap, BTreeSet};

use loadlock_commit::domain::{Partition, PositionToStore, RecordAnswer, Stored};

/// Place of a member in the group. A place that nobody refers to any more is given to the next one.
pub(crate) type SeatId = u8;

/// Rebalances since a generation; beyond this they are not counted.
pub(crate) const AGE_MAX: u8 = 3;

/// One member as the group knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seat {
    /// The process that sits there; none if it has crashed and the group has not noticed.
    pub(crate) process: Option<usize>,
    /// What it has not given back.
    pub(crate) holds: BTreeSet<Partition>,
    /// An assignment that it has not taken yet.
    pub(crate) given: Option<BTreeSet<Partition>>,
    /// False until its first rebalance has ended.
    pub(crate) joined: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Group {
    pub(crate) stored: BTreeMap<Partition, Option<Stored>>,
    pub(crate) seats: BTreeMap<SeatId, Seat>,
    /// Where a partition is going that is being moved.
    pub(crate) moving: BTreeMap<Partition, SeatId>,
}

/// An OffsetCommit with its stamp.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) seat: SeatId,
    pub(crate) age: u8,
    pub(crate) positions: Vec<PositionToStore>,
}

impl Group {
    /// Whether a request would be stored, and the answer.
    pub(crate) fn judge(&self, request: &Request) -> RecordAnswer {
        if !self.seats.contains_key(&request.seat) {
            RecordAnswer::Gone("unknown member id".to_owned())
        } else if request.age > 0 {
            RecordAnswer::Passing("illegal generation".to_owned())
        } else {
            RecordAnswer::Stored
        }
    }

    pub(crate) fn holder(&self, partition: Partition) -> Option<SeatId> {
        self.seats.iter().find(|(_, seat)| seat.holds.contains(&partition)).map(|(id, _)| *id)
    }

    pub(crate) fn orphans(&self) -> Vec<Partition> {
        self.stored.keys().copied().filter(|partition| self.holder(*partition).is_none()).collect()
    }

    /// A seat for a process that comes.
    pub(crate) fn enter(&mut self, process: usize, taken: impl Fn(SeatId) -> bool) -> SeatId {
        let own = SeatId::try_from(process).unwrap_or(SeatId::MAX);
        let id = std::iter::once(own)
            .chain(0..SeatId::MAX)
            .find(|id| !self.seats.contains_key(id) && !taken(*id))
            .unwrap_or(SeatId::MAX);
        let seat = Seat { process: Some(process), holds: BTreeSet::new(), given: None, joined: false };
        self.seats.insert(id, seat);
        id
    }

    pub(crate) fn remove(&mut self, seat: SeatId) {
        self.seats.remove(&seat);
        self.moving.retain(|_, to| *to != seat);
    }

    pub(crate) fn give_back(&mut self, seat: SeatId, partitions: &BTreeSet<Partition>) {
        if let Some(seat) = self.seats.get_mut(&seat) {
            seat.holds.retain(|partition| !partitions.contains(partition));
        }
    }

    /// A rebalance ends: everybody keeps what he holds, but for `taken`; `given` says who gets what nobody holds.
    pub(crate) fn complete(&mut self, taken: Option<Partition>, given: &BTreeMap<Partition, SeatId>) {
        for (id, seat) in &mut self.seats {
            let mut all = seat.holds.clone();
            all.retain(|partition| Some(*partition) != taken);
            let new: BTreeSet<_> = given.iter().filter(|(_, to)| *to == id).map(|(partition, _)| *partition).collect();
            seat.holds.extend(&new);
            all.extend(new);
            seat.given = Some(all);
            seat.joined = true;
        }
        self.moving.retain(|partition, _| !given.contains_key(partition));
    }
}
