//! The client below the consumer thread: it keeps the seat in the group, whatever the thread is doing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loadlock::domain::Partition;
use loadlock::source::Identity;
use tokio::time::Instant;

use crate::broker::MemberId;
use crate::rng::Rng;
use crate::world::{Life, Sim};

/// Time between two heartbeats when nothing happens.
const BEAT: Duration = Duration::from_secs(1);

/// A client's place in the group.
#[derive(Default)]
pub(super) struct Seat {
    pub(super) member: Option<MemberId>,
    pub(super) generation: i32,
    /// As the client knows it: the thread has assigned it.
    pub(super) owned: BTreeSet<Partition>,
    /// Callbacks that wait for the thread.
    pub(super) to_revoke: BTreeSet<Partition>,
    pub(super) to_add: Option<BTreeSet<Partition>>,
    /// A revocation has been called back and is not answered yet.
    pub(super) leaving: bool,
    /// The group has expelled this member.
    pub(super) lost: bool,
    /// The thread is inside an OffsetCommit.
    pub(super) blocked: bool,
}

pub(super) type SharedSeat = Arc<Mutex<Seat>>;

pub(super) fn lock(seat: &SharedSeat) -> MutexGuard<'_, Seat> {
    seat.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    /// What the thread reads before each commit.
    pub(super) fn identity(&self) -> Option<Identity> {
        let member = self.member?;
        Some(Identity { member: format!("member-{member}"), generation: self.generation })
    }

    fn is_calm(&self) -> bool {
        self.to_revoke.is_empty() && self.to_add.is_none() && !self.leaving
    }

    /// Nothing is left of the membership; a new one follows.
    pub(super) fn forget(&mut self) {
        *self = Self { blocked: self.blocked, generation: self.generation, ..Self::default() };
    }
}

/// Beats until the process ends.
pub(super) async fn beat(sim: Sim, life: Arc<Life>, seat: SharedSeat, mut rng: Rng) {
    loop {
        life.thawed().await;
        if step(&sim, &seat, &mut rng) {
            sim.stir();
        }
        let news = sim.stir.notified();
        tokio::select! {
            () = news => sim.latency(&mut rng).await,
            () = tokio::time::sleep(BEAT) => {}
        }
    }
}

/// One exchange with the coordinator; true if something has changed.
fn step(sim: &Sim, seat: &SharedSeat, rng: &mut Rng) -> bool {
    let world = &mut *sim.with(rng);
    let seat = &mut *lock(seat);
    let Some(member) = seat.member else {
        if seat.blocked || seat.lost {
            return false;
        }
        let member = world.broker.enter();
        world.heard_of.insert(member, Instant::now());
        seat.member = Some(member);
        return true;
    };
    if !world.broker.knows(member) {
        let news = !seat.lost;
        seat.lost = true;
        return news;
    }
    world.heard_of.insert(member, Instant::now());
    if !seat.is_calm() {
        return false;
    }
    if world.broker.waits_for(member) {
        // Eager members give everything up first; cooperative ones join with what they own, without any callback.
        if world.broker.eager && !seat.owned.is_empty() {
            seat.to_revoke.clone_from(&seat.owned);
        } else {
            world.broker.join(member, seat.owned.clone());
        }
        return true;
    }
    let Some((generation, given)) = world.broker.has_given(member).then(|| world.broker.sync(member)).flatten() else {
        return false;
    };
    seat.generation = generation;
    seat.to_revoke = seat.owned.difference(&given).copied().collect();
    let new: BTreeSet<_> = given.difference(&seat.owned).copied().collect();
    if !new.is_empty() {
        seat.to_add = Some(new);
    } else if seat.to_revoke.is_empty() {
        world.tally.count("generation rose without a partition coming or going");
        // Some protocols call back all the same.
        seat.to_add = world.rng.half().then(BTreeSet::new);
    }
    true
}
