//! The consumer thread. It goes round in turns: commands, records, rebalances, commits in progress; nothing in a turn
//! blocks but a question to the brokers (seconds) and an OffsetCommit (as long as it takes).

mod read;
mod rebalance;
mod record;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{debug, warn};

use super::client::consumer_config;
use super::context::Context;
use super::control::{Closed, Command};
use super::event::SourceEvent;
use super::filling::Filling;
use super::flow::Flow;
use super::lookup::Lookup;
use super::membership::{Membership, Tenure};
use super::recording::{Copies, Recorded, Recording};
use super::{SourceError, SourceSpec, ThreadEnds};
use crate::domain::{Offset, Partition};
use crate::domain::{PositionToStore, RecordAnswer};
use crate::telemetry::STEPS;

/// Longest sleep when nothing is going on. A command or anything from Kafka ends it at once.
const NAP: Duration = Duration::from_millis(50);

/// Longest sleep while something is waited for that wakes nobody (a release, a retry).
const SHORT_NAP: Duration = Duration::from_millis(2);

/// Time given to the old membership on a rejoin.
const LEAVE: Duration = Duration::from_secs(10);

/// The thread's state. Everything is owned by the thread alone.
pub(super) struct Worker {
    spec: SourceSpec,
    lookup: Lookup,
    consumer: BaseConsumer<Context>,
    /// When the client was made: the zero of its counters' clock.
    born: Instant,
    events: mpsc::UnboundedSender<SourceEvent>,
    commands: mpsc::UnboundedReceiver<Command>,
    membership: Membership,
    flow: Flow,
    filling: Filling,
    /// Ends this thread's sleep.
    waker: Waker,
    leaving: Option<rebalance::Leaving>,
    recording: Option<(Recording, oneshot::Sender<Recorded>)>,
    to_record: VecDeque<(Vec<PositionToStore>, Tenure, oneshot::Sender<Recorded>)>,
    copies: Copies,
    /// Age of the newest counters, on the clock of `born`.
    counters_at: Instant,
    room: read::Room,
    seek_again: Instant,
    away: bool,
    /// What has been reported since the last assignment, by code: each thing once.
    reported: Vec<&'static str>,
}

/// Wakes a thread.
pub(super) struct Unpark(pub(super) thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// What a turn found.
enum Turn {
    Busy,
    Idle,
    Close(Instant, Option<oneshot::Sender<Closed>>),
}

impl Worker {
    /// Makes the client and subscribes.
    pub(super) fn new(spec: SourceSpec, budget: Arc<Semaphore>, ends: ThreadEnds) -> Result<Self, SourceError> {
        let now = Instant::now();
        let ThreadEnds { commands, events, chunks } = ends;
        let consumer = client(&spec)?;
        subscribe(&consumer, &spec)?;
        Ok(Self {
            lookup: Lookup { topic: Arc::clone(&spec.topic), group: Arc::clone(&spec.group) },
            filling: Filling::new(&spec, budget, chunks),
            spec,
            consumer,
            born: now,
            events,
            commands,
            membership: Membership::default(),
            flow: Flow::default(),
            waker: Waker::noop().clone(),
            leaving: None,
            recording: None,
            to_record: VecDeque::new(),
            copies: Copies::default(),
            counters_at: now,
            room: read::Room::Free,
            seek_again: now,
            away: false,
            reported: Vec::new(),
        })
    }

    /// Runs until closed, or until nobody holds the other end.
    pub(super) fn run(mut self) {
        self.wake_me();
        loop {
            match self.turn() {
                Turn::Busy => {}
                Turn::Idle => thread::park_timeout(self.nap()),
                Turn::Close(deadline, reply) => {
                    let closed = self.leave(deadline);
                    let _nobody_waits = reply.map(|reply| reply.send(closed));
                    return;
                }
            }
        }
    }

    /// Anything that arrives in the client's queue, and room for a chunk, end this thread's sleep.
    fn wake_me(&mut self) {
        self.waker = Waker::from(Arc::new(Unpark(thread::current())));
        let waker = self.waker.clone();
        self.consumer.set_nonempty_callback(move || waker.wake_by_ref());
    }

    fn turn(&mut self) -> Turn {
        let now = Instant::now();
        loop {
            match self.commands.try_recv() {
                Ok(Command::Close(deadline, reply)) => return Turn::Close(deadline, Some(reply)),
                Ok(command) => self.obey(command, now),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return Turn::Close(now + LEAVE, None),
            }
        }
        let busy = self.read(now);
        self.take_notices(now);
        self.let_go(now);
        self.position(now);
        self.go_on_recording(now);
        self.filling.close_if_due(now);
        self.hand_on(now);
        if busy { Turn::Busy } else { Turn::Idle }
    }

    fn nap(&self) -> Duration {
        let waiting = self.leaving.is_some() || self.recording.is_some() || !self.flow.seeking().is_empty();
        let longest = if waiting { SHORT_NAP } else { NAP };
        match self.filling.due() {
            Some(due) => due.saturating_duration_since(Instant::now()).min(longest),
            None => longest,
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            Command::ReadPositions(partitions, reply) => {
                tracing::trace!(target: STEPS, point = "source.read-positions");
                let _gone = reply.send(self.lookup.positions(&self.consumer, &partitions));
            }
            Command::TopicId(reply) => {
                let _gone = reply.send(self.lookup.topic_id(&self.consumer));
            }
            Command::Resolve(start, partitions, reply) => {
                let _gone = reply.send(self.lookup.resolve(&self.consumer, &start, &partitions));
            }
            Command::Fill(fence, starts) => {
                self.hold();
                self.filling.restart(fence);
                self.seek(starts, now);
            }
            Command::Join(fence, starts) => {
                self.filling.raise(fence);
                self.seek(starts, now);
            }
            Command::Hold => {
                self.hold();
                self.filling.discard();
            }
            Command::Record(commits, seen, reply) => {
                self.to_record.push_back((commits, seen, reply));
                self.go_on_recording(now);
            }
            Command::Rejoin(reply) => {
                let _gone = reply.send(self.rejoin(now));
            }
            // Ends the loop of turns instead.
            Command::Close(..) => {}
        }
    }

    fn seek(&mut self, starts: BTreeMap<Partition, Offset>, now: Instant) {
        let leaving = self.leaving.as_ref();
        for (partition, offset) in starts {
            let stays = !leaving.is_some_and(|leaving| leaving.partitions.contains(&partition));
            if self.membership.owns(partition) && stays {
                self.pause(&[partition]);
                self.flow.seek(partition, offset, now);
            } else {
                debug!(partition, "not positioned: it has left meanwhile");
            }
        }
        self.seek_again = now;
        self.position(now);
    }

    /// Closes this membership and makes a new one.
    fn rejoin(&mut self, now: Instant) -> Result<(), SourceError> {
        self.lose("leaving the group to join as a new member");
        self.give_up_recording("rejoining as a new member");
        let born = Instant::now();
        let fresh = client(&self.spec)?;
        self.answer_open_rebalances();
        let old = std::mem::replace(&mut self.consumer, fresh);
        let _either_way = close(old, now + LEAVE);
        self.born = born;
        self.counters_at = born;
        self.copies = Copies::default();
        self.membership = self.membership.renewed();
        self.room = read::Room::Free;
        self.wake_me();
        subscribe(&self.consumer, &self.spec)
    }

    /// Leaves the group for good.
    fn leave(mut self, deadline: Instant) -> Closed {
        self.membership.take_all();
        self.membership.mark_gone("the source is closing".to_owned());
        self.give_up_recording("the source has been closed");
        self.answer_open_rebalances();
        close(self.consumer, deadline)
    }

    fn give_up_recording(&mut self, why: &str) {
        let gone = || Recorded::nothing(RecordAnswer::Gone(why.to_owned()));
        if let Some((recording, reply)) = self.recording.take() {
            let doubtful = recording.doubtful.unwrap_or(true);
            let _nobody_waits = reply.send(Recorded { doubtful, ..gone() });
        }
        for (_, _, reply) in self.to_record.drain(..) {
            let _nobody_waits = reply.send(gone());
        }
    }

    fn tell(&self, event: SourceEvent) {
        // A pipeline that is gone closes us by dropping its end of the commands.
        let _nobody_listens = self.events.send(event);
    }

    /// Reports a failure, each kind once per assignment.
    fn fail(&mut self, error: SourceError) {
        if !self.reported.contains(&error.code()) {
            self.reported.push(error.code());
            self.tell(SourceEvent::Failed(error));
        }
    }
}

fn client(spec: &SourceSpec) -> Result<BaseConsumer<Context>, SourceError> {
    let made = consumer_config(&spec.kafka, &spec.group).create_with_context(Context::default());
    made.map_err(|error| settings(&error))
}

fn subscribe(consumer: &BaseConsumer<Context>, spec: &SourceSpec) -> Result<(), SourceError> {
    consumer.subscribe(&[&spec.topic]).map_err(|error| settings(&error))
}

/// Leaves the group and destroys the client, both of which dropping it does, without an end if Kafka or librdkafka
/// hangs. So a thread of its own does it, and is left behind at the deadline.
fn close(consumer: BaseConsumer<Context>, deadline: Instant) -> Closed {
    consumer.context().close();
    let (done, closed) = std::sync::mpsc::channel();
    let closing = thread::Builder::new().name("source closing".to_owned()).spawn(move || {
        drop(consumer);
        let _nobody_waits = done.send(());
    });
    let time = deadline.saturating_duration_since(Instant::now());
    if closing.is_ok() && closed.recv_timeout(time).is_ok() {
        return Closed::Left;
    }
    warn!(code = "source-abandoned", "leaving the group takes too long; the group notices when the session ends");
    Closed::Abandoned
}

/// The client's refusal without the value, which may be a secret.
pub(super) fn settings(error: &KafkaError) -> SourceError {
    let reason = if let KafkaError::ClientConfig(_, words, name, value) = error {
        let words = if value.is_empty() { words.clone() } else { words.replace(value.as_str(), "…") };
        format!("property `{name}`: {words}")
    } else {
        error.to_string()
    };
    SourceError::Settings { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Kafka;

    fn refusal(name: &str, value: &str) -> String {
        let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let kafka = Kafka { brokers: "127.0.0.1:1".into(), properties };
        let spec = SourceSpec::new(kafka, "t".into(), "g".into(), 1);
        client(&spec).err().map(|error| error.to_string()).expect("refused")
    }

    #[test]
    fn a_refused_setting_is_named_without_its_value() {
        for name in ["security.protocol", "session.timeout.ms", "no.such.property"] {
            let text = refusal(name, "S3CRET");
            assert!(text.contains(name) && !text.contains("S3CRET"), "{text}");
        }
    }
}
