//! The pipeline's end of the consumer thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::SourceError;
use super::lookup::PositionsRead;
use super::membership::Tenure;
use super::recording::Recorded;
use crate::config::Start;
use crate::domain::{Offset, Partition, PositionToStore, RecordAnswer};

/// A commit that takes longer is reported, and again each time this has passed. It is waited for all the same: its
/// answer, when it comes, is a true one.
const WATCHDOG: Duration = Duration::from_secs(10);

/// Added to the deadline of a close, for the thread's answer.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// What the consumer thread is asked, with where its answer goes: [`Control`]'s methods, as data.
#[derive(Debug)]
pub enum Command {
    /// [`Control::read_positions`]
    ReadPositions(Vec<Partition>, oneshot::Sender<Result<PositionsRead, SourceError>>),
    /// [`Control::topic_id`]
    TopicId(oneshot::Sender<Result<Option<String>, SourceError>>),
    /// [`Control::resolve`]
    Resolve(Start, Vec<Partition>, oneshot::Sender<Result<BTreeMap<Partition, Offset>, SourceError>>),
    /// [`Control::fill`]
    Fill(u64, BTreeMap<Partition, Offset>),
    /// [`Control::join`]
    Join(u64, BTreeMap<Partition, Offset>),
    /// [`Control::hold`]
    Hold,
    /// [`Control::record`]
    Record(Vec<PositionToStore>, Tenure, oneshot::Sender<Recorded>),
    /// [`Control::rejoin`]
    Rejoin(oneshot::Sender<Result<(), SourceError>>),
    /// [`Control::close`]
    Close(Instant, oneshot::Sender<Closed>),
}

/// Sends commands to the consumer thread. Every one is carried out in the order in which it was sent; each question is
/// answered once.
#[derive(Clone, Debug)]
pub struct Control {
    topic: Arc<str>,
    commands: mpsc::UnboundedSender<Command>,
    /// Ends the sleep of whoever serves the commands.
    waker: Waker,
}

/// How a source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The group was left in order.
    Left,
    /// The deadline passed; the thread is left to itself and ends with the process.
    Abandoned,
}

impl Control {
    pub(super) fn new(topic: Arc<str>, commands: mpsc::UnboundedSender<Command>, waker: Waker) -> Self {
        Self { topic, commands, waker }
    }

    /// Stored positions of the whole topic, and the log of `partitions`. Read on the consumer's thread, so what it says
    /// about an owned partition is later than its assignment.
    ///
    /// # Errors
    /// [`SourceError::Unanswered`] can be asked again; the others are for a person.
    pub async fn read_positions(&self, partitions: Vec<Partition>) -> Result<PositionsRead, SourceError> {
        self.ask(|reply| Command::ReadPositions(partitions, reply)).await
    }

    /// Id of the topic as it is now; `None` if the brokers give none.
    ///
    /// # Errors
    /// As [`Control::read_positions`].
    pub async fn topic_id(&self) -> Result<Option<String>, SourceError> {
        self.ask(Command::TopicId).await
    }

    /// The offsets that `start` means for `partitions`, as numbers: earliest is the first offset of the log, latest its
    /// last stable offset, a time the first record at or after it (or the end of the log).
    ///
    /// # Errors
    /// As [`Control::read_positions`]; also when `start` gives no offset for one of them.
    pub async fn resolve(
        &self,
        start: Start,
        partitions: Vec<Partition>,
    ) -> Result<BTreeMap<Partition, Offset>, SourceError> {
        self.ask(|reply| Command::Resolve(start, partitions, reply)).await
    }

    /// Reads exactly these partitions from exactly these offsets; all others are held. Chunks that were read before
    /// carry another `fence` and are worth nothing any more.
    pub fn fill(&self, fence: u64, starts: BTreeMap<Partition, Offset>) {
        self.send(Command::Fill(fence, starts));
    }

    /// Reads these partitions, too. What chunks with an older fence hold of them (from an earlier ownership) is worth
    /// nothing; of the others it stays valid.
    pub fn join(&self, fence: u64, starts: BTreeMap<Partition, Offset>) {
        self.send(Command::Join(fence, starts));
    }

    /// Reads nothing. What has not been handed on is forgotten.
    pub fn hold(&self) {
        self.send(Command::Hold);
    }

    /// Stores these positions in ONE OffsetCommit, and reads them back. `seen` is the last assignment that whoever decided
    /// this had heard of: a partition that came with a later one is not the decision's any more, and nothing is sent.
    ///
    /// Waits as long as it takes (a broker that hangs can make it minutes); a watchdog reports it. While it waits for a
    /// passing rebalance, events go on: a [`Revoking`](super::SourceEvent::Revoking) ends that wait.
    pub async fn record(&self, commits: Vec<PositionToStore>, seen: Tenure) -> Recorded {
        let partitions = commits.len();
        let (reply, mut answer) = oneshot::channel();
        self.send(Command::Record(commits, seen, reply));
        let began = tokio::time::Instant::now();
        loop {
            match tokio::time::timeout(WATCHDOG, &mut answer).await {
                Ok(Ok(recorded)) => return recorded,
                Ok(Err(_)) => return Recorded::nothing(RecordAnswer::Gone("the source has been closed".to_owned())),
                Err(_) => warn!(
                    code = "commit-slow",
                    topic = %self.topic,
                    partitions,
                    seconds = began.elapsed().as_secs(),
                    "an OffsetCommit has no answer yet: Kafka is slow or out of reach; it is waited for, nothing is lost"
                ),
            }
        }
    }

    /// Leaves the group and joins it as a new member (rule 4). Everything owned is lost, which
    /// [`Lost`](super::SourceEvent::Lost) says first.
    ///
    /// # Errors
    /// When no new client can be made.
    pub async fn rejoin(&self) -> Result<(), SourceError> {
        self.ask(Command::Rejoin).await
    }

    /// Leaves the group. Never takes longer than `deadline` (and a second): a thread that hangs in librdkafka is left
    /// behind.
    pub async fn close(self, deadline: Duration) -> Closed {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Close(Instant::now() + deadline, reply));
        match tokio::time::timeout(deadline + CLOSE_GRACE, answer).await {
            Ok(Ok(closed)) => closed,
            // The thread has ended before.
            Ok(Err(_)) => Closed::Left,
            Err(_) => {
                warn!(
                    code = "source-abandoned",
                    topic = %self.topic,
                    "the consumer thread is busy with Kafka and left behind; the group notices when its session ends"
                );
                Closed::Abandoned
            }
        }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, SourceError>>) -> Command,
    ) -> Result<T, SourceError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply));
        let closed = || SourceError::Closed { topic: Arc::clone(&self.topic) };
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// A thread that has ended drops the command, and with it the reply.
    fn send(&self, command: Command) {
        let _ended = self.commands.send(command);
        self.waker.wake_by_ref();
    }
}
