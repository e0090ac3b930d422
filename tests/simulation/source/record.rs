//! OffsetCommits of the simulated thread: the guard, the way to the broker and back, the read-back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use loadlock::domain::{Partition, PositionToStore, RecordAnswer, Stored};
use loadlock::source::{Recorded, Tenure, Tenures};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::client::lock;
use super::thread::Thread;
use crate::broker::Request;
use crate::mutant::Mutant;
use crate::rng::Rng;
use crate::world::{Life, Sim, World};

/// Pause before a failed read-back is repeated.
const READ_AGAIN: Duration = Duration::from_millis(200);

/// Longest wait for a passing rebalance.
const PASSING: Duration = Duration::from_secs(60);

/// An OffsetCommit that has been answered and is not finished yet.
pub(super) struct Recording {
    positions: Vec<PositionToStore>,
    tenures: Tenures,
    answer: RecordAnswer,
    generation: i32,
    ended: Instant,
    /// When it is known whether a copy may be under way.
    counted_at: Instant,
    pub(super) doubtful: bool,
    read_again: Instant,
}

/// An OffsetCommit that the pipeline asks for.
pub(super) struct Wish {
    pub(super) positions: Vec<PositionToStore>,
    pub(super) seen: Tenure,
    pub(super) reply: oneshot::Sender<Recorded>,
    /// Whoever asks comes to it only then: a call of the pipeline is a task of its own.
    pub(super) at: Instant,
}

impl Thread {
    /// Brings the commit in progress forward, then the next one.
    pub(super) async fn go_on_recording(&mut self) {
        loop {
            if let Some((recording, reply)) = self.recording.take() {
                match self.finish(recording).await {
                    Ok(recorded) => {
                        // The answer is on its way while the process is held.
                        self.life.thawed().await;
                        self.sim.note(&format!("{}: recorded: {recorded:?}", self.life.place));
                        let _gone = reply.send(recorded);
                    }
                    Err(recording) => {
                        self.recording = Some((recording, reply));
                        return;
                    }
                }
            }
            if self.to_record.front().is_none_or(|wish| wish.at > Instant::now()) {
                return;
            }
            let Some(wish) = self.to_record.pop_front() else { return };
            self.begin(wish).await;
        }
    }

    /// The guard of rule 2, and the commit.
    async fn begin(&mut self, wish: Wish) {
        let Wish { positions, seen, reply, .. } = wish;
        self.sim.note(&format!("{}: to record: {positions:?}", self.life.place));
        let guarded = self.guard(&positions, seen);
        let (generation, tenures) = match guarded {
            Ok(guarded) => guarded,
            Err(answer) => {
                self.sim.count("a commit is refused by the guard");
                let _gone = reply.send(Recorded::nothing(answer));
                return;
            }
        };
        if self.leaving.is_some() {
            self.sim.count("positions are stored inside a revocation");
        }
        let Some(member) = lock(&self.seat).member else {
            let _gone = reply.send(Recorded::nothing(RecordAnswer::Gone("no membership".to_owned())));
            return;
        };
        lock(&self.seat).blocked = true;
        let request = Request { member, generation, positions: positions.clone() };
        let (answer, copied) = self.send(request).await;
        lock(&self.seat).blocked = false;
        if let RecordAnswer::Gone(why) = &answer {
            self.membership.mark_gone(why.clone());
        }
        let ended = Instant::now();
        let clean = answer == RecordAnswer::Stored && !copied;
        let wait = if clean { Duration::ZERO } else { self.sim.with(&mut self.rng).millis(1000) };
        let unnoticed = self.sim.lock().mutant == Some(Mutant::CopiesAreUnnoticed);
        let doubtful = (copied || matches!(answer, RecordAnswer::Unclear(_))) && !unnoticed;
        let counted_at = ended + wait;
        let recording =
            Recording { positions, tenures, answer, generation, ended, counted_at, doubtful, read_again: ended };
        self.recording = Some((recording, reply));
    }

    fn guard(&mut self, positions: &[PositionToStore], seen: Tenure) -> Result<(i32, Tenures), RecordAnswer> {
        let unguarded = self.sim.lock().mutant == Some(Mutant::NothingIsGuarded);
        let generation = match self.check_membership() {
            Ok(generation) => generation,
            Err(_) if unguarded => lock(&self.seat).generation,
            Err(why) => return Err(RecordAnswer::Gone(why)),
        };
        let tenures = self.membership.tenures(positions.iter().map(|position| position.partition));
        match tenures {
            Some(tenures) if tenures.values().all(|tenure| *tenure <= seen) => Ok((generation, tenures)),
            Some(_) | None if unguarded => {
                Ok((generation, positions.iter().map(|position| (position.partition, seen)).collect()))
            }
            Some(_) => {
                self.sim.count("an old decision about a partition that came back is refused");
                Err(RecordAnswer::NotOwned)
            }
            None => Err(RecordAnswer::NotOwned),
        }
    }

    /// The request on its way: also a process that dies has sent it. Says whether a second copy was made.
    async fn send(&mut self, request: Request) -> (RecordAnswer, bool) {
        let breaks = {
            let mut world = self.sim.with(&mut self.rng);
            world.astray() && world.rng.half()
        };
        if !breaks {
            return (arrival(&self.sim, &self.life, Rng::new(self.rng.next()), request).await, false);
        }
        self.sim.count("connections broken while a commit was out");
        let first = {
            let mut world = self.sim.with(&mut self.rng);
            match world.rng.below(3) {
                0 => None,
                1 => Some(Duration::ZERO),
                _ => Some(world.millis(20_000)),
            }
        };
        if let Some(delay) = first {
            let (sim, request) = (self.sim.clone(), request.clone());
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let answer = sim.lock().store(&request, None);
                sim.count(match answer {
                    RecordAnswer::Stored => "a first copy was stored",
                    RecordAnswer::Passing(_)
                    | RecordAnswer::Gone(_)
                    | RecordAnswer::Refused(_)
                    | RecordAnswer::Unclear(_)
                    | RecordAnswer::NotOwned => "a first copy was refused",
                });
                sim.stir();
            });
        }
        // The client sends it again, with the stamp that it has by then.
        self.sim.latency(&mut self.rng).await;
        if self.rng.permille(300) {
            self.sim.count("a commit without an answer");
            return (RecordAnswer::Unclear("timed out".to_owned()), true);
        }
        let generation = lock(&self.seat).generation;
        (arrival(&self.sim, &self.life, Rng::new(self.rng.next()), Request { generation, ..request }).await, true)
    }

    /// What is to be said of a commit, if it can be said yet.
    async fn finish(&mut self, mut recording: Recording) -> Result<Recorded, Recording> {
        let now = Instant::now();
        let passing = matches!(recording.answer, RecordAnswer::Passing(_));
        if now < recording.counted_at || now < recording.read_again || (passing && !self.has_passed(&recording)) {
            return Err(recording);
        }
        if self.sim.lock().mutant == Some(Mutant::NothingIsReadBack) {
            return Ok(believed(recording));
        }
        match self.read_back(&recording).await {
            Some(read) => {
                if read.len() < recording.positions.len() {
                    self.sim.count("read back without what has gone");
                }
                Ok(Recorded { answer: recording.answer, read, doubtful: recording.doubtful })
            }
            None => {
                recording.read_again = Instant::now() + READ_AGAIN;
                Err(recording)
            }
        }
    }

    fn has_passed(&mut self, recording: &Recording) -> bool {
        self.leaving.is_some()
            || recording.ended.elapsed() > PASSING
            || self.check_membership().map_or(true, |generation| generation > recording.generation)
            || self.membership.still(&recording.tenures).is_empty()
    }

    /// Reads what is still ours; `None` if that failed, which says nothing.
    async fn read_back(&mut self, recording: &Recording) -> Option<BTreeMap<Partition, Option<Stored>>> {
        let still = self.membership.still(&recording.tenures);
        if still.is_empty() || self.check_membership().is_err() {
            return Some(BTreeMap::new());
        }
        self.sim.latency(&mut self.rng).await;
        let read = {
            let mut world = self.sim.with(&mut self.rng);
            if world.astray() {
                world.tally.count("read-backs repeated");
                return None;
            }
            still.iter().map(|partition| (*partition, world.broker.stored.get(partition).cloned().flatten())).collect()
        };
        self.sim.latency(&mut self.rng).await;
        if self.check_membership().is_err() {
            return Some(BTreeMap::new());
        }
        Some(read)
    }
}

/// A mistake: what was sent is taken for stored.
fn believed(recording: Recording) -> Recorded {
    let read = recording.positions.into_iter().map(|position| {
        let PositionToStore { partition, offset, metadata } = position;
        (partition, Some(Stored { offset, metadata }))
    });
    Recorded { answer: recording.answer, read: read.collect(), doubtful: recording.doubtful }
}

/// A request reaches the broker, whole or in part, and its answer comes back. A process may die on both ways.
async fn arrival(sim: &Sim, life: &Arc<Life>, mut rng: Rng, request: Request) -> RecordAnswer {
    let (reply, answer) = oneshot::channel();
    let (sim_there, life) = (sim.clone(), life.clone());
    tokio::spawn(async move {
        let sim = sim_there;
        sim.latency(&mut rng).await;
        if sim.with(&mut rng).strikes() {
            sim.count("an OffsetCommit dies with its process");
            sim.note(&format!("{}: killed before an OffsetCommit", life.place));
            return life.kill();
        }
        let answer = {
            let mut world = sim.with(&mut rng);
            let only = half(&mut world, &request);
            let answer = world.store(&request, only.as_ref());
            world.tally.count(name(&answer));
            match answer {
                RecordAnswer::Refused(_) if world.rng.half() => RecordAnswer::Unclear("half of it".to_owned()),
                RecordAnswer::Stored
                | RecordAnswer::Passing(_)
                | RecordAnswer::Gone(_)
                | RecordAnswer::Refused(_)
                | RecordAnswer::Unclear(_)
                | RecordAnswer::NotOwned => answer,
            }
        };
        sim.note(&format!("{}: broker says {answer:?} to {request:?}", life.place));
        sim.stir();
        if sim.with(&mut rng).strikes() {
            sim.count("an OffsetCommit arrives, and its process dies");
            sim.note(&format!("{}: killed behind an OffsetCommit", life.place));
            return life.kill();
        }
        sim.latency(&mut rng).await;
        let _gone = reply.send(answer);
    });
    answer.await.unwrap_or_else(|_| RecordAnswer::Unclear("no answer".to_owned()))
}

/// The one partition of a request that is stored, if it is stored by half.
fn half(world: &mut World, request: &Request) -> Option<BTreeSet<Partition>> {
    let splits = request.positions.len() > 1 && world.astray() && world.rng.half();
    let one = world.rng.below(request.positions.len());
    request.positions.get(one).filter(|_| splits).map(|position| BTreeSet::from([position.partition]))
}

fn name(answer: &RecordAnswer) -> &'static str {
    match answer {
        RecordAnswer::Stored => "positions stored",
        RecordAnswer::Passing(_) => "positions refused by a passing rebalance",
        RecordAnswer::Gone(_) => "positions refused, membership gone",
        RecordAnswer::Refused(_) => "positions half stored",
        RecordAnswer::Unclear(_) => "positions stored or not",
        RecordAnswer::NotOwned => "positions not sent",
    }
}
