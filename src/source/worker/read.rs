//! Records are polled, packed and handed on; partitions are positioned, paused and resumed.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::Offset as At;
use tracing::{debug, warn};

use super::Worker;
use crate::domain::Partition;
use crate::record::RecordHead;
use crate::source::SourceError;
use crate::source::context::Context;
use crate::source::filling::{Filling, Offered};
use crate::source::flow::Flow;
use crate::source::native;

/// Records taken before commands are looked at again.
const POLLS_PER_TURN: usize = 512;

/// Without room for this long the partitions are paused, so that polling can go on for the group's sake.
const STALL: Duration = Duration::from_secs(1);

/// Pause between two attempts to position a partition that the client has not started yet.
const SEEK_PAUSE: Duration = Duration::from_millis(20);

/// Longest wait for the client to take a position.
const SEEK_DEADLINE: Duration = Duration::from_secs(30);

/// Longest wait for one call to position partitions.
const SEEK_CALL: Duration = Duration::from_secs(2);

/// Room for records behind us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// None since then: nothing is polled.
    Stalled(Instant),
    /// None for long: the partitions are paused, and polled.
    Paused,
}

impl Worker {
    /// Polls what is there. True if there was something.
    pub(super) fn read(&mut self, now: Instant) -> bool {
        if !self.may_poll(now) {
            return false;
        }
        let Self { consumer, flow, filling, spec, .. } = self;
        let mut fatal = None;
        let (mut busy, mut full) = (false, false);
        for _ in 0..POLLS_PER_TURN {
            let calls = consumer.context().calls();
            match consumer.poll(Duration::ZERO) {
                // An empty poll that ran a callback may have more behind it.
                None if consumer.context().calls() == calls => break,
                None => {}
                Some(Ok(message)) => full = take(&message, flow, filling, now),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    note_end(consumer, &spec.topic, partition, flow, filling, now);
                }
                Some(Err(KafkaError::MessageConsumptionFatal(code))) => fatal = Some(code),
                // The context has noted it with librdkafka's words.
                Some(Err(error)) => debug!(%error, "poll"),
            }
            busy = true;
            if full {
                break;
            }
        }
        if let Some(code) = fatal {
            self.fatal(code);
        }
        busy
    }

    /// Without room, polling would only pile up records; after a while the partitions are paused and it goes on.
    fn may_poll(&mut self, now: Instant) -> bool {
        match self.room {
            Room::Free | Room::Paused => true,
            Room::Stalled(since) if now.duration_since(since) < STALL && !self.waits_for_polls() => false,
            Room::Stalled(_) => {
                let flowing: Vec<_> = self.flow.flowing().into_keys().collect();
                self.pause(&flowing);
                self.room = Room::Paused;
                true
            }
        }
    }

    fn waits_for_polls(&self) -> bool {
        self.recording.is_some() || self.leaving.is_some()
    }

    /// Hands full chunks on, and keeps book of the room.
    pub(super) fn hand_on(&mut self, now: Instant) {
        match (self.filling.offer(&self.waker), self.room) {
            (Offered::AllTaken | Offered::Unwanted, Room::Free | Room::Stalled(_)) => self.room = Room::Free,
            (Offered::AllTaken | Offered::Unwanted, Room::Paused) => {
                self.room = Room::Free;
                let flowing: Vec<_> = self.flow.flowing().into_keys().collect();
                self.resume(&flowing);
            }
            (Offered::Stalled, Room::Free) => self.room = Room::Stalled(now),
            (Offered::Stalled, Room::Stalled(_) | Room::Paused) => {}
        }
    }

    /// Stops reading everything.
    pub(super) fn hold(&mut self) {
        let flowing: Vec<_> = self.flow.flowing().into_keys().collect();
        self.pause(&flowing);
        self.flow.hold_all();
        self.room = Room::Free;
    }

    /// Positions what waits for it. The client refuses until it has started the partition; then it is asked again.
    pub(super) fn position(&mut self, now: Instant) {
        let seeking = self.flow.seeking();
        if seeking.is_empty() || now < self.seek_again {
            return;
        }
        self.seek_again = now + SEEK_PAUSE;
        let starts = seeking.iter().map(|(partition, (offset, _))| (*partition, At::Offset(*offset)));
        let answer = match self.lookup.list(starts) {
            Ok(list) => self.consumer.seek_partitions(list, SEEK_CALL),
            Err(error) => return self.fail(error),
        };
        let elements = match answer {
            Ok(list) => native::elements(&list),
            Err(error) => return debug!(%error, "positioning is tried again"),
        };
        let mut ready = Vec::new();
        for element in elements {
            let Some((offset, since)) = seeking.get(&element.partition).copied() else { continue };
            match element.error {
                None => {
                    self.flow.flows(element.partition, offset);
                    ready.push(element.partition);
                }
                Some(code) if now.duration_since(since) > SEEK_DEADLINE => {
                    self.flow.hold(element.partition);
                    let (topic, reason) = (self.spec.topic.clone(), code.to_string());
                    self.fail(SourceError::Seek { topic, partition: element.partition, offset, reason });
                }
                Some(code) => debug!(partition = element.partition, %code, "not started yet; positioned again soon"),
            }
        }
        if self.room != Room::Paused {
            self.resume(&ready);
        }
    }

    /// Stops fetching; librdkafka drops what it has and later goes on behind the last record that it delivered.
    pub(super) fn pause(&self, partitions: &[Partition]) {
        self.set_paused(partitions, true);
    }

    fn resume(&self, partitions: &[Partition]) {
        if !partitions.is_empty() {
            self.set_paused(partitions, false);
            self.lookup.nudge(&self.consumer, partitions);
        }
    }

    fn set_paused(&self, partitions: &[Partition], pause: bool) {
        if partitions.is_empty() {
            return;
        }
        let Ok(list) = self.lookup.list(partitions.iter().map(|partition| (*partition, At::Invalid))) else { return };
        let done = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        // Not paused costs a fetch in vain (what is not wanted is dropped), not resumed is seen by the watchdog.
        let refused = native::elements(&list).into_iter().find_map(|element| element.error);
        if done.is_err() || refused.is_some() {
            warn!(code = "source-pause", ?done, ?refused, pause, "partitions could not be paused or resumed");
        }
    }

    /// A partition has ended in `auto.offset.reset`: librdkafka does not say which, and it stays silent for ever.
    pub(super) fn find_out_of_range(&mut self, reason: &str) {
        let flowing = self.flow.flowing();
        let partitions: Vec<_> = flowing.keys().copied().collect();
        let log = match self.lookup.log(&self.consumer, &partitions) {
            Ok(log) => log,
            Err(error) => return self.fail(error),
        };
        let topic = self.spec.topic.clone();
        let outside = flowing.into_iter().find_map(|(partition, position)| {
            let log = *log.get(&partition)?;
            (position < log.start || position > log.end).then_some((partition, position, log))
        });
        self.fail(match outside {
            Some((partition, position, log)) => SourceError::OutOfRange { topic, partition, position, log },
            None => SourceError::PositionRefused { topic, reason: reason.to_owned() },
        });
    }

    /// The client is beyond repair; there will be no callback.
    fn fatal(&mut self, code: RDKafkaErrorCode) {
        let reason = self.consumer.client().fatal_error().map_or_else(|| code.to_string(), |(_, reason)| reason);
        self.membership.mark_gone(reason.clone());
        self.lose(&reason);
        self.fail(if FENCED.contains(&code) {
            SourceError::Fenced { group: self.spec.group.clone(), reason }
        } else {
            SourceError::Fatal { reason }
        });
    }
}

const FENCED: &[RDKafkaErrorCode] =
    &[RDKafkaErrorCode::FencedInstanceId, RDKafkaErrorCode::UnreleasedInstanceId, RDKafkaErrorCode::Fenced];

/// Copies a record into the open chunk, if it is the next of its partition. True if that filled the chunk.
fn take(message: &BorrowedMessage<'_>, flow: &mut Flow, filling: &mut Filling, now: Instant) -> bool {
    let (partition, offset) = (message.partition(), message.offset());
    if !flow.accepts(partition, offset) {
        return false;
    }
    let leader_epoch = native::leader_epoch(message);
    let head = RecordHead { partition, offset, leader_epoch, timestamp_ms: message.timestamp().to_millis() };
    filling.push(head, message.key(), message.payload(), native::headers(message), now)
}

/// The client has read to the end of a partition: over control records and aborted transactions, too.
fn note_end(
    consumer: &BaseConsumer<Context>,
    topic: &str,
    partition: Partition,
    flow: &mut Flow,
    filling: &mut Filling,
    now: Instant,
) {
    if let Some(position) = native::position(consumer, topic, partition)
        && flow.reached(partition, position)
    {
        filling.reached(partition, position, now);
    }
}
