//! librdkafka's callbacks. They only take notes; the consumer thread acts on them after the poll that brought them.
//!
//! A rebalance needs no answer inside its callback: librdkafka waits for the call to assign or unassign, which the
//! thread makes when the pipeline has let go of what is leaving. Until then it goes on polling and committing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use serde::Deserialize;
use tracing::{debug, info, warn};

use super::native;
use crate::domain::Partition;

/// Something that librdkafka said.
#[derive(Debug)]
pub(super) enum Notice {
    /// The group gives us these; it waits until they are assigned.
    Assign(Vec<Partition>),
    /// The group takes these; it waits until they are unassigned.
    Revoke(Vec<Partition>),
    /// An error, with librdkafka's words.
    Trouble { code: RDKafkaErrorCode, reason: String },
    /// Counters, once per interval.
    Statistics(Statistics),
}

/// The part of librdkafka's statistics that is used.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Statistics {
    /// Microseconds since the client was created.
    pub(super) age: u64,
    #[serde(default)]
    pub(super) brokers: BTreeMap<String, BrokerStatistics>,
}

/// Counters of one connection; the coordinator has one of its own.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct BrokerStatistics {
    #[serde(default)]
    pub(super) state: String,
    /// Requests sent in full, by name.
    #[serde(default)]
    pub(super) req: BTreeMap<String, u64>,
}

/// What the callbacks share with the thread.
#[derive(Debug, Default)]
pub(super) struct Context {
    notices: Mutex<VecDeque<Notice>>,
    /// Calls of any callback: an empty poll that raised this number did find something.
    calls: AtomicU64,
    closing: AtomicBool,
}

impl Context {
    /// The next note, oldest first.
    pub(super) fn next_notice(&self) -> Option<Notice> {
        self.lock().pop_front()
    }

    /// Number of callbacks so far.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// From now on what the group takes is given at once: the consumer is being closed.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn note(&self, notice: Notice) {
        self.called();
        self.lock().push_back(notice);
    }

    fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Notice>> {
        // Nothing panics while the lock is held, and a queue is whole after any operation.
        self.notices.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.called();
        // librdkafka's "error" is a lost connection: nothing that calls a person.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                warn!(target: "kafka", facility, "{message}");
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => info!(target: "kafka", facility, "{message}"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                debug!(target: "kafka", facility, "{message}");
            }
        }
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(statistics) => self.note(Notice::Statistics(statistics)),
            Err(error) => debug!(%error, "statistics of librdkafka have another form than expected"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // Poll returns it with its partition.
            None | Some(RDKafkaErrorCode::PartitionEOF) => self.called(),
            Some(code) => self.note(Notice::Trouble { code, reason: reason.to_owned() }),
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::Relaxed) {
            if let Err(error) = if assign { assign_nothing(consumer) } else { unassign(consumer, list) } {
                debug!(%error, "while closing");
            }
            return self.called();
        }
        let partitions = native::elements(list).into_iter().map(|element| element.partition).collect();
        self.note(if assign { Notice::Assign(partitions) } else { Notice::Revoke(partitions) });
    }
}

/// Accepts partitions, to be read from the offsets in `list`.
pub(super) fn assign(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
    }
}

/// Gives partitions back.
pub(super) fn unassign(consumer: &BaseConsumer<Context>, list: &TopicPartitionList) -> Result<(), KafkaError> {
    match consumer.rebalance_protocol() {
        RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
        RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
    }
}

fn assign_nothing(consumer: &BaseConsumer<Context>) -> Result<(), KafkaError> {
    assign(consumer, &TopicPartitionList::new())
}
