//! One record, read by somebody who is no member and stores nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::Offset as At;

use super::context::Notice;
use super::lookup::{DENIED, MISSING};
use super::{Outside, SourceError, native};
use crate::domain::{Offset, Partition, Range};
use crate::record::{Chunk, RecordHead};

/// Longest wait for the record.
const DEADLINE: Duration = Duration::from_secs(15);

/// One look for it.
const POLL: Duration = Duration::from_millis(200);

/// What stands at an offset.
#[derive(Debug)]
pub enum Peeked {
    /// A record: the only one of the chunk.
    Record(Chunk),
    /// No record: a control record, one of an aborted transaction, or one that compaction has taken away. The next one is
    /// here.
    Gap(Offset),
    /// Nothing, and nothing behind it yet.
    End,
    /// The offset is not in the log.
    Outside(Range),
}

impl Outside {
    /// Reads the record at an offset, if readers of committed records see one there.
    ///
    /// # Errors
    /// When a broker does not answer, or says no.
    pub fn record_at(&self, partition: Partition, offset: Offset) -> Result<Peeked, SourceError> {
        let what = "a record";
        let log = self.lookup.log(&self.consumer, &[partition])?.remove(&partition);
        if let Some(log) = log.filter(|log| offset < log.start || offset > log.end) {
            return Ok(Peeked::Outside(log));
        }
        let list = self.lookup.list(std::iter::once((partition, At::Offset(offset))))?;
        self.consumer.assign(&list).map_err(|error| self.lookup.failed(what, &error))?;
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) if message.offset() == offset => {
                    let mut chunk = Chunk::new(Arc::clone(&self.lookup.topic), 0);
                    let leader_epoch = native::leader_epoch(&message);
                    let timestamp_ms = message.timestamp().to_millis();
                    let head = RecordHead { partition, offset, leader_epoch, timestamp_ms };
                    chunk.push(head, message.key(), message.payload(), native::headers(&message));
                    return Ok(Peeked::Record(chunk));
                }
                Some(Ok(message)) => return Ok(Peeked::Gap(message.offset())),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Peeked::End),
                Some(Err(_)) | None => {}
            }
            while let Some(notice) = self.consumer.context().next_notice() {
                // Of anything else the client recovers by itself, or the deadline passes.
                if let Notice::Trouble { code, .. } = notice
                    && (MISSING.contains(&code) || DENIED.contains(&code))
                {
                    return Err(self.lookup.error(what, code));
                }
            }
        }
        Err(self.lookup.unanswered(what, format!("no answer in {} s", DEADLINE.as_secs())))
    }
}
