//! Kafka for tests: a real broker if `KAFKA_BROKERS` names one, topics and records in it, and a member that does what a
//! pipeline does with a source.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::print_stderr, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use loadlock::config::Kafka;
use loadlock::domain::{Offset, Partition};
use loadlock::record::Chunk;
use loadlock::source::{PositionToStore, Recorded, Source, SourceEvent, SourceSpec, Stored, Tenure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tokio::sync::{Semaphore, oneshot};

/// Longest wait for anything that should happen.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Time in which something would have happened that must not.
pub const QUIET: Duration = Duration::from_millis(1500);

/// Budget of a test's source, in KiB.
pub const BUDGET_KIB: u32 = 64 * 1024;

/// Brokers of a real cluster, or the reason why `test` can't run, said loudly.
pub fn real_brokers(test: &str) -> Option<String> {
    let brokers = std::env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty());
    if brokers.is_none() {
        eprintln!("SKIPPED broker: {test}: KAFKA_BROKERS is not set (scripts/kafka up prints it)");
    }
    brokers
}

/// A name that no other test, run or process uses.
pub fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{what}-{}-{}-{count}", std::process::id(), now.as_nanos())
}

/// Waits until `condition` gives something.
pub async fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Administration of a real cluster.
pub fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    client(brokers).create().expect("admin client")
}

/// Creates a topic of that name.
pub async fn create_topic(brokers: &str, topic: &str, partitions: i32) {
    create_replicated(brokers, topic, partitions, 1).await;
}

async fn create_replicated(brokers: &str, topic: &str, partitions: i32, replicas: i32) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
    let results = admin(brokers).create_topics([&new], &AdminOptions::new()).await.expect("asked");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // Known to the controller is not yet known to the broker.
    let probe: BaseProducer = client(brokers).create().expect("producer");
    until("the topic has leaders", || {
        let metadata = probe.client().fetch_metadata(Some(topic), Duration::from_secs(5)).ok()?;
        let topic = metadata.topics().first()?;
        let led = topic.partitions().iter().filter(|partition| partition.leader() >= 0).count();
        (led == partitions as usize).then_some(())
    })
    .await;
}

/// Writes records; its transactions leave control records and aborted ones behind.
pub struct Writer {
    producer: BaseProducer,
    topic: String,
}

impl Writer {
    pub fn new(brokers: &str, topic: &str) -> Self {
        let producer = client(brokers).set("linger.ms", "5").create().expect("producer");
        Self { producer, topic: topic.to_owned() }
    }

    pub fn transactional(brokers: &str, topic: &str) -> Self {
        let producer: BaseProducer =
            client(brokers).set("transactional.id", unique("transactions")).create().expect("producer");
        producer.init_transactions(DEADLINE).expect("transactions");
        Self { producer, topic: topic.to_owned() }
    }

    /// Sends `count` records to a partition; the value is the number.
    pub fn send(&self, partition: Partition, count: usize) {
        for number in 0..count {
            self.value(partition, number.to_string().as_bytes(), None);
        }
        self.producer.flush(DEADLINE).expect("flushed");
    }

    /// Sends one record.
    pub fn value(&self, partition: Partition, value: &[u8], timestamp: Option<i64>) {
        let mut record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.topic).partition(partition).payload(value);
        record.timestamp = timestamp;
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                // The queue is full: deliver some.
                Err((_, back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(10));
                }
            }
        }
    }

    pub fn flush(&self) {
        self.producer.flush(DEADLINE).expect("flushed");
    }

    pub fn begin(&self) {
        self.producer.begin_transaction().expect("begun");
    }

    pub fn commit(&self) {
        self.producer.commit_transaction(DEADLINE).expect("committed");
    }

    pub fn abort(&self) {
        self.producer.abort_transaction(DEADLINE).expect("aborted");
    }

    pub fn producer(&self) -> &BaseProducer {
        &self.producer
    }
}

/// Short sessions; and members hear of a rebalance soon. The newer protocol leaves both to the broker.
pub const PROMPT: &[(&str, &str)] = &[("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "300")];

/// Settings of a source under test.
pub fn spec(brokers: &str, topic: &str, group: &str, properties: &[(&str, &str)]) -> SourceSpec {
    let mut all: BTreeMap<_, _> =
        PROMPT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    if all.get("group.protocol").is_some_and(|protocol| protocol == "consumer") {
        for (name, _) in PROMPT {
            all.remove(*name);
        }
    }
    let kafka = Kafka { brokers: brokers.to_owned(), properties: all };
    SourceSpec::new(kafka, topic.into(), group.into(), BUDGET_KIB)
}

/// A source with what a pipeline keeps in mind about it.
pub struct Member {
    pub source: Source,
    pub owned: Vec<Partition>,
    pub fence: u64,
    /// Last assignment that it has heard of.
    pub tenure: Tenure,
    /// Next position of each partition, from the chunks of the current fence.
    pub next: BTreeMap<Partition, Offset>,
    /// The log has gaps (transactions); without, every offset must come.
    pub gaps: bool,
}

/// A revocation that the member has heard of.
pub struct Revoked {
    pub partitions: Vec<Partition>,
    pub release: oneshot::Sender<()>,
}

impl Member {
    pub fn start(spec: SourceSpec) -> Self {
        let _only_once = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let budget = Arc::new(Semaphore::new(spec.budget_kib_max as usize));
        let source = Source::start(spec, budget).expect("started");
        Self { source, owned: Vec::new(), fence: 0, tenure: Tenure::default(), next: BTreeMap::new(), gaps: false }
    }

    /// The next event; keeps `owned` up to date.
    pub async fn event(&mut self) -> SourceEvent {
        let event = tokio::time::timeout(DEADLINE, self.source.events.recv()).await.expect("an event in time");
        let event = event.expect("the thread lives");
        match &event {
            SourceEvent::Assigned { partitions, tenure } => {
                self.owned.extend(partitions);
                self.tenure = *tenure;
            }
            SourceEvent::Revoking { partitions, .. } | SourceEvent::Lost { partitions, .. } => {
                self.owned.retain(|partition| !partitions.contains(partition));
            }
            SourceEvent::Away { .. } | SourceEvent::Back | SourceEvent::Failed(_) => {}
        }
        event
    }

    /// Waits until this many partitions are owned; lets go of anything at once.
    pub async fn owns(&mut self, count: usize) {
        while self.owned.len() != count {
            self.event().await;
        }
    }

    /// Waits for a revocation.
    pub async fn revoked(&mut self) -> Revoked {
        loop {
            if let SourceEvent::Revoking { partitions, release } = self.event().await {
                return Revoked { partitions, release };
            }
        }
    }

    /// Waits for a failure.
    pub async fn failed(&mut self) -> loadlock::source::SourceError {
        loop {
            if let SourceEvent::Failed(error) = self.event().await {
                return error;
            }
        }
    }

    /// Reads from these offsets, under a new fence.
    pub fn fill(&mut self, starts: &[(Partition, Offset)]) {
        self.fence += 1;
        self.next = starts.iter().copied().collect();
        self.source.control.fill(self.fence, self.next.clone());
    }

    /// The next chunk of the current fence. Checks that no partition goes back.
    pub async fn chunk(&mut self) -> Chunk {
        loop {
            let chunk = tokio::time::timeout(DEADLINE, self.source.chunks.recv()).await.expect("a chunk in time");
            let chunk = chunk.expect("the thread lives");
            if chunk.fence == self.fence {
                self.follow(&chunk);
                return chunk;
            }
        }
    }

    fn follow(&mut self, chunk: &Chunk) {
        for record in chunk.iter() {
            let next = self.next.get_mut(&record.partition).expect("only what was asked for");
            let follows = record.offset == *next || (self.gaps && record.offset > *next);
            assert!(follows, "partition {}: offset {} where {next} is due", record.partition, record.offset);
            *next = record.offset + 1;
        }
        for (partition, position) in &chunk.reached {
            let next = self.next.get_mut(partition).expect("only what was asked for");
            assert!(*position > *next, "{partition}: reached {position} after {next}");
            *next = *position;
        }
    }

    /// Reads `count` records: partition and offset of each.
    pub async fn records(&mut self, count: usize) -> Vec<(Partition, Offset)> {
        let mut read = Vec::new();
        while read.len() < count {
            let chunk = self.chunk().await;
            read.extend(chunk.iter().map(|record| (record.partition, record.offset)));
        }
        read
    }

    /// Reads until the position of a partition is this one.
    pub async fn reaches(&mut self, partition: Partition, position: Offset) {
        while self.next.get(&partition) != Some(&position) {
            self.chunk().await;
        }
    }

    /// True if nothing is delivered for a while.
    pub async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(QUIET, self.source.chunks.recv()).await.is_err()
    }

    /// Stores positions with a metadata text.
    pub async fn record(&self, positions: &[(Partition, Offset)], metadata: &str) -> Recorded {
        self.source.control.record(to_store(positions, metadata), self.tenure).await
    }

    /// The stored position of a partition.
    pub async fn stored(&self, partition: Partition) -> Option<Stored> {
        let read = self.source.control.read_positions(vec![partition]).await.expect("read");
        read.stored.get(&partition).expect("a partition of the topic").clone()
    }
}

pub fn to_store(positions: &[(Partition, Offset)], metadata: &str) -> Vec<PositionToStore> {
    let one = |(partition, offset): &(Partition, Offset)| PositionToStore {
        partition: *partition,
        offset: *offset,
        metadata: metadata.to_owned(),
    };
    positions.iter().map(one).collect()
}

/// A position as it should be read back.
pub fn stored(offset: Offset, metadata: &str) -> Option<Stored> {
    Some(Stored { offset, metadata: metadata.to_owned() })
}

/// Every offset of `partition` from `start` to before `end`.
pub fn span(partition: Partition, start: Offset, end: Offset) -> Vec<(Partition, Offset)> {
    (start..end).map(|offset| (partition, offset)).collect()
}

/// The three ways in which a group can share its partitions out.
pub const EAGER: &[(&str, &str)] = &[("partition.assignment.strategy", "range")];
pub const COOPERATIVE: &[(&str, &str)] = &[("partition.assignment.strategy", "cooperative-sticky")];
pub const CONSUMER: &[(&str, &str)] = &[("group.protocol", "consumer")];

/// A topic and a group of a test's own.
pub struct Place {
    pub brokers: String,
    pub topic: String,
    pub group: String,
}

impl Place {
    pub async fn new(test: &str, partitions: i32) -> Option<Self> {
        Some(Self::on(&real_brokers(test)?, test, partitions, 1).await)
    }

    /// On these brokers, with so many replicas.
    pub async fn on(brokers: &str, test: &str, partitions: i32, replicas: i32) -> Self {
        let (topic, group) = (unique(test), unique("group"));
        create_replicated(brokers, &topic, partitions, replicas).await;
        Self { brokers: brokers.to_owned(), topic, group }
    }

    /// The same, seen through a proxy.
    pub fn behind(&self, brokers: String) -> Self {
        Self { brokers, topic: self.topic.clone(), group: self.group.clone() }
    }

    pub fn member(&self, properties: &[(&str, &str)]) -> Member {
        Member::start(spec(&self.brokers, &self.topic, &self.group, properties))
    }

    pub fn writer(&self) -> Writer {
        Writer::new(&self.brokers, &self.topic)
    }

    /// Member ids of the group, as the broker lists them.
    pub fn member_ids(&self) -> Vec<String> {
        let consumer: BaseConsumer =
            rdkafka::ClientConfig::new().set("bootstrap.servers", &self.brokers).create().expect("a client");
        let list = consumer.fetch_group_list(Some(&self.group), Duration::from_secs(10)).expect("listed");
        list.groups().iter().flat_map(|group| group.members()).map(|member| member.id().to_owned()).collect()
    }
}

/// Whether the brokers speak the newer protocol; a client waits for ever on those that do not.
pub async fn speaks_consumer_protocol(brokers: &str, test: &str) -> bool {
    let resource = rdkafka::admin::ResourceSpecifier::Broker(1);
    let results = admin(brokers).describe_configs([&resource], &AdminOptions::new()).await.expect("described");
    let config = results.into_iter().next().expect("one").expect("described");
    let enabled = config.entry_map().get("group.coordinator.rebalance.protocols").and_then(|entry| entry.value.clone());
    let speaks = enabled.is_some_and(|protocols| protocols.contains("consumer"));
    if !speaks {
        eprintln!("SKIPPED broker: {test}: these brokers do not enable group.protocol=consumer");
    }
    speaks
}
