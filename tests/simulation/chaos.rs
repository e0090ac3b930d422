//! A world's course: faults at first, then healing, then everything has to come to rest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use loadlock::commit::metadata::Metadata;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::climate::Policy;
use crate::process::dwell;
use crate::rng::Rng;
use crate::world::{Life, Sim, World};

/// A member that was not heard of for so long is expelled.
const SESSION: Duration = Duration::from_secs(10);

/// A healed world's positions reach the ends of their logs within this time.
const REST_WITHIN: Duration = Duration::from_secs(3 * 3600);

/// What is asked to drain has ended within this time, and so has everything it left behind.
const END_WITHIN: Duration = Duration::from_secs(3 * 3600);

/// Runs a world to its end.
pub(crate) async fn run(sim: &Sim) {
    let dice = || Rng::new(sim.lock().rng.next());
    let mut nature = JoinSet::new();
    nature.spawn(produce(Arc::clone(sim), dice()));
    nature.spawn(coordinate(Arc::clone(sim), dice()));
    nature.spawn(publish(Arc::clone(sim), dice()));
    let mut places = JoinSet::new();
    let count = sim.lock().lives.len();
    for place in 0..count {
        places.spawn(dwell(Arc::clone(sim), place, dice()));
    }
    trouble(sim, dice()).await;
    heal(sim);
    let stored = until(sim, REST_WITHIN, World::has_arrived).await;
    if sim.lock().is_over() {
        return;
    }
    if !stored {
        let mut world = sim.lock();
        let what = format!("positions never came to the ends of their logs: {:?}", world.broker.stored);
        return world.judge.broken("rest", what);
    }
    close(sim);
    let ended = tokio::time::timeout(END_WITHIN, async { while places.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        return sim.lock().judge.broken("rest", "a process that was asked to drain never ended".to_owned());
    }
    nature.shutdown().await;
    judge_the_end(sim).await;
}

/// Looks again and again until it is so, or the world is over; false at the deadline.
async fn until(sim: &Sim, within: Duration, so: impl Fn(&World) -> bool) -> bool {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        {
            let world = sim.lock();
            if world.is_over() || so(&world) {
                return true;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    false
}

// ---- nature ----------------------------------------------------------------------------------------------------------

async fn produce(sim: Sim, mut rng: Rng) {
    loop {
        let pause = sim.with(&mut rng).millis(1500);
        tokio::time::sleep(pause).await;
        let news = {
            let world = &mut *sim.with(&mut rng);
            let partitions: Vec<_> = world.topic.partitions().into_iter().collect();
            let partition = partitions.get(world.rng.below(partitions.len())).copied();
            partition.is_some_and(|partition| world.topic.grow(partition))
        };
        if news {
            sim.stir();
        }
    }
}

/// The group's coordinator: ends rebalances, expels who is not heard of.
async fn coordinate(sim: Sim, mut rng: Rng) {
    loop {
        let news = sim.stir.notified();
        tokio::select! {
            () = news => sim.latency(&mut rng).await,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
        let news = {
            let world = &mut *sim.with(&mut rng);
            let now = Instant::now();
            let silent = |member: &u64| world.heard_of.get(member).is_none_or(|heard| now - *heard > SESSION);
            let silent: Vec<_> = world.broker.members().into_iter().filter(silent).collect();
            for member in &silent {
                world.tally.count("silent members expelled");
                world.broker.remove(*member);
            }
            let completed = world.broker.is_rebalancing() && world.broker.complete(&mut world.rng);
            if completed {
                world.tally.count("rebalances");
            }
            completed || !silent.is_empty()
        };
        if news {
            sim.stir();
        }
    }
}

/// What is committed becomes visible in its own time.
async fn publish(sim: Sim, mut rng: Rng) {
    loop {
        let pause = sim.with(&mut rng).millis(3000);
        tokio::time::sleep(pause).await;
        sim.lock().engine.publish();
    }
}

// ---- faults ----------------------------------------------------------------------------------------------------------

async fn trouble(sim: &Sim, mut rng: Rng) {
    let ends = Instant::now() + sim.lock().climate.heals_after;
    while Instant::now() < ends && !sim.lock().is_over() {
        let pause = {
            let mut world = sim.with(&mut rng);
            let calm = usize::try_from(world.climate.calm.as_millis()).unwrap_or(1);
            world.millis(2 * calm)
        };
        tokio::time::sleep(pause).await;
        fault(sim, &mut rng);
        sim.stir();
    }
}

fn fault(sim: &Sim, rng: &mut Rng) {
    let (choice, life) = {
        let world = &mut *sim.with(rng);
        let choice = world.rng.below(18);
        let place = world.rng.below(world.lives.len());
        (choice, world.lives.get(place).cloned().flatten())
    };
    let Some(life) = life.filter(|life| !life.is_dead()) else { return };
    sim.note(&format!("fault {choice} at {}", life.place));
    match choice {
        0 | 1 => {
            sim.count("crashes");
            life.kill();
        }
        2 | 3 => freeze(sim, rng, life),
        4 => {
            sim.count("asked to drain under faults");
            life.stop.send_replace(true);
        }
        _ => sim.with(rng).fault(choice),
    }
}

/// A process is held: nothing goes in or out. Nobody hears of it, and it hears of nobody.
fn freeze(sim: &Sim, rng: &mut Rng, life: Arc<Life>) {
    if life.is_frozen() {
        return;
    }
    let time = {
        let mut world = sim.with(rng);
        world.tally.count("processes held");
        if world.rng.half() { world.millis(8_000) } else { world.millis(90_000) }
    };
    life.freeze(true);
    let sim = Arc::clone(sim);
    tokio::spawn(async move {
        tokio::time::sleep(time).await;
        if time > SESSION && !life.is_dead() && life.is_frozen() {
            sim.count("processes held beyond their session");
        }
        sim.note(&format!("{} goes on", life.place));
        life.freeze(false);
        sim.stir();
    });
}

impl World {
    fn fault(&mut self, choice: usize) {
        let number = self.rng.below(8);
        match choice {
            5 => {
                let members = self.broker.members();
                if let Some(member) = members.get(number % members.len().max(1)) {
                    self.tally.count("living members expelled");
                    self.broker.remove(*member);
                }
            }
            6 | 7 => self.broker.rebalance(),
            8 if self.engine.time_out(number) => self.tally.count("prepared loads timed out"),
            9 if self.climate.forgets && self.engine.forget(number) => self.tally.count("finished loads forgotten"),
            10 => {
                self.engine.uncommittable = !self.engine.uncommittable && number == 0;
                if self.engine.uncommittable {
                    self.tally.count("loads can't be committed for a while");
                    self.engine.was_uncommittable = true;
                }
            }
            11 => {
                let lost = self.engine.restart();
                self.tally.count(if lost > 0 { "frontends restarted, open loads lost" } else { "frontends restarted" });
            }
            12 => {
                self.tally.count("no frontend in reach for a while");
                self.away_until = Some(Instant::now() + self.millis(15_000));
            }
            _ => {}
        }
    }

    fn has_arrived(&self) -> bool {
        self.broker.stored.iter().all(|(partition, stored)| {
            stored.as_ref().is_some_and(|stored| {
                let open = Metadata::parse(&stored.metadata).is_ok_and(|metadata| metadata.intent.is_some());
                stored.offset == self.topic.end(*partition) && !open
            })
        })
    }
}

// ---- the end ---------------------------------------------------------------------------------------------------------

fn heal(sim: &Sim) {
    sim.note("healed");
    let lives = {
        let world = &mut *sim.lock();
        world.healed = true;
        world.engine.uncommittable = false;
        for partition in world.topic.partitions() {
            while world.topic.grow(partition) {}
        }
        world.lives.clone()
    };
    for life in lives.into_iter().flatten() {
        life.freeze(false);
    }
    sim.stir();
}

fn close(sim: &Sim) {
    sim.note("closing");
    let lives = {
        let mut world = sim.lock();
        world.closing = true;
        world.lives.clone()
    };
    for life in lives.into_iter().flatten() {
        life.stop.send_replace(true);
    }
}

/// Every record once, no position or intent left behind, no task that still runs, no share of memory that is missing.
async fn judge_the_end(sim: &Sim) {
    let deadline = Instant::now() + END_WITHIN;
    while Handle::current().metrics().num_alive_tasks() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let tasks = Handle::current().metrics().num_alive_tasks();
    let world = &mut *sim.lock();
    if tasks > 0 {
        world.judge.broken("rest", format!("{tasks} tasks are left"));
    }
    for (budget, size) in &world.budgets {
        let left = budget.available_permits();
        if left != *size {
            world.judge.broken("rest", format!("{left} of {size} KiB of a memory budget came back"));
        }
    }
    if !world.has_arrived() {
        world.judge.broken("rest", format!("positions at the end: {:?}", world.broker.stored));
    }
    world.judge.everything_arrived(&world.topic);
    letters(world);
    world.tally.count("worlds that came to rest");
}

/// Dead letters: each reject has one at least.
fn letters(world: &mut World) {
    if world.climate.policy != Policy::File {
        return;
    }
    let text = std::fs::read_to_string(&world.letters).unwrap_or_default();
    let letter = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let number = |name| line.get(name).and_then(serde_json::Value::as_i64);
        Some((number("partition")?, number("offset")?, line.get("table")?.as_str()?.to_owned()))
    };
    let written: BTreeSet<_> = text.lines().filter_map(letter).collect();
    for partition in world.topic.partitions() {
        let start = world.climate.start.unwrap_or(world.climate.log_start);
        for offset in start..world.topic.end(partition) {
            for table in world.topic.rejects_of((partition, offset)) {
                if !written.contains(&(i64::from(partition), offset, table.to_string())) {
                    let what = format!("({partition}, {offset}) was rejected for {table} without a dead letter");
                    world.judge.broken("EO-2", what);
                }
            }
        }
    }
}
