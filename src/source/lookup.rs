//! What is asked of the brokers beside records: stored positions, the ends of the logs, offsets by time, identity.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::{Metadata, MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};

use tracing::debug;

use super::SourceError;
use super::context::Context;
use super::native;
use crate::config::Start;
use crate::domain::{Offset, Partition, Range, Stored};

/// Longest wait for one question to the brokers. The thread does not poll meanwhile.
const ANSWER: Duration = Duration::from_secs(5);

/// Longest wait for an answer that nobody needs: what the client would sleep otherwise.
const NUDGE: Duration = Duration::from_secs(1);

/// What the cluster says about the pipeline's topic and group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionsRead {
    /// Stored position of every partition of the topic, also of those that other members own (evidence, never proof:
    /// a late commit of their owner may follow); `None` where none is stored.
    pub stored: BTreeMap<Partition, Option<Stored>>,
    /// Log of the partitions asked for: first offset .. last stable offset.
    pub log: BTreeMap<Partition, Range>,
    /// Id of the topic; another one means that the topic was created anew. `None` if the brokers give none.
    pub topic_id: Option<String>,
    /// Id of the cluster; `None` if the brokers give none.
    pub cluster_id: Option<String>,
}

/// Asks questions about one topic.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) topic: Arc<str>,
    pub(super) group: Arc<str>,
}

impl Lookup {
    /// Everything that is needed on an assignment.
    pub(super) fn positions(
        &self,
        consumer: &BaseConsumer<Context>,
        partitions: &[Partition],
    ) -> Result<PositionsRead, SourceError> {
        let metadata = self.metadata(consumer)?;
        let topic_id = self.id(consumer, &metadata)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == &*self.topic);
        let all: Vec<_> = topic.into_iter().flat_map(|topic| topic.partitions()).map(MetadataPartition::id).collect();
        let stored = self.stored(consumer, &all)?;
        let log = self.log(consumer, partitions)?;
        let cluster_id = consumer.client().fetch_cluster_id(ANSWER);
        Ok(PositionsRead { stored, log, topic_id, cluster_id })
    }

    /// Id of the topic as it is now.
    pub(super) fn topic_id(&self, consumer: &BaseConsumer<Context>) -> Result<Option<String>, SourceError> {
        self.id(consumer, &self.metadata(consumer)?)
    }

    fn id(&self, consumer: &BaseConsumer<Context>, metadata: &Metadata) -> Result<Option<String>, SourceError> {
        // A client that is new may have its answer from an address whose number it does not know yet.
        let first = || metadata.brokers().first().map_or(-1, rdkafka::metadata::MetadataBroker::id);
        let broker = Some(metadata.orig_broker_id()).filter(|id| *id >= 0).unwrap_or_else(first);
        match native::topic_id(consumer.client(), broker, &self.topic, ANSWER) {
            Ok(id) => Ok(id),
            Err(Some(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion)) => Ok(None),
            Err(Some(code)) => Err(self.error("the id", code)),
            Err(None) => Err(self.unanswered("the id", format!("no answer in {} s", ANSWER.as_secs()))),
        }
    }

    fn metadata(&self, consumer: &BaseConsumer<Context>) -> Result<Metadata, SourceError> {
        let what = "the list of partitions";
        let metadata = consumer.fetch_metadata(Some(&self.topic), ANSWER).map_err(|e| self.failed(what, &e))?;
        match metadata.topics().iter().find(|topic| topic.name() == &*self.topic).map(MetadataTopic::error) {
            Some(None) => Ok(metadata),
            Some(Some(error)) => Err(self.error(what, error.into())),
            None => Err(self.unanswered(what, "the answer does not name it".to_owned())),
        }
    }

    /// Stored positions. All of them, or an error.
    pub(super) fn stored(
        &self,
        consumer: &BaseConsumer<Context>,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Option<Stored>>, SourceError> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked = self.list(partitions.iter().map(|partition| (*partition, At::Invalid)))?;
        let answer = consumer.committed_offsets(asked, ANSWER);
        let one = |element: native::Element| {
            let stored = element.offset.map(|offset| Stored { offset, metadata: element.metadata });
            (element.partition, stored)
        };
        Ok(self.complete("the stored position", answer)?.into_iter().map(one).collect())
    }

    /// First offset and last stable offset.
    pub(super) fn log(
        &self,
        consumer: &BaseConsumer<Context>,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Range>, SourceError> {
        let first = self.ends(consumer, partitions, At::Beginning)?;
        let last = self.ends(consumer, partitions, At::End)?;
        let range = |(partition, start): (&Partition, &Offset)| {
            Some((*partition, Range { start: *start, end: *last.get(partition)? }))
        };
        Ok(first.iter().filter_map(range).collect())
    }

    /// ListOffsets takes the ends of the log in place of a time: one request per broker, however many partitions. Under
    /// `read_committed` the end is the last stable offset.
    fn ends(
        &self,
        consumer: &BaseConsumer<Context>,
        partitions: &[Partition],
        end: At,
    ) -> Result<BTreeMap<Partition, Offset>, SourceError> {
        let what = "the log";
        let found = self.by_time(consumer, partitions, end, what)?;
        let known = |(partition, offset): (Partition, Option<Offset>)| {
            let offset = offset.ok_or_else(|| self.unanswered(what, format!("no end of partition {partition}")))?;
            Ok((partition, offset))
        };
        found.into_iter().map(known).collect()
    }

    fn by_time(
        &self,
        consumer: &BaseConsumer<Context>,
        partitions: &[Partition],
        time: At,
        what: &'static str,
    ) -> Result<BTreeMap<Partition, Option<Offset>>, SourceError> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked = self.list(partitions.iter().map(|partition| (*partition, time)))?;
        let answer = consumer.offsets_for_times(asked, ANSWER);
        Ok(self.complete(what, answer)?.into_iter().map(|e| (e.partition, e.offset)).collect())
    }

    /// Makes the client look at resumed partitions now. The thread of a broker sleeps up to a second before it sees
    /// them by itself; any request to that broker wakes it.
    pub(super) fn nudge(&self, consumer: &BaseConsumer<Context>, partitions: &[Partition]) {
        let asked = self.list(partitions.iter().map(|partition| (*partition, At::End)));
        let answer = asked.map(|list| consumer.offsets_for_times(list, NUDGE));
        debug!(answered = matches!(answer, Ok(Ok(_))), "nudged");
    }

    /// Where `start` is, as numbers.
    pub(super) fn resolve(
        &self,
        consumer: &BaseConsumer<Context>,
        start: &Start,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Offset>, SourceError> {
        match start {
            Start::Committed => match partitions.first() {
                None => Ok(BTreeMap::new()),
                Some(&partition) => {
                    let (topic, group) = (Arc::clone(&self.topic), Arc::clone(&self.group));
                    Err(SourceError::NoPosition { topic, group, partition })
                }
            },
            Start::Earliest => self.ends(consumer, partitions, At::Beginning),
            Start::Latest => self.ends(consumer, partitions, At::End),
            Start::Timestamp(milliseconds) => {
                // Behind the last record there is no offset for a time: the end, as it is now.
                let end = self.ends(consumer, partitions, At::End)?;
                let time = At::Offset((*milliseconds).max(0));
                let found = self.by_time(consumer, partitions, time, "the offset of a time")?;
                let known = |(partition, offset): (Partition, Option<Offset>)| {
                    Some((partition, offset.or_else(|| end.get(&partition).copied())?))
                };
                Ok(found.into_iter().filter_map(known).collect())
            }
            Start::Offsets(offsets) => self.given(consumer, offsets, partitions),
        }
    }

    fn given(
        &self,
        consumer: &BaseConsumer<Context>,
        offsets: &BTreeMap<Partition, Offset>,
        partitions: &[Partition],
    ) -> Result<BTreeMap<Partition, Offset>, SourceError> {
        let log = self.log(consumer, partitions)?;
        let mut starts = BTreeMap::new();
        for &partition in partitions {
            let topic = Arc::clone(&self.topic);
            let Some(&position) = offsets.get(&partition) else {
                return Err(SourceError::StartIncomplete { topic, partition });
            };
            if let Some(&log) = log.get(&partition)
                && (position < log.start || position > log.end)
            {
                return Err(SourceError::OutOfRange { topic, partition, position, log });
            }
            starts.insert(partition, position);
        }
        Ok(starts)
    }

    /// A list of our topic for librdkafka.
    pub(super) fn list(
        &self,
        offsets: impl Iterator<Item = (Partition, At)>,
    ) -> Result<TopicPartitionList, SourceError> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let set = list.add_partition(&self.topic, partition).set_offset(offset);
            set.map_err(|_| self.unanswered("a position", format!("{offset:?} is not an offset")))?;
        }
        Ok(list)
    }

    fn complete(
        &self,
        what: &'static str,
        answer: KafkaResult<TopicPartitionList>,
    ) -> Result<Vec<native::Element>, SourceError> {
        let elements = native::elements(&answer.map_err(|error| self.failed(what, &error))?);
        match elements.iter().find_map(|element| element.error) {
            None => Ok(elements),
            Some(code) => Err(self.error(what, code)),
        }
    }

    pub(super) fn failed(&self, what: &'static str, error: &KafkaError) -> SourceError {
        match error.rdkafka_error_code() {
            Some(code) => self.error(what, code),
            None => self.unanswered(what, error.to_string()),
        }
    }

    /// Sorts what a broker or librdkafka says into what a person must do.
    pub(super) fn error(&self, what: &'static str, code: RDKafkaErrorCode) -> SourceError {
        let (topic, group, reason) = (Arc::clone(&self.topic), Arc::clone(&self.group), code.to_string());
        if MISSING.contains(&code) {
            SourceError::TopicMissing { topic, reason }
        } else if DENIED.contains(&code) {
            SourceError::Denied { topic, group, reason }
        } else {
            SourceError::Unanswered { what, topic, reason }
        }
    }

    pub(super) fn unanswered(&self, what: &'static str, reason: String) -> SourceError {
        SourceError::Unanswered { what, topic: Arc::clone(&self.topic), reason }
    }
}

/// The topic or partition is not there.
pub(super) const MISSING: &[RDKafkaErrorCode] = &[
    RDKafkaErrorCode::UnknownTopicOrPartition,
    RDKafkaErrorCode::UnknownTopic,
    RDKafkaErrorCode::UnknownPartition,
    RDKafkaErrorCode::InvalidTopic,
];

/// Rights are missing.
pub(super) const DENIED: &[RDKafkaErrorCode] = &[
    RDKafkaErrorCode::TopicAuthorizationFailed,
    RDKafkaErrorCode::GroupAuthorizationFailed,
    RDKafkaErrorCode::ClusterAuthorizationFailed,
];
