//! Records come in, positions are stored.
//!
//! One thread per pipeline owns the Kafka consumer: it polls, follows the group's rebalances, and is the only one that
//! commits offsets (`docs/exactly-once.md`, rule 2). The pipeline talks to it through [`Control`] and listens to two
//! channels: [`SourceEvent`]s (rare, about ownership) and [`Chunk`]s (records).
//!
//! ```text
//!              Control: read positions, fill, join, hold, record, rejoin, close
//!   pipeline ───────────────────────────────────────────────────────────────────► consumer thread ◄──► Kafka
//!            ◄─────────────────────────────────────────────────────────────────── (worker)   
//!              SourceEvent (assigned, revoking, lost, away …), Chunk (records, positions reached)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `control` | the pipeline's handle and the commands it sends |
//! | `worker` | the thread: one turn after the other, never blocked for long except by an OffsetCommit |
//! | `outside`, `peek` | a look at positions, members and single records by somebody who is no member |
//! | `membership`, `flow`, `filling`, `recording` | what the thread knows and decides, without Kafka: the simulation's source uses the same |
//! | `lookup` | what is asked of the brokers: positions, logs, offsets by time |
//! | `context`, `native`, `client` | the rim: callbacks, C calls, client settings |

mod client;
mod context;
mod control;
mod error;
mod event;
mod filling;
mod flow;
mod lookup;
mod membership;
mod native;
mod outside;
mod peek;
mod recording;
mod worker;

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

pub use crate::domain::{PositionToStore, RecordAnswer, Stored};
pub use client::{client_config, consumer_config, session_timeout};
pub use control::{Closed, Command, Control};
pub use error::SourceError;
pub use event::SourceEvent;
pub use filling::{Filling, Offered};
pub use flow::Flow;
pub use lookup::PositionsRead;
pub use membership::{Identity, Membership, Tenure, Tenures};
pub use outside::{GroupMember, Outside};
pub use peek::Peeked;
pub use recording::Recorded;

use crate::config;
use crate::record::Chunk;
use worker::{Unpark, Worker};

/// What a source reads, and how its records are packed.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// Connection to Kafka.
    pub kafka: config::Kafka,
    /// Topic to subscribe to.
    pub topic: Arc<str>,
    /// Consumer group.
    pub group: Arc<str>,
    /// Records after which a chunk is handed on.
    pub chunk_records_max: usize,
    /// Bytes after which a chunk is handed on.
    pub chunk_bytes_max: usize,
    /// Age at which a chunk is handed on, however small.
    pub chunk_linger: Duration,
    /// Chunks that may wait for the pipeline.
    pub chunks_ahead: usize,
    /// Most permits (KiB) that one chunk asks of the budget; a chunk that is larger than the whole budget must pass, too.
    pub budget_kib_max: u32,
    /// Longest time that leaving partitions are kept for the pipeline's last position; well under
    /// `max.poll.interval.ms`, since the whole group waits for it.
    pub release_deadline: Duration,
}

impl SourceSpec {
    /// The usual packing: chunks of 512 KiB, 4096 records or 20 ms, eight of them ahead, 10 s to let go of partitions.
    pub fn new(kafka: config::Kafka, topic: Arc<str>, group: Arc<str>, budget_kib_max: u32) -> Self {
        Self {
            kafka,
            topic,
            group,
            chunk_records_max: 4096,
            chunk_bytes_max: 512 * 1024,
            chunk_linger: Duration::from_millis(20),
            chunks_ahead: 8,
            budget_kib_max,
            release_deadline: Duration::from_secs(10),
        }
    }
}

/// A running consumer thread, seen from the pipeline.
#[derive(Debug)]
pub struct Source {
    /// Sends commands; can be cloned.
    pub control: Control,
    /// What happens to the membership. There are few, and each is needed: unbounded by form, bounded by the number of
    /// rebalances and changes of state.
    pub events: mpsc::UnboundedReceiver<SourceEvent>,
    /// The records, in the order of each partition.
    pub chunks: mpsc::Receiver<Chunk>,
}

impl Source {
    /// Starts the consumer thread and subscribes. Nothing is read before the first [`Control::fill`].
    ///
    /// `budget` holds one permit per KiB of memory for records, shared by the whole process.
    ///
    /// # Errors
    /// When librdkafka refuses the settings or the thread can't be started; not when Kafka is out of reach.
    pub fn start(spec: SourceSpec, budget: Arc<Semaphore>) -> Result<Self, SourceError> {
        let topic = Arc::clone(&spec.topic);
        let (commands, thread_ends, events, chunks) = channels(spec.chunks_ahead);
        let worker = Worker::new(spec, budget, thread_ends)?;
        let thread = std::thread::Builder::new()
            .name(format!("source {topic}"))
            .spawn(move || worker.run())
            .map_err(|error| SourceError::Thread { reason: error.to_string() })?;
        let waker = Waker::from(Arc::new(Unpark(thread.thread().clone())));
        Ok(Self { control: Control::new(topic, commands, waker), events, chunks })
    }

    /// A source that the caller serves in place of a consumer thread: a simulation. It owes the pipeline what the
    /// thread does.
    pub fn served(topic: Arc<str>, chunks_ahead: usize) -> (Self, ThreadEnds) {
        let (commands, thread_ends, events, chunks) = channels(chunks_ahead);
        (Self { control: Control::new(topic, commands, Waker::noop().clone()), events, chunks }, thread_ends)
    }
}

/// The consumer thread's ends of the channels.
#[derive(Debug)]
pub struct ThreadEnds {
    /// What the pipeline asks, in order.
    pub commands: mpsc::UnboundedReceiver<Command>,
    /// See [`Source::events`].
    pub events: mpsc::UnboundedSender<SourceEvent>,
    /// See [`Source::chunks`].
    pub chunks: mpsc::Sender<Chunk>,
}

type Channels =
    (mpsc::UnboundedSender<Command>, ThreadEnds, mpsc::UnboundedReceiver<SourceEvent>, mpsc::Receiver<Chunk>);

fn channels(chunks_ahead: usize) -> Channels {
    let (command_sender, commands) = mpsc::unbounded_channel();
    let (events, event_receiver) = mpsc::unbounded_channel();
    let (chunks, chunk_receiver) = mpsc::channel(chunks_ahead.max(1));
    (command_sender, ThreadEnds { commands, events, chunks }, event_receiver, chunk_receiver)
}
