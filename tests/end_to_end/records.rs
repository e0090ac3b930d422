//! Encrypted records on the broker: committed ones, aborted ones between them, and what each committed one is.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadlock::cli::produce::encrypt::Wrapper;
use loadlock::cli::produce::generate::device;
use loadlock::config::{Cipher, Decrypt, Encoding, Secret, ValueForm};
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

/// Base64 of the 16 bytes 0..16.
pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 4;

/// Seed of all devices.
pub(crate) const SEED: u64 = 1;

/// Records of one producer transaction; every fourth transaction is aborted.
const TRANSACTION: u64 = 5_000;

/// Ids of aborted records lie behind all others.
const ABORTED: u64 = 1_000_000_000;

const DEADLINE: Duration = Duration::from_secs(60);

/// What was written.
#[derive(Default)]
pub(crate) struct Produced {
    /// Index of the device by (partition, offset), committed records only.
    pub(crate) committed: BTreeMap<(i32, i64), u64>,
    /// Records of aborted transactions.
    pub(crate) aborted: u64,
}

impl Produced {
    /// Adds what was written later.
    pub(crate) fn extend(&mut self, later: Produced) {
        self.committed.extend(later.committed);
        self.aborted += later.aborted;
    }
}

#[derive(Clone, Default)]
struct Delivered(Arc<Mutex<Vec<(i32, i64, u64)>>>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, index: Box<u64>) {
        let message = result.as_ref().expect("delivered");
        self.0.lock().expect("no panic").push((message.partition(), message.offset(), *index));
    }
}

/// Writes the devices of these indices in producer transactions, with aborted transactions of other devices in between.
pub(crate) fn produce(brokers: &str, topic: &str, indices: Range<u64>) -> Produced {
    let delivered = Delivered::default();
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    let producer: ThreadedProducer<Delivered> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("transactional.id", format!("{topic}-{nanos}"))
        .set("linger.ms", "20")
        .create_with_context(delivered.clone())
        .expect("producer");
    producer.init_transactions(DEADLINE).expect("transactions");
    let form = ValueForm {
        encoding: Encoding::Base64,
        decrypt: Some(Decrypt::one(Cipher::AesEcb, Secret::new((0..16).collect()))),
        ..ValueForm::default()
    };
    let wrapper = Wrapper { form: &form, quoted: true };
    let mut produced = Produced::default();
    let mut at = indices.start;
    let mut transactions = 0;
    while at < indices.end {
        let end = (at + TRANSACTION).min(indices.end);
        transactions += 1;
        let aborts = transactions % 4 == 2;
        producer.begin_transaction().expect("begun");
        for index in at..end {
            let index = if aborts { index + ABORTED } else { index };
            let value =
                wrapper.wrap(device(SEED, index).json(None).as_bytes(), [0; 16], false).expect("a key that fits");
            let partition = i32::try_from(index % PARTITIONS as u64).expect("small");
            send(&producer, topic, partition, &value, index);
        }
        producer.flush(DEADLINE).expect("flushed");
        let written = std::mem::take(&mut *delivered.0.lock().expect("no panic"));
        assert_eq!(written.len() as u64, end - at, "every record is acknowledged");
        if aborts {
            producer.abort_transaction(DEADLINE).expect("aborted");
            produced.aborted += end - at;
        } else {
            producer.commit_transaction(DEADLINE).expect("committed");
            produced
                .committed
                .extend(written.into_iter().map(|(partition, offset, index)| ((partition, offset), index)));
            at = end;
        }
    }
    produced
}

fn send(producer: &ThreadedProducer<Delivered>, topic: &str, partition: i32, value: &[u8], index: u64) {
    let mut record: BaseRecord<'_, (), [u8], Box<u64>> =
        BaseRecord::with_opaque_to(topic, Box::new(index)).partition(partition).payload(value);
    while let Err((_, back)) = producer.send(record) {
        record = back;
        std::thread::sleep(Duration::from_millis(5));
    }
}
