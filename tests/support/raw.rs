//! A bare consumer, for what the source hides: commits without its guard, what the callbacks say and when.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use loadlock::domain::{Offset, Partition};
use loadlock::source::Stored;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};

use super::kafka::{CONSUMER, PROMPT};

const DEADLINE: Duration = Duration::from_secs(60);

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(5);

/// What the callbacks have said, in order.
#[derive(Default)]
pub struct Notes {
    said: Mutex<Vec<String>>,
}

impl ClientContext for Notes {}

impl ConsumerContext for Notes {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let text = match rebalance {
            Rebalance::Assign(list) => format!("assign {}", partitions(list)),
            Rebalance::Revoke(list) => {
                let how = if consumer.assignment_lost() { "lost" } else { "revoke" };
                format!("{how} {}", partitions(list))
            }
            Rebalance::Error(error) => format!("error {error}"),
        };
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

fn partitions(list: &TopicPartitionList) -> String {
    let numbers: Vec<_> = list.elements().iter().map(|element| element.partition().to_string()).collect();
    numbers.join(",")
}

/// A consumer of one topic.
pub struct Raw {
    consumer: Arc<BaseConsumer<Notes>>,
    topic: String,
}

impl Raw {
    /// A consumer that is no member: it has the group's name and subscribes to nothing.
    pub fn stranger(brokers: &str, topic: &str, group: &str) -> Self {
        Self::new(brokers, topic, group, &[])
    }

    /// A consumer that joins the group as soon as it is polled.
    pub fn member(brokers: &str, topic: &str, group: &str, properties: &[(&str, &str)]) -> Self {
        let raw = Self::new(brokers, topic, group, properties);
        raw.consumer.subscribe(&[topic]).expect("subscribed");
        raw
    }

    fn new(brokers: &str, topic: &str, group: &str, properties: &[(&str, &str)]) -> Self {
        let mut config = rdkafka::ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", group).set("enable.auto.commit", "false");
        if !properties.contains(&CONSUMER[0]) {
            for (name, value) in PROMPT {
                config.set(*name, *value);
            }
        }
        for (name, value) in properties {
            config.set(*name, *value);
        }
        let consumer = config.create_with_context(Notes::default()).expect("a client");
        Self { consumer: Arc::new(consumer), topic: topic.to_owned() }
    }

    /// Polls once.
    pub fn poll(&self) {
        let _record_or_error = self.consumer.poll(Duration::from_millis(10));
    }

    /// Why the client is beyond repair, if it is.
    pub fn fatal(&self) -> Option<RDKafkaErrorCode> {
        self.consumer.client().fatal_error().map(|(code, _)| code)
    }

    /// Polls until `condition` gives something.
    pub fn until<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(value) = condition() {
                return value;
            }
            assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain: {what}");
            self.poll();
        }
    }

    /// Polls until this many partitions are owned.
    pub fn owns(&self, count: usize) -> Vec<Partition> {
        self.until("owned", || {
            let owned = self.owned();
            (owned.len() == count).then_some(owned)
        })
    }

    /// What the client takes for its own.
    pub fn owned(&self) -> Vec<Partition> {
        let list = self.consumer.assignment().expect("known");
        list.elements().iter().map(|element| element.partition()).collect()
    }

    /// What the callbacks have said since the last look.
    pub fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.consumer.context().said.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Commits; the code if it was refused.
    pub fn commit(&self, positions: &[(Partition, Offset)], metadata: &str) -> Result<(), RDKafkaErrorCode> {
        let list = self.list(positions, metadata);
        self.consumer.commit(&list, CommitMode::Sync).map_err(|error| error.rdkafka_error_code().expect("a code"))
    }

    /// As `commit`, on a thread of its own.
    pub fn commit_beside(
        &self,
        positions: &[(Partition, Offset)],
        metadata: &str,
    ) -> JoinHandle<Result<(), RDKafkaErrorCode>> {
        let beside = Self { consumer: Arc::clone(&self.consumer), topic: self.topic.clone() };
        let (positions, metadata) = (positions.to_vec(), metadata.to_owned());
        std::thread::spawn(move || beside.commit(&positions, &metadata))
    }

    /// The stored position of a partition; asked again while a coordinator is not ready, without polling.
    pub fn stored(&self, partition: Partition) -> Option<Stored> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.consumer.committed_offsets(self.list(&[(partition, 0)], ""), ANSWER) {
                Ok(answer) => {
                    let elements = answer.elements();
                    let element = elements.first().expect("one");
                    element.error().expect("no error");
                    let At::Offset(offset) = element.offset() else { return None };
                    return Some(Stored { offset, metadata: element.metadata().to_owned() });
                }
                Err(error) => assert!(Instant::now() < deadline, "asked for {DEADLINE:?} in vain: {error}"),
            }
        }
    }

    /// The broker that leads the first partition of a topic, and how many are in step with it, itself among them.
    pub fn leader(&self, topic: &str) -> Option<(i32, usize)> {
        let metadata = self.consumer.fetch_metadata(Some(topic), ANSWER).ok()?;
        let partition = metadata.topics().first()?.partitions().first()?;
        Some((partition.leader(), partition.isr().len())).filter(|(leader, _)| *leader > 0)
    }

    fn list(&self, positions: &[(Partition, Offset)], metadata: &str) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in positions {
            let mut element = list.add_partition(&self.topic, *partition);
            element.set_offset(At::Offset(*offset)).expect("an offset");
            element.set_metadata(metadata);
        }
        list
    }
}
