//! The flow: wires the stages of one topic, and owns the order of start and stop.
//!
//! ```text
//!  consumer thread ──chunks──► decode tasks ──rows, in order──► open loads (one per table) ──► engine
//!        ▲   │ events                                              │ sealed
//!        │   ▼                                                     ▼
//!        └── commands ◄──────────── effects ◄── protocol ◄── events: prepared, recorded, state, …
//! ```
//!
//! One task runs the loop below; it never waits for anything but the next event. Whatever takes time (a call to the
//! engine, an OffsetCommit) runs in a task of its own and comes back as an event of the protocol.

mod assemble;
mod calls;
mod evidence;
mod fill;
mod identity;
mod lookout;
mod points;
mod report;
mod run_all;
mod tags;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use self::assemble::DecodedChunk;
use self::fill::{Filling, SealedBatch};
use self::identity::Identity;
use self::report::Reporter;
pub use self::run_all::{Decisions, run_all, run_one};
pub use self::tags::{mapping_tag, pipeline_tag};
use crate::batch::{Limits, Progress};
use crate::commit::{Decide, Effect, Event, Stop, StopCode, Tag, Ticket};
use crate::config;
use crate::dead_letter::DeadLetters;
use crate::decode::Decoder;
use crate::domain::{Delivery, Offset, Partition, Table};
use crate::load::Loader;
use crate::record::Chunk;
use crate::source::{Control, Source, SourceEvent, Tenure};
use crate::telemetry::STEPS;

/// How long the engine is given to roll back what was dropped at the end.
const ROLLED_BACK_WITHIN: Duration = Duration::from_secs(5);

/// How long the group is given to let go of us at the end.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// One topic in one group, from its consumer thread to its open loads.
struct Pipeline {
    topic: Arc<str>,
    tables: Vec<Table>,
    policy: config::RejectPolicy,
    limits: Limits,
    decode_tasks_max: usize,
    start: config::Start,

    protocol: Box<dyn Decide>,
    source: Control,
    decoder: Arc<Decoder>,
    columns: Vec<Vec<String>>,
    load_headers: Vec<BTreeMap<String, String>>,
    deliveries: Vec<Delivery>,
    loader: Loader,
    /// Tables whose rows tell where they came from.
    origins: BTreeMap<Tag, evidence::Origin>,
    dead_letters: Option<Arc<DeadLetters>>,

    /// Number of the last positioning; chunks that were read before it are dropped.
    fence: u64,
    /// Set while the next positioning waits for its back-off.
    delayed: Option<(Instant, BTreeMap<Partition, Offset>)>,
    progress: Progress,
    filling: Option<Filling>,
    /// Sealed batches by ticket: what is needed to prepare, drop and report them.
    sealed: BTreeMap<Ticket, SealedBatch>,
    /// Chunks being decoded, in the order in which they were read.
    decoding: VecDeque<JoinHandle<DecodedChunk>>,
    /// A decoded chunk that did not fit into the batch before it.
    waiting: Option<DecodedChunk>,
    /// A chunk that came while no batch was being filled.
    held: Option<Chunk>,
    /// Calls under way; each ends with an event of the protocol.
    calls: JoinSet<Option<Event>>,
    /// Aborts that nobody waits for but the end of the process.
    rollbacks: JoinSet<()>,
    /// The revocation that waits for its release.
    releasing: Option<oneshot::Sender<()>>,
    rejects_allowed: Option<assemble::Allowance>,
    identity: Identity,
    /// Last assignment that the protocol has heard of.
    tenure: Tenure,
    reporter: Reporter,
    end: Option<Result<(), Stop>>,
}

/// What the loop wakes up for.
enum Wake {
    Stop,
    Deadline,
    Source(Option<SourceEvent>),
    Call(Event),
    Quiet,
    LoadFailed,
    Decoded(DecodedChunk),
    Chunk(Chunk),
    Due,
    Position,
}

impl Pipeline {
    /// Runs until drained or stopped. `stop` turning true begins the drain, which ends after `drain` at the latest.
    async fn run(mut self, source: Source, mut stop: watch::Receiver<bool>, drain: Duration) -> Result<(), Stop> {
        let Source { mut events, mut chunks, .. } = source;
        let mut deadline: Option<Instant> = None;
        while self.end.is_none() {
            match self.wake(&mut events, &mut chunks, &mut stop, deadline).await {
                Wake::Stop => {
                    tracing::info!(topic = %self.topic, "draining: finishing what is open");
                    deadline = Some(Instant::now() + drain);
                    self.step(Event::Drain(None));
                }
                Wake::Deadline => self.give_up_draining(),
                Wake::Source(event) => self.source_event(event),
                Wake::Call(event) => self.call_ended(event),
                Wake::LoadFailed => self.filling_failed(),
                Wake::Decoded(chunk) => self.waiting = Some(chunk),
                Wake::Chunk(chunk) => self.take(chunk),
                Wake::Due | Wake::Quiet => {}
                Wake::Position => self.position_now(),
            }
            self.assemble();
        }
        self.roll_back_what_is_left().await;
        self.source.clone().close(CLOSE_WITHIN).await;
        self.reporter.ended();
        self.end.unwrap_or(Ok(()))
    }

    async fn wake(
        &mut self,
        events: &mut mpsc::UnboundedReceiver<SourceEvent>,
        chunks: &mut mpsc::Receiver<Chunk>,
        stop: &mut watch::Receiver<bool>,
        deadline: Option<Instant>,
    ) -> Wake {
        let wants_chunks = self.held.is_none() && self.waiting.is_none() && self.decoding.len() < self.decode_tasks_max;
        let wants_rows = self.waiting.is_none() && self.filling.is_some() && !self.decoding.is_empty();
        // A settlement loads exactly its ranges, however long that takes.
        let due = self.filling.as_ref().filter(|filling| filling.reload.is_none());
        let due = due.and_then(|filling| filling.tally.due(&self.limits)).map(Instant::from_std);
        let position_at = self.delayed.as_ref().map(|(at, _)| *at);
        tokio::select! {
            biased;
            () = asked_to_stop(stop), if deadline.is_none() => Wake::Stop,
            () = sleep_until(deadline) => Wake::Deadline,
            event = events.recv() => Wake::Source(event),
            Some(_) = self.rollbacks.join_next() => Wake::Quiet,
            Some(done) = self.calls.join_next() => match done {
                Ok(Some(event)) => Wake::Call(event),
                Ok(None) => Wake::Quiet,
                Err(error) if error.is_cancelled() => Wake::Quiet,
                Err(error) => Wake::Call(Event::Halt(task_panicked(&error))),
            },
            () = fill::any_failed(self.filling.as_mut()) => Wake::LoadFailed,
            () = sleep_until(due) => Wake::Due,
            () = sleep_until(position_at) => Wake::Position,
            decoded = assemble::next_decoded(&mut self.decoding), if wants_rows => match decoded {
                Ok(chunk) => Wake::Decoded(chunk),
                Err(error) => Wake::Call(Event::Halt(task_panicked(&error))),
            },
            Some(chunk) = chunks.recv(), if wants_chunks => Wake::Chunk(chunk),
        }
    }

    fn call_ended(&mut self, event: Event) {
        if let Event::Prepared { ticket, .. } = &event
            && let Some(batch) = self.sealed.get_mut(ticket)
        {
            batch.prepared_at = Some(Instant::now());
        }
        self.step(event);
    }

    fn source_event(&mut self, event: Option<SourceEvent>) {
        match event {
            Some(SourceEvent::Assigned { partitions, tenure }) => {
                self.tenure = tenure;
                self.step(Event::Assigned(partitions.into_iter().collect()));
            }
            Some(SourceEvent::Revoking { partitions, release }) => {
                self.releasing = Some(release);
                self.step(Event::Revoking(partitions.into_iter().collect()));
            }
            Some(SourceEvent::Lost { partitions, why }) => {
                self.reporter.lost(&partitions, &why);
                self.step(Event::Lost(partitions.into_iter().collect()));
            }
            Some(SourceEvent::Away { why }) => self.reporter.kafka_away(&why),
            Some(SourceEvent::Back) => self.reporter.kafka_back(),
            Some(SourceEvent::Failed(error)) => {
                self.step(Event::Halt(calls::stop_for(&error)));
            }
            None => {
                let what = "the consumer thread ended unexpectedly; no position was moved".to_owned();
                self.end = Some(Err(Stop { code: StopCode::Kafka, what }));
            }
        }
    }

    /// Tells the protocol and does what it asks for, until nothing is left.
    fn step(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            tracing::trace!(target: STEPS, point = points::of_event(&event));
            for effect in self.protocol.step(event) {
                events.extend(self.perform(effect));
            }
        }
    }

    /// Carries out one effect. What is known at once comes back as an event; the rest becomes a call.
    fn perform(&mut self, effect: Effect) -> Option<Event> {
        tracing::trace!(target: STEPS, point = points::of_effect(&effect));
        match effect {
            Effect::ReadPositions { ticket, partitions } => self.read_positions(ticket, partitions),
            Effect::Resolve { ticket, start, fresh, partitions } => self.resolve(ticket, start, fresh, partitions),
            Effect::Record { ticket, tries, positions } => self.record(ticket, tries, positions),
            Effect::Fill(fill) => self.begin_fill(fill),
            Effect::NextFill { ticket } => self.next_fill(ticket),
            Effect::Join { starts } => self.join(starts),
            Effect::Hold => self.hold(),
            Effect::Seal { ticket } => return self.seal_for_drain(ticket),
            Effect::Prepare { ticket } => self.prepare(ticket),
            Effect::Abandon { ticket, loads } => self.abandon(ticket, loads),
            Effect::Commit { ticket, table, txn, tries } => self.commit(ticket, table, txn, tries),
            Effect::Abort { ticket, table, txn } => self.abort(ticket, table, txn),
            Effect::Ask { ticket, table, txn, tries } => self.ask(ticket, table, txn, tries),
            Effect::LookForEvidence { ticket, table, txn, ranges } => {
                self.look_for_evidence(ticket, table, txn, &ranges);
            }
            Effect::LookForLabels { ticket } => self.look_for_labels(ticket),
            Effect::Release(_) => {
                if let Some(release) = self.releasing.take() {
                    // The consumer thread may have stopped waiting: its deadline is shorter than any of ours.
                    let _ = release.send(());
                }
            }
            Effect::Rejoin => self.rejoin(),
            Effect::Report(notice) => self.report(&notice),
            Effect::Drained => self.end = Some(Ok(())),
            Effect::Stop(stop) => self.end = Some(Err(stop)),
        }
        None
    }

    fn give_up_draining(&mut self) {
        let unfinished = || Stop {
            code: StopCode::DrainUnfinished,
            what: "the drain deadline has passed; what is open is left to the next start, which reads or settles it"
                .into(),
        };
        self.end = Some(Err(self.protocol.pending_stop().cloned().unwrap_or_else(unfinished)));
    }

    /// Open loads are closed, prepared ones whose intent was never sent are aborted: nobody else knows of them.
    async fn roll_back_what_is_left(&mut self) {
        self.filling = None;
        for (ticket, loads) in self.protocol.without_intent() {
            self.abandon(ticket, loads);
        }
        self.sealed.clear();
        let all = async { while self.rollbacks.join_next().await.is_some() {} };
        if tokio::time::timeout(ROLLED_BACK_WITHIN, all).await.is_err() {
            tracing::warn!(topic = %self.topic, "prepared loads could not be aborted; they end by the engine's time-out");
        }
    }
}

async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone asks for nothing any more.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn task_panicked(error: &tokio::task::JoinError) -> Stop {
    Stop { code: StopCode::Invariant, what: format!("a task of the pipeline ended by itself: {error}") }
}
