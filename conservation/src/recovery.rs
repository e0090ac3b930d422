//! How long a partition stands still when its owner is killed, and nothing else is done to anybody.

use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::Failure;
use crate::fleet::Fleet;
use crate::group::{Group, Positions};
use crate::run::TICK;

/// Longest wait for a steady group, and for its recovery.
const DEADLINE: Duration = Duration::from_secs(120);

/// A partition that has moved within this time is being loaded.
const MOVES: Duration = Duration::from_secs(2);

/// Advances that are seen so soon after a kill were on their way before it.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

/// Kills one owner after the other; the time from each kill until all its partitions have moved.
pub(crate) fn measure(
    times: u32,
    fleet: &mut Fleet,
    group: &Group,
    partitions: i32,
    rng: &mut Rng,
) -> Result<Vec<Duration>, Failure> {
    let mut recoveries = Vec::new();
    for _ in 0..times {
        let (client, owned) = steady(fleet, group, partitions, rng)?;
        let before = group.positions();
        let killed = Instant::now();
        fleet.kill(&client);
        let moved = until(fleet, "the partitions of a killed member move", || {
            moved_since(&before, &group.positions(), &owned, killed)
        })?;
        recoveries.push(moved);
    }
    Ok(recoveries)
}

/// Waits until every member has joined and every partition moves; a member, and what it owns.
fn steady(fleet: &mut Fleet, group: &Group, partitions: i32, rng: &mut Rng) -> Result<(String, Vec<i32>), Failure> {
    let began = Instant::now();
    loop {
        let clients = fleet.clients().unwrap_or_default();
        let owners = group.owners().unwrap_or_default();
        let owned: usize = owners.values().map(Vec::len).sum();
        let all = !clients.is_empty() && clients.iter().all(|client| owners.get(client).is_some_and(|o| !o.is_empty()));
        let moves = group.positions().values().all(|position| position.since.elapsed() < MOVES);
        if all && owners.len() == clients.len() && owned == partitions.unsigned_abs() as usize && moves {
            let owner = rng.choice(owners);
            return owner.ok_or_else(|| "a group without members".to_owned());
        }
        if began.elapsed() > DEADLINE {
            return Err(format!("the group is not steady within {DEADLINE:?}: {owners:?} of {clients:?}"));
        }
        fleet.turn(Instant::now())?;
        thread::sleep(TICK);
    }
}

fn moved_since(before: &Positions, now: &Positions, owned: &[i32], killed: Instant) -> Option<Duration> {
    let moved = |partition: &i32| {
        let (before, now) = (before.get(partition)?, now.get(partition)?);
        let after = now.since.checked_duration_since(killed)?;
        (now.offset > before.offset && after > ON_ITS_WAY).then_some(after)
    };
    let each: Option<Vec<Duration>> = owned.iter().map(moved).collect();
    each.and_then(|each| each.into_iter().max())
}

fn until<T>(fleet: &mut Fleet, what: &str, mut done: impl FnMut() -> Option<T>) -> Result<T, Failure> {
    let began = Instant::now();
    while began.elapsed() < DEADLINE {
        if let Some(value) = done() {
            return Ok(value);
        }
        fleet.turn(Instant::now())?;
        thread::sleep(TICK);
    }
    Err(format!("waited {DEADLINE:?} in vain: {what}"))
}
