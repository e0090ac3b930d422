//! Records as the source hands them on: one [`Chunk`] holds the bytes of many records in one piece of memory, so that
//! a record costs a copy but no allocation.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::domain::{Offset, Partition};

/// One Kafka record, borrowed from its chunk.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Partition that the record was read from.
    pub partition: Partition,
    /// Offset of the record.
    pub offset: Offset,
    /// Leader epoch of the record's batch; -1 when the broker gave none.
    pub leader_epoch: i32,
    /// Record timestamp, milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
    /// Key; `None` when the record has none.
    pub key: Option<&'a [u8]>,
    /// Value; `None` for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers in record order.
    pub headers: Headers<'a>,
}

/// Headers of a record, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    slices: &'a [HeaderSlices],
}

impl<'a> Headers<'a> {
    /// Names and values in record order; a name can occur more than once.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let bytes = self.bytes;
        self.slices.iter().map(move |header| {
            let name = std::str::from_utf8(header.name.of(bytes)).unwrap_or_default();
            (name, header.value.map(|slice| slice.of(bytes)))
        })
    }

    /// Value of the last header of that name, as Kafka's own clients read it.
    pub fn last(self, name: &str) -> Option<&'a [u8]> {
        self.iter().filter(|(found, _)| *found == name).filter_map(|(_, value)| value).last()
    }
}

/// Records of one topic in the order in which they were delivered.
#[derive(Debug)]
pub struct Chunk {
    /// Topic that all records of the chunk come from.
    pub topic: Arc<str>,
    /// Number of the last positioning command that the source had carried out when it read these records; the
    /// pipeline drops chunks that were read before the positions it asked for last.
    pub fence: u64,
    /// Partitions that were read past their last delivered record (control records, aborted transactions), with the
    /// position reached. Applies behind all records of the chunk.
    pub reached: BTreeMap<Partition, Offset>,
    /// Share of the memory budget that these bytes hold until they are in the engine's hands.
    pub permit: Option<OwnedSemaphorePermit>,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<HeaderSlices>,
}

#[derive(Clone, Copy, Debug)]
struct Slice {
    start: u32,
    len: u32,
}

impl Slice {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes.get(start..start + self.len as usize).unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug)]
struct HeaderSlices {
    name: Slice,
    value: Option<Slice>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    partition: Partition,
    leader_epoch: i32,
    offset: Offset,
    timestamp_ms: Option<i64>,
    key: Option<Slice>,
    value: Option<Slice>,
    headers: (u32, u32),
}

impl Chunk {
    /// An empty chunk for records of `topic`.
    pub fn new(topic: Arc<str>, fence: u64) -> Self {
        Self {
            topic,
            fence,
            reached: BTreeMap::new(),
            permit: None,
            bytes: Vec::new(),
            entries: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// An empty chunk with room for so many bytes and records, which it may outgrow.
    pub fn with_capacity(topic: Arc<str>, fence: u64, bytes: usize, records: usize) -> Self {
        let (bytes, entries) = (Vec::with_capacity(bytes), Vec::with_capacity(records));
        Self { bytes, entries, ..Self::new(topic, fence) }
    }

    /// Copies a record to the end of the chunk.
    ///
    /// A chunk holds less than 4 GiB: Kafka's own limit for one record is 2 GiB, and the source closes a chunk long
    /// before.
    pub fn push<'h>(
        &mut self,
        head: RecordHead,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
    ) {
        let key = key.map(|bytes| self.copy(bytes));
        let value = value.map(|bytes| self.copy(bytes));
        let first = self.headers.len() as u32;
        for (name, content) in headers {
            let name = self.copy(name.as_bytes());
            let value = content.map(|bytes| self.copy(bytes));
            self.headers.push(HeaderSlices { name, value });
        }
        let headers = (first, self.headers.len() as u32);
        let RecordHead { partition, offset, leader_epoch, timestamp_ms } = head;
        self.entries.push(Entry { partition, leader_epoch, offset, timestamp_ms, key, value, headers });
    }

    fn copy(&mut self, bytes: &[u8]) -> Slice {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(bytes);
        Slice { start, len: bytes.len() as u32 }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if the chunk holds no record (it can still say how far a partition was read).
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys, values and headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The records in the order in which they were delivered.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| {
            let (first, last) = entry.headers;
            Record {
                partition: entry.partition,
                offset: entry.offset,
                leader_epoch: entry.leader_epoch,
                timestamp_ms: entry.timestamp_ms,
                key: entry.key.map(|slice| slice.of(&self.bytes)),
                value: entry.value.map(|slice| slice.of(&self.bytes)),
                headers: Headers {
                    bytes: &self.bytes,
                    slices: self.headers.get(first as usize..last as usize).unwrap_or_default(),
                },
            }
        })
    }
}

/// What is known of a record besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead {
    /// See [`Record::partition`].
    pub partition: Partition,
    /// See [`Record::offset`].
    pub offset: Offset,
    /// See [`Record::leader_epoch`].
    pub leader_epoch: i32,
    /// See [`Record::timestamp_ms`].
    pub timestamp_ms: Option<i64>,
}
