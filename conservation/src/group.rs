//! The group, watched from outside: who owns what, and how far the positions are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use loadlock::commit::metadata::Metadata;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};

use crate::{Failure, topic};

/// Pause between two looks at the positions.
const LOOK: Duration = Duration::from_millis(50);

/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A stored position, and since when it has been there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) offset: i64,
    pub(crate) since: Instant,
}

/// Positions by partition.
pub(crate) type Positions = BTreeMap<i32, Position>;

/// A look at the group that never joins it.
pub(crate) struct Group {
    topic: String,
    name: String,
    partitions: i32,
    consumer: Arc<BaseConsumer>,
    seen: Arc<Mutex<Positions>>,
    quit: Arc<AtomicBool>,
}

impl Group {
    pub(crate) fn watch(brokers: &str, topic: &str, name: &str, partitions: i32) -> Result<Self, Failure> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", name)
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .create()
            .map_err(|error| error.to_string())?;
        let consumer = Arc::new(consumer);
        let (seen, quit) = (Arc::new(Mutex::new(Positions::new())), Arc::new(AtomicBool::new(false)));
        let watched = (Arc::clone(&consumer), Arc::clone(&seen), Arc::clone(&quit), topic.to_owned());
        thread::spawn(move || {
            let (consumer, seen, quit, topic) = watched;
            while !quit.load(Ordering::Relaxed) {
                look(&consumer, &topic, partitions, &seen);
                thread::sleep(LOOK);
            }
        });
        Ok(Self { topic: topic.to_owned(), name: name.to_owned(), partitions, consumer, seen, quit })
    }

    /// Positions as last seen.
    pub(crate) fn positions(&self) -> Positions {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if every position has reached the end of its partition.
    pub(crate) fn is_at_the_end(&self) -> bool {
        let Ok(ends) = topic::ends(&self.consumer, &self.topic, self.partitions) else { return false };
        let positions = self.positions();
        ends.iter().all(|(partition, end)| positions.get(partition).is_some_and(|position| position.offset >= *end))
    }

    /// True if no position carries an intent. Only while nobody is in the group, it stays so.
    pub(crate) fn has_no_intent(&self) -> bool {
        let Ok(stored) = self.consumer.committed_offsets(list(&self.topic, self.partitions), ANSWER) else {
            return false;
        };
        let open = |text: &str| Metadata::parse(text).is_ok_and(|metadata| metadata.intent.is_some());
        stored.elements().iter().all(|element| element.error().is_ok() && !open(element.metadata()))
    }

    /// Partitions by the client id of their owner, if the group has settled down.
    pub(crate) fn owners(&self) -> Option<BTreeMap<String, Vec<i32>>> {
        let list = self.consumer.fetch_group_list(Some(&self.name), ANSWER).ok()?;
        let group = list.groups().first().filter(|group| group.state() == "Stable")?;
        let owned = |member: &rdkafka::groups::GroupMemberInfo| {
            Some((member.client_id().to_owned(), assigned(member.assignment()?)?))
        };
        group.members().iter().map(owned).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
    }
}

fn list(topic: &str, partitions: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    list
}

fn look(consumer: &BaseConsumer, topic: &str, partitions: i32, seen: &Mutex<Positions>) {
    let Ok(stored) = consumer.committed_offsets(list(topic, partitions), ANSWER) else { return };
    let since = Instant::now();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for element in stored.elements() {
        let At::Offset(offset) = element.offset() else { continue };
        let position = Position { offset, since };
        let before = seen.entry(element.partition()).or_insert(position);
        if before.offset != offset {
            *before = position;
        }
    }
}

/// Partitions of an assignment of the consumer protocol: version, then topics with their partitions.
fn assigned(bytes: &[u8]) -> Option<Vec<i32>> {
    fn take<'b>(bytes: &mut &'b [u8], count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = bytes.split_at_checked(count)?;
        *bytes = rest;
        Some(taken)
    }
    let number = |bytes: &mut &[u8]| Some(i32::from_be_bytes(take(bytes, 4)?.try_into().ok()?));
    let mut bytes = bytes;
    take(&mut bytes, 2)?;
    let mut partitions = Vec::new();
    for _ in 0..number(&mut bytes)? {
        let length = i16::from_be_bytes(take(&mut bytes, 2)?.try_into().ok()?);
        take(&mut bytes, usize::try_from(length).ok()?)?;
        for _ in 0..number(&mut bytes)? {
            partitions.push(number(&mut bytes)?);
        }
    }
    Some(partitions)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read() {
        let bytes = [&[0, 3, 0, 0, 0, 1, 0, 2][..], b"ab", &[0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 1, 0], &[0; 4]].concat();
        assert_eq!(assigned(&bytes).unwrap(), [5, 256]);
        assert!(assigned(&bytes[..12]).is_none());
    }
}
