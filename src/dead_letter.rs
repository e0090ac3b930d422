//! Where rejects go: a topic, or a local file. A dead letter carries the record as it was and says why it is here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64_simd::STANDARD as BASE64;
use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde::Serialize;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt as _;

use crate::config::RejectPolicy;
use crate::decode::Reject;
use crate::domain::{Offset, Partition, Table};
use crate::record::Record;

/// Longest wait for room in the producer's queue; the acknowledgement itself comes within the client's
/// `message.timeout.ms`.
const QUEUED_WITHIN: Duration = Duration::from_secs(30);

/// One record that can't become a row, with what is known of it.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    topic: Arc<str>,
    partition: Partition,
    offset: Offset,
    timestamp_ms: Option<i64>,
    table: Table,
    stage: String,
    reason: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl DeadLetter {
    /// Copies what is needed of a rejected record.
    pub fn new(topic: Arc<str>, record: &Record<'_>, table: &Table, reject: &Reject) -> Self {
        Self {
            topic,
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            table: table.clone(),
            stage: reject.stage.to_string(),
            reason: reject.reason.clone(),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
        }
    }

    /// Bytes of the record.
    pub fn bytes(&self) -> u64 {
        let header = |(name, value): &(String, Option<Vec<u8>>)| name.len() + value.as_ref().map_or(0, Vec::len);
        let headers: usize = self.headers.iter().map(header).sum();
        (self.key.as_ref().map_or(0, Vec::len) + self.value.as_ref().map_or(0, Vec::len) + headers) as u64
    }

    /// The record's own headers, then ours, then the names that Kafka Connect uses.
    fn headers(&self) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: value.as_deref() });
        }
        let partition = self.partition.to_string();
        let offset = self.offset.to_string();
        let table = self.table.to_string();
        let timestamp = self.timestamp_ms.map(|ms| ms.to_string());
        let ours = [
            ("loadlock.topic", Some(&*self.topic)),
            ("loadlock.partition", Some(partition.as_str())),
            ("loadlock.offset", Some(offset.as_str())),
            ("loadlock.timestamp", timestamp.as_deref()),
            ("loadlock.table", Some(table.as_str())),
            ("loadlock.stage", Some(self.stage.as_str())),
            ("loadlock.reason", Some(self.reason.as_str())),
            ("__connect.errors.topic", Some(&*self.topic)),
            ("__connect.errors.partition", Some(partition.as_str())),
            ("__connect.errors.offset", Some(offset.as_str())),
            ("__connect.errors.stage", Some(self.stage.as_str())),
            ("__connect.errors.exception.message", Some(self.reason.as_str())),
        ];
        for (key, value) in ours {
            if let Some(value) = value {
                headers = headers.insert(Header { key, value: Some(value) });
            }
        }
        headers
    }
}

/// The place for dead letters of one pipeline.
pub enum DeadLetters {
    /// A Kafka topic.
    Topic {
        /// Name of the topic.
        topic: String,
        /// Idempotent producer, acknowledged by all replicas.
        producer: FutureProducer,
    },
    /// A local file, one JSON object per line.
    File(PathBuf),
}

impl DeadLetters {
    /// The place that the policy names, if it names one. `client` is the connection to Kafka.
    ///
    /// # Errors
    /// When the Kafka client refuses the configuration, or the file can't be opened.
    pub fn open(policy: &RejectPolicy, client: &ClientConfig) -> Result<Option<Self>, String> {
        match policy {
            RejectPolicy::Stop | RejectPolicy::Skip { .. } => Ok(None),
            RejectPolicy::DeadLetterFile(path) => {
                // A file that can't be opened now would hold up every batch later.
                let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
                opened
                    .map_err(|error| format!("the file of dead letters {} can't be opened: {error}", path.display()))?;
                Ok(Some(Self::File(path.clone())))
            }
            RejectPolicy::DeadLetterTopic(topic) => {
                let mut client = client.clone();
                // Properties of consumers are not its concern; librdkafka would warn of each.
                client.set_log_level(RDKafkaLogLevel::Error);
                let producer = client
                    .set("enable.idempotence", "true")
                    .set("acks", "all")
                    .create()
                    .map_err(|error| format!("the producer of dead letters can't be made: {error}"))?;
                Ok(Some(Self::Topic { topic: topic.clone(), producer }))
            }
        }
    }

    /// Writes all of them; done when all are acknowledged (topic) or on disk (file). After an error some may have
    /// been written: writing them again makes copies that carry the same topic, partition and offset.
    ///
    /// # Errors
    /// The first reason why a letter was not acknowledged.
    pub async fn write(&self, letters: &[DeadLetter]) -> Result<(), String> {
        match self {
            Self::Topic { topic, producer } => write_topic(topic, producer, letters).await,
            Self::File(path) => write_file(path, letters)
                .await
                .map_err(|error| format!("dead letters can't be written to {}: {error}", path.display())),
        }
    }
}

async fn write_topic(topic: &str, producer: &FutureProducer, letters: &[DeadLetter]) -> Result<(), String> {
    let sent = letters.iter().map(|letter| {
        let mut record = FutureRecord::<[u8], [u8]>::to(topic).headers(letter.headers());
        if let Some(key) = &letter.key {
            record = record.key(key);
        }
        if let Some(value) = &letter.value {
            record = record.payload(value);
        }
        producer.send(record, QUEUED_WITHIN)
    });
    for outcome in join_all(sent).await {
        outcome.map_err(|(error, _)| {
            format!(
                "dead letters can't be written to topic {topic} (does it exist, and may it be written to?): {error}"
            )
        })?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    partition: Partition,
    offset: Offset,
    timestamp: Option<i64>,
    table: String,
    stage: &'a str,
    reason: &'a str,
    key_base64: Option<String>,
    value_base64: Option<String>,
    headers_base64: Vec<(&'a str, Option<String>)>,
}

async fn write_file(path: &Path, letters: &[DeadLetter]) -> std::io::Result<()> {
    let base64 = |bytes: &Vec<u8>| BASE64.encode_to_string(bytes);
    let mut text = Vec::new();
    for letter in letters {
        let headers = letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_ref().map(base64))).collect();
        let line = Line {
            topic: &letter.topic,
            partition: letter.partition,
            offset: letter.offset,
            timestamp: letter.timestamp_ms,
            table: letter.table.to_string(),
            stage: &letter.stage,
            reason: &letter.reason,
            key_base64: letter.key.as_ref().map(base64),
            value_base64: letter.value.as_ref().map(base64),
            headers_base64: headers,
        };
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).await?;
    file.write_all(&text).await?;
    file.sync_data().await
}
