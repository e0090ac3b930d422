//! The consumer thread's turns, in virtual time: what `src/source/worker` does with a real client.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use loadlock::config::Start;
use loadlock::domain::{Offset, Partition, RecordAnswer, Stored};
use loadlock::record::RecordHead;
use loadlock::source::{
    Closed, Command, Filling, Flow, Membership, Offered, PositionsRead, Recorded, SourceError, SourceEvent, SourceSpec,
    ThreadEnds,
};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::client::{SharedSeat, lock};
use super::record::{Recording, Wish};
use crate::log::{Kind, Topic};
use crate::mutant::Mutant;
use crate::rng::Rng;
use crate::world::{Life, Sim};

/// Longest sleep when nothing is going on.
const NAP: Duration = Duration::from_secs(1);

/// Longest sleep while something is waited for that wakes nobody.
const SHORT_NAP: Duration = Duration::from_millis(40);

/// Partitions that leave, until the pipeline lets them go.
pub(super) struct Leaving {
    partitions: Vec<Partition>,
    released: oneshot::Receiver<()>,
    deadline: Instant,
}

pub(super) struct Thread {
    pub(super) sim: Sim,
    pub(super) life: Arc<Life>,
    pub(super) seat: SharedSeat,
    spec: SourceSpec,
    ends: ThreadEnds,
    pub(super) membership: Membership,
    flow: Flow,
    filling: Filling,
    stalled: bool,
    pub(super) leaving: Option<Leaving>,
    pub(super) recording: Option<(Recording, oneshot::Sender<Recorded>)>,
    pub(super) to_record: VecDeque<Wish>,
    /// Stored positions as the thread saw them last.
    seen: Option<BTreeMap<Partition, Option<Stored>>>,
    heart: AbortHandle,
    pub(super) rng: Rng,
}

impl Thread {
    pub(super) fn new(
        sim: Sim,
        life: Arc<Life>,
        seat: SharedSeat,
        spec: SourceSpec,
        budget: Arc<Semaphore>,
        ends: ThreadEnds,
        heart: AbortHandle,
    ) -> Self {
        Self {
            filling: Filling::new(&spec, budget, ends.chunks.clone()),
            sim,
            seat,
            spec,
            ends,
            membership: Membership::default(),
            flow: Flow::default(),
            stalled: false,
            leaving: None,
            recording: None,
            to_record: VecDeque::new(),
            seen: None,
            heart,
            rng: life.dice(),
            life,
        }
    }

    /// Runs until closed, or until nobody holds the other end.
    pub(super) async fn run(mut self) {
        loop {
            self.life.thawed().await;
            let sim = self.sim.clone();
            let news = sim.stir.notified();
            let nap = self.nap();
            let Self { ends, filling, stalled, .. } = &mut self;
            let room = poll_fn(|context| match filling.offer(context.waker()) {
                Offered::Stalled => Poll::Pending,
                Offered::AllTaken | Offered::Unwanted => Poll::Ready(()),
            });
            let command = tokio::select! {
                biased;
                command = ends.commands.recv() => Some(command),
                () = room, if *stalled => None,
                () = news => None,
                () = tokio::time::sleep(nap) => None,
            };
            self.life.thawed().await;
            match command {
                Some(None) => return self.leave(None),
                Some(Some(Command::Close(_, reply))) => return self.leave(Some(reply)),
                Some(Some(command)) => self.obey(command).await,
                None => {}
            }
            self.turn().await;
        }
    }

    fn nap(&self) -> Duration {
        let recording = self.recording.is_some() || !self.to_record.is_empty();
        let waiting = self.leaving.is_some() || recording || !self.flow.seeking().is_empty();
        let longest = if waiting { SHORT_NAP } else { NAP };
        let now = Instant::now().into_std();
        self.filling.due().map_or(longest, |due| due.saturating_duration_since(now).min(longest))
    }

    async fn turn(&mut self) {
        self.read();
        self.take_notices();
        self.let_go();
        self.position();
        self.go_on_recording().await;
        self.filling.close_if_due(Instant::now().into_std());
        self.hand_on();
    }

    // ---- commands ----------------------------------------------------------------------------------------------------

    async fn obey(&mut self, command: Command) {
        let fresh = self.sim.lock().mutant == Some(Mutant::OldChunksAreFresh);
        match command {
            Command::ReadPositions(partitions, reply) => {
                let read = self.positions(&partitions).await;
                self.life.thawed().await;
                let _gone = reply.send(read);
            }
            Command::TopicId(reply) => {
                let _gone = reply.send(Ok(Some("T".to_owned())));
            }
            Command::Resolve(start, partitions, reply) => {
                self.sim.latency(&mut self.rng).await;
                let _gone = reply.send(self.resolve(&start, &partitions));
            }
            Command::Fill(fence, starts) => {
                self.hold();
                if fresh {
                    self.filling.raise(fence);
                } else {
                    self.filling.restart(fence);
                }
                self.seek(starts);
            }
            Command::Join(fence, starts) => {
                self.sim.count("partitions joined a running fill");
                self.filling.raise(fence);
                self.seek(starts);
            }
            Command::Hold => {
                self.hold();
                self.filling.discard();
            }
            Command::Record(positions, seen, reply) => {
                let at = Instant::now() + self.sim.with(&mut self.rng).lateness();
                self.to_record.push_back(Wish { positions, seen, reply, at });
            }
            Command::Rejoin(reply) => {
                self.sim.count("joined again as a new member");
                self.rejoin();
                let _gone = reply.send(Ok(()));
            }
            // Ends the loop of turns instead.
            Command::Close(..) => {}
        }
    }

    async fn positions(&mut self, partitions: &[Partition]) -> Result<PositionsRead, SourceError> {
        self.sim.latency(&mut self.rng).await;
        let read = {
            let mut world = self.sim.with(&mut self.rng);
            if world.astray() {
                world.tally.count("reads of positions repeated");
                let topic = Arc::clone(&self.spec.topic);
                return Err(SourceError::Unanswered { what: "positions", topic, reason: "timed out".to_owned() });
            }
            let stored = match (&self.seen, world.mutant) {
                (Some(seen), Some(Mutant::PositionsAreOld)) => seen.clone(),
                (Some(_) | None, _) => world.broker.stored.clone(),
            };
            let log = partitions.iter().map(|partition| (*partition, world.topic.range(*partition))).collect();
            PositionsRead { stored, log, topic_id: Some("T".to_owned()), cluster_id: None }
        };
        self.seen = Some(read.stored.clone());
        self.sim.latency(&mut self.rng).await;
        Ok(read)
    }

    fn resolve(&self, start: &Start, partitions: &[Partition]) -> Result<BTreeMap<Partition, Offset>, SourceError> {
        let world = self.sim.lock();
        let start_of = |partition: &Partition| {
            let log = world.topic.range(*partition);
            let start = match start {
                Start::Offsets(offsets) => offsets.get(partition).copied().unwrap_or(log.start),
                Start::Latest => log.end,
                Start::Committed | Start::Earliest | Start::Timestamp(_) => log.start,
            };
            (*partition, start)
        };
        Ok(partitions.iter().map(start_of).collect())
    }

    fn seek(&mut self, starts: BTreeMap<Partition, Offset>) {
        let now = Instant::now().into_std();
        for (partition, offset) in starts {
            let stays = !self.leaving.as_ref().is_some_and(|leaving| leaving.partitions.contains(&partition));
            if self.membership.owns(partition) && stays {
                self.flow.seek(partition, offset, now);
            }
        }
    }

    fn hold(&mut self) {
        self.flow.hold_all();
        self.stalled = false;
    }

    /// Closes this membership; the client joins anew.
    fn rejoin(&mut self) {
        self.lose("leaving the group to join as a new member");
        self.give_up_recording("rejoining as a new member");
        self.leaving = None;
        self.give_up_seat();
        self.membership = self.membership.renewed();
    }

    fn leave(mut self, reply: Option<oneshot::Sender<Closed>>) {
        self.heart.abort();
        self.give_up_recording("the source has been closed");
        self.give_up_seat();
        let _nobody_waits = reply.map(|reply| reply.send(Closed::Left));
    }

    fn give_up_seat(&self) {
        let mut world = self.sim.lock();
        let mut seat = lock(&self.seat);
        if let Some(member) = seat.member {
            world.broker.remove(member);
        }
        seat.forget();
        drop((seat, world));
        self.sim.stir();
    }

    fn give_up_recording(&mut self, why: &str) {
        let gone = || Recorded::nothing(RecordAnswer::Gone(why.to_owned()));
        if let Some((recording, reply)) = self.recording.take() {
            let _nobody_waits = reply.send(Recorded { doubtful: recording.doubtful, ..gone() });
        }
        for wish in self.to_record.drain(..) {
            let _nobody_waits = wish.reply.send(gone());
        }
    }

    fn tell(&self, event: SourceEvent) {
        self.sim.note(&format!("{}: {event:?}", self.life.place));
        let _nobody_listens = self.ends.events.send(event);
    }

    // ---- rebalances --------------------------------------------------------------------------------------------------

    pub(super) fn check_membership(&mut self) -> Result<i32, String> {
        let (now, lost) = {
            let seat = lock(&self.seat);
            (seat.identity(), seat.lost)
        };
        self.membership.check(now, lost)
    }

    fn take_notices(&mut self) {
        if lock(&self.seat).lost {
            self.sim.count("membership found lost");
            self.leaving = None;
            self.lose("the group has expelled this member");
            lock(&self.seat).forget();
            self.sim.stir();
            return;
        }
        if self.leaving.is_some() {
            return;
        }
        let revoked = std::mem::take(&mut lock(&self.seat).to_revoke);
        if !revoked.is_empty() {
            return self.revoke(revoked);
        }
        let added = lock(&self.seat).to_add.take();
        if let Some(added) = added {
            self.assign(&added);
        }
    }

    fn assign(&mut self, partitions: &BTreeSet<Partition>) {
        let identity = {
            let mut seat = lock(&self.seat);
            seat.owned.extend(partitions);
            seat.identity()
        };
        let partitions: Vec<_> = partitions.iter().copied().collect();
        for partition in &partitions {
            self.flow.hold(*partition);
        }
        let lost = self.membership.assigned(&partitions, identity);
        if !lost.is_empty() {
            let why = "the group gave this process another member id".to_owned();
            self.tell(SourceEvent::Lost { partitions: lost, why });
        }
        self.sim.count("assigned");
        self.tell(SourceEvent::Assigned { partitions, tenure: self.membership.tenure() });
    }

    fn revoke(&mut self, revoked: BTreeSet<Partition>) {
        for partition in &revoked {
            self.flow.hold(*partition);
        }
        if self.recording.is_some() {
            self.sim.count("revocation while a commit is being read back");
        }
        let all = revoked.len() == lock(&self.seat).owned.len();
        self.sim.count(if all { "revoked, none stay" } else { "revoked, some stay" });
        lock(&self.seat).leaving = true;
        let partitions: Vec<_> = revoked.into_iter().collect();
        let (release, released) = oneshot::channel();
        let deadline = Instant::now() + self.spec.release_deadline;
        self.leaving = Some(Leaving { partitions: partitions.clone(), released, deadline });
        self.tell(SourceEvent::Revoking { partitions, release });
    }

    fn let_go(&mut self) {
        let Some(leaving) = &mut self.leaving else { return };
        let released = !matches!(leaving.released.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        let late = Instant::now() >= leaving.deadline;
        if late && !released {
            self.sim.count("revocation went on without release");
        }
        if late || released {
            let partitions = self.leaving.take().map(|leaving| leaving.partitions).unwrap_or_default();
            self.give_back(&partitions);
        }
    }

    /// From here on nothing is committed for `partitions`; then the group hears of it.
    fn give_back(&mut self, partitions: &[Partition]) {
        self.membership.released(partitions);
        {
            let mut world = self.sim.lock();
            let mut seat = lock(&self.seat);
            seat.leaving = false;
            for partition in partitions {
                seat.owned.remove(partition);
            }
            if let Some(member) = seat.member {
                if world.broker.eager {
                    world.broker.join(member, BTreeSet::new());
                } else if world.broker.knows(member) {
                    world.broker.rebalance();
                }
            }
        }
        self.sim.stir();
    }

    fn lose(&mut self, why: &str) {
        let partitions = self.membership.take_all();
        self.flow.hold_all();
        self.filling.discard();
        if !partitions.is_empty() {
            self.tell(SourceEvent::Lost { partitions, why: why.to_owned() });
        }
    }

    // ---- records -----------------------------------------------------------------------------------------------------

    fn position(&mut self) {
        let now = Instant::now().into_std();
        for (partition, (offset, since)) in self.flow.seeking() {
            if now.saturating_duration_since(since) >= SHORT_NAP {
                self.flow.flows(partition, offset);
            }
        }
    }

    /// Takes what has come of each partition, at most a few records in a turn.
    fn read(&mut self) {
        if self.stalled {
            return;
        }
        let now = Instant::now().into_std();
        let world = &mut *self.sim.with(&mut self.rng);
        for (partition, next) in self.flow.flowing() {
            let end = world.topic.end(partition);
            let most = 1 + i64::try_from(world.rng.below(8)).unwrap_or(0);
            let until = end.min(next + most);
            for offset in next..until {
                if world.topic.kind((partition, offset)) != Kind::Gap && self.flow.accepts(partition, offset) {
                    push(&mut self.filling, &world.topic, partition, offset, now);
                }
            }
            // Behind its last record a partition was read over gaps, too.
            if until == end && self.flow.reached(partition, end) {
                self.filling.reached(partition, end, now);
            }
        }
    }

    fn hand_on(&mut self) {
        let waker = std::task::Waker::noop();
        let was = self.stalled;
        self.stalled = self.filling.offer(waker) == Offered::Stalled;
        if self.stalled && !was {
            self.sim.count("no room for records");
        }
    }
}

fn push(filling: &mut Filling, topic: &Topic, partition: Partition, offset: Offset, now: std::time::Instant) {
    let good = format!("{{\"v\":{offset}}}");
    let (value, header): (&[u8], &[u8]) = match topic.kind((partition, offset)) {
        Kind::Gap | Kind::Good => (good.as_bytes(), b"fine"),
        Kind::HalfBad => (good.as_bytes(), b"\xff"),
        Kind::Bad => (b"{\"v\":", b"fine"),
    };
    let head = RecordHead { partition, offset, leader_epoch: 1, timestamp_ms: None };
    filling.push(head, None, Some(value), std::iter::once(("h", Some(header))), now);
}
