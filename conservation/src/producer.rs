//! Records come in transactions, every fourth of which is aborted. Whatever goes wrong, the topic itself says later
//! what was committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

/// Records of one transaction.
const TRANSACTION: u64 = 250;

/// Longest wait for a step of a transaction; a broker that is away is away for less.
const STEP: Duration = Duration::from_secs(60);

/// The producing thread.
pub(crate) struct Producer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    committed: AtomicU64,
    /// Write what is left as fast as it goes, then end.
    finish: AtomicBool,
    /// End now.
    quit: AtomicBool,
}

impl Producer {
    /// Produces `per_second` committed records until told to finish, then up to `records` in all.
    pub(crate) fn start(brokers: &str, topic: &str, partitions: i32, records: u64, per_second: u64) -> Self {
        let shared = Arc::new(Shared {
            committed: AtomicU64::new(0),
            finish: AtomicBool::new(false),
            quit: AtomicBool::new(false),
        });
        let work = Work {
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            partitions,
            records,
            per_second,
            shared: Arc::clone(&shared),
        };
        Self { shared, thread: Some(thread::spawn(move || work.run())) }
    }

    /// Writes the rest and ends. How many records were acknowledged as committed.
    pub(crate) fn finish(mut self) -> u64 {
        self.shared.finish.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
        self.committed()
    }

    pub(crate) fn committed(&self) -> u64 {
        self.shared.committed.load(Ordering::Relaxed)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::Relaxed);
    }
}

struct Work {
    brokers: String,
    topic: String,
    partitions: i32,
    records: u64,
    per_second: u64,
    shared: Arc<Shared>,
}

impl Work {
    fn run(&self) {
        let began = Instant::now();
        let (mut id, mut transactions) = (0_u64, 0_u64);
        let mut producer = None;
        while !self.shared.quit.load(Ordering::Relaxed) {
            let committed = self.shared.committed.load(Ordering::Relaxed);
            if self.shared.finish.load(Ordering::Relaxed) {
                if committed >= self.records {
                    return;
                }
            } else if committed > (began.elapsed().as_secs_f64() * self.per_second as f64) as u64 {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            transactions += 1;
            let aborts = transactions % 4 == 2;
            // A new producer of the same name ends what its predecessor left open.
            let done = match producer.take() {
                Some(producer) => Ok(producer),
                None => self.make(),
            };
            let done = done.and_then(|producer| self.transaction(&producer, id, aborts).map(|()| producer));
            id += TRANSACTION;
            match done {
                Ok(working) => {
                    producer = Some(working);
                    if !aborts {
                        self.shared.committed.fetch_add(TRANSACTION, Ordering::Relaxed);
                    }
                }
                Err(_) => thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    fn make(&self) -> Result<BaseProducer, KafkaError> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("transactional.id", &self.topic)
            .set("linger.ms", "5")
            .create()?;
        producer.init_transactions(STEP)?;
        Ok(producer)
    }

    fn transaction(&self, producer: &BaseProducer, first: u64, aborts: bool) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        for id in first..first + TRANSACTION {
            let partition = i32::try_from(id % self.partitions.unsigned_abs() as u64).unwrap_or_default();
            let value = format!("{{\"id\":{id},\"note\":\"order {id}\"}}");
            let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&self.topic).partition(partition);
            producer.send(record.payload(value.as_bytes())).map_err(|(error, _)| error)?;
        }
        producer.flush(STEP)?;
        if aborts { producer.abort_transaction(STEP) } else { producer.commit_transaction(STEP) }
    }
}
