//! What the topic says: which records were committed, and which were written and aborted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};

use crate::Failure;

/// Longest time without a record while the topic is read.
const SILENCE: Duration = Duration::from_secs(60);

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);

/// Place of a record.
pub(crate) type Place = (i32, i64);

/// What the judge compares with.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// Id of each committed record.
    pub(crate) committed: BTreeMap<Place, u64>,
    /// Records that were written and aborted.
    pub(crate) aborted: BTreeSet<Place>,
}

/// Makes the topic.
pub(crate) fn create(brokers: &str, topic: &str, partitions: i32) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().map_err(|error| error.to_string())?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let results = runtime.block_on(async { admin.create_topics([&new], &AdminOptions::new()).await });
    let failed = results.map_err(|error| error.to_string())?.into_iter().find_map(Result::err);
    failed.map_or(Ok(()), |(topic, code)| Err(format!("topic {topic}: {code}")))
}

/// Reads the whole topic twice: what is committed, and what was written.
pub(crate) fn read(brokers: &str, topic: &str, partitions: i32) -> Result<Truth, Failure> {
    let committed = records(brokers, topic, partitions, "read_committed")?;
    let written = records(brokers, topic, partitions, "read_uncommitted")?;
    let aborted = written.into_keys().filter(|place| !committed.contains_key(place)).collect();
    Ok(Truth { committed, aborted })
}

fn records(brokers: &str, topic: &str, partitions: i32, isolation: &str) -> Result<BTreeMap<Place, u64>, Failure> {
    let failed = |error: KafkaError| format!("reading {topic}: {error}");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "conservation-judge")
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create()
        .map_err(failed)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, At::Beginning).map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    let mut found = BTreeMap::new();
    let mut at_end = BTreeSet::new();
    let mut last = Instant::now();
    while at_end.len() < list.count() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let id = serde_json::from_slice::<serde_json::Value>(message.payload().unwrap_or_default());
                let id = id.ok().and_then(|value| value["id"].as_u64());
                let place = (message.partition(), message.offset());
                found.insert(place, id.ok_or_else(|| format!("{place:?} holds no record of ours"))?);
                last = Instant::now();
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                at_end.insert(partition);
            }
            Some(Err(_)) | None if last.elapsed() < SILENCE => {}
            Some(Err(error)) => return Err(failed(error)),
            None => return Err(format!("reading {topic}: nothing for {SILENCE:?}")),
        }
    }
    Ok(found)
}

/// End of each partition, as a reader of committed records sees it.
pub(crate) fn ends(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Result<BTreeMap<i32, i64>, Failure> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, At::End).map_err(|error| error.to_string())?;
    }
    let found = consumer.offsets_for_times(list, ANSWER).map_err(|error| error.to_string())?;
    Ok(found.elements().iter().filter_map(|element| Some((element.partition(), element.offset().to_raw()?))).collect())
}
