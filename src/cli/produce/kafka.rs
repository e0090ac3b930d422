//! Kafka as `produce` uses it: an idempotent producer that counts acknowledgements, topics and their ends.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::cli::Exit;
use crate::cli::report::Failure;
use crate::config::Kafka;
use crate::domain::{Offset, Partition, Range};
use crate::telemetry;

/// Longest wait for an answer that is about the cluster rather than about records.
const CALL: Duration = Duration::from_secs(10);
/// A record that is not acknowledged within this has failed. Longer than a broker takes to restart.
const DELIVERY: Duration = Duration::from_secs(120);
/// How long one look for acknowledgements may take.
const POLL: Duration = Duration::from_millis(100);

/// Hands librdkafka's words to the log.
struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        telemetry::kafka_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "kafka", "{error}: {reason}");
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    /// Per partition: number of records, and the range from the first offset to behind the last.
    pub(super) partitions: BTreeMap<Partition, (u64, Range)>,
    /// Records that were not acknowledged.
    pub(super) failed: u64,
    /// Why the first of them was not.
    pub(super) reason: Option<KafkaError>,
}

impl Delivered {
    fn acknowledged(&mut self, partition: Partition, offset: Offset) {
        let first = (0, Range { start: offset, end: offset });
        let (records, range) = self.partitions.entry(partition).or_insert(first);
        *records += 1;
        range.start = range.start.min(offset);
        range.end = range.end.max(offset + 1);
    }

    /// Records that were acknowledged.
    pub(super) fn records(&self) -> u64 {
        self.partitions.values().map(|(records, _)| records).sum()
    }
}

/// Counts in librdkafka's callback, which runs inside our own `poll`.
#[derive(Default)]
struct Deliveries(Mutex<Delivered>);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Logged.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Logged.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut delivered = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match result {
            Ok(record) => delivered.acknowledged(record.partition(), record.offset()),
            Err((error, _)) => {
                delivered.failed += 1;
                delivered.reason.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// A topic to write to.
pub(super) struct Topic {
    name: String,
    producer: BaseProducer<Deliveries>,
    partitions: Vec<Partition>,
    by_key: bool,
}

impl Topic {
    /// Connects, and creates the topic first if it is to have that many partitions.
    pub(super) fn open(kafka: &Kafka, name: &str, create: Option<i32>, by_key: bool) -> Result<Self, Failure> {
        let config = client_config(kafka);
        if let Some(partitions) = create {
            self::create(&config, name, partitions)?;
        }
        let producer: BaseProducer<Deliveries> = config
            .create_with_context(Deliveries::default())
            .map_err(|error| failure(Exit::Config, "the producer can't be created", &error))?;
        let partitions = partitions(&producer, name)?;
        if let Some(wanted) = create
            && usize::try_from(wanted) != Ok(partitions.len())
        {
            let what = format!("the topic {name} has {} partitions, not {wanted}", partitions.len());
            return Err(Failure::new(Exit::NeedsPerson, "kafka", what)
                .hint("it was there before; leave out --create-partitions"));
        }
        Ok(Self { name: name.to_owned(), producer, partitions, by_key })
    }

    /// Hands over one record; waits while the client's queue is full.
    pub(super) fn send(
        &self,
        index: u64,
        key: Option<&[u8]>,
        header: Option<(&str, &str)>,
        value: &[u8],
    ) -> Result<(), Failure> {
        let mut record = BaseRecord::<[u8], [u8], ()>::to(&self.name).payload(value);
        if let Some((key, value)) = header {
            record = record.headers(OwnedHeaders::new().insert(Header { key, value: Some(value) }));
        }
        record.key = key;
        record.partition = if self.by_key { None } else { self.round_robin(index) };
        let started = Instant::now();
        while let Err((error, unsent)) = self.producer.send(record) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || started.elapsed() > DELIVERY {
                let what = format!("record {index} can't be handed to the producer");
                return Err(failure(Exit::NeedsPerson, &what, &error));
            }
            self.producer.poll(POLL);
            record = unsent;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    fn round_robin(&self, index: u64) -> Option<Partition> {
        let at = index % (self.partitions.len().max(1) as u64);
        self.partitions.get(usize::try_from(at).unwrap_or_default()).copied()
    }

    /// Serves acknowledgements for that long.
    pub(super) fn wait(&self, time: Duration) {
        self.producer.poll(time);
    }

    /// Waits until every record is acknowledged or has failed.
    pub(super) fn finish(&self) -> Result<Delivered, Failure> {
        let deadline = Instant::now() + DELIVERY + CALL;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                let left = self.producer.in_flight_count();
                let what = format!("{left} records are neither acknowledged nor refused after {DELIVERY:?}");
                return Err(Failure::new(Exit::NeedsPerson, "kafka", what));
            }
            self.producer.poll(POLL);
        }
        Ok(self.producer.context().0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone())
    }

    /// First offset that each partition still has.
    pub(super) fn starts(&self) -> Result<BTreeMap<Partition, Offset>, Failure> {
        self.partitions.iter().map(|partition| Ok((*partition, self.start(*partition)?))).collect()
    }

    /// A partition that was just created has no leader for a moment.
    fn start(&self, partition: Partition) -> Result<Offset, Failure> {
        let deadline = Instant::now() + CALL;
        loop {
            match self.producer.client().fetch_watermarks(&self.name, partition, CALL) {
                Ok((low, _)) => return Ok(low),
                Err(error) if Instant::now() > deadline => {
                    let what = format!("the start of partition {partition} of {} can't be read", self.name);
                    return Err(failure(Exit::Unreachable, &what, &error));
                }
                Err(_) => self.wait(POLL),
            }
        }
    }
}

fn client_config(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("linger.ms", "20")
        // Where Java's producer would put the same key.
        .set("partitioner", "murmur2_random");
    config.extend(kafka.properties.iter().map(|(name, value)| (name.clone(), value.clone())));
    config
        .set("bootstrap.servers", &kafka.brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("message.timeout.ms", DELIVERY.as_millis().to_string())
        .set_log_level(telemetry::kafka_log_level());
    config
}

fn failure(exit: Exit, what: &str, error: &KafkaError) -> Failure {
    Failure::new(exit, "kafka", what).caused_by(error)
}

fn create(config: &ClientConfig, name: &str, partitions: i32) -> Result<(), Failure> {
    let what = format!("the topic {name} can't be created");
    let admin: AdminClient<Logged> =
        config.create_with_context(Logged).map_err(|error| failure(Exit::Config, &what, &error))?;
    // -1: the broker's own default, since Kafka 2.4 (KIP-464).
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(-1));
    let options = AdminOptions::new().operation_timeout(Some(CALL)).request_timeout(Some(CALL));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::GaveUp, "system", what.clone()).caused_by(&error))?;
    let answers = runtime.block_on(admin.create_topics([&topic], &options));
    let answers = answers.map_err(|error| failure(Exit::Unreachable, &what, &error))?;
    match answers.into_iter().next() {
        None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
        Some(Err((_, code))) => Err(failure(Exit::NeedsPerson, &what, &KafkaError::AdminOp(code))),
    }
}

/// The topic's partitions; a topic that was just created may take a moment to be known.
fn partitions(producer: &BaseProducer<Deliveries>, name: &str) -> Result<Vec<Partition>, Failure> {
    let what = format!("the partitions of the topic {name} can't be read");
    let deadline = Instant::now() + CALL;
    loop {
        let metadata = producer.client().fetch_metadata(Some(name), CALL);
        let metadata = metadata.map_err(|error| {
            failure(Exit::Unreachable, &what, &error)
                .hint("are the brokers of kafka.brokers running, and reachable from here?")
        })?;
        let topic = metadata.topics().first();
        let error = topic.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
        let mut partitions: Vec<_> =
            topic.into_iter().flat_map(|topic| topic.partitions()).map(|each| each.id()).collect();
        partitions.sort_unstable();
        if error.is_none() && !partitions.is_empty() {
            return Ok(partitions);
        }
        if Instant::now() > deadline {
            let code = error.unwrap_or(RDKafkaErrorCode::UnknownTopicOrPartition);
            let failure = failure(Exit::NeedsPerson, &what, &KafkaError::MetadataFetch(code));
            return Err(failure.hint("--create-partitions N creates the topic"));
        }
        producer.poll(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_behind_the_last_offset() {
        let mut delivered = Delivered::default();
        for (partition, offset) in [(0, 5), (0, 6), (1, 0), (0, 9)] {
            delivered.acknowledged(partition, offset);
        }
        assert_eq!(delivered.records(), 4);
        assert_eq!(delivered.partitions[&0], (3, Range { start: 5, end: 10 }));
        assert_eq!(delivered.partitions[&1], (1, Range { start: 0, end: 1 }));
    }
}
