//! What the group gives and takes, and what else librdkafka says.
//!
//! The group waits for our call to unassign, not for a callback to return. So while partitions leave, the thread goes
//! on as ever (records of the others, commits of the leaving ones) until the pipeline has let go of them.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::Offset as At;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::Worker;
use crate::domain::Partition;
use crate::source::context::{self, Notice, Statistics};
use crate::source::event::SourceEvent;
use crate::source::lookup::{DENIED, MISSING};
use crate::source::{SourceError, native};
use crate::telemetry::STEPS;

/// Partitions that leave, until the pipeline lets them go.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) partitions: Vec<Partition>,
    released: oneshot::Receiver<()>,
    deadline: Instant,
}

impl Worker {
    pub(super) fn take_notices(&mut self, now: Instant) {
        while let Some(notice) = self.consumer.context().next_notice() {
            match notice {
                Notice::Assign(partitions) => self.assign(&partitions),
                Notice::Revoke(partitions) => self.revoke(partitions, now),
                Notice::Trouble { code, reason } => self.trouble(code, reason),
                Notice::Statistics(statistics) => self.count(&statistics),
            }
        }
    }

    /// Accepts partitions without reading them; `fill` or `join` positions them.
    ///
    /// They are paused *before* they are assigned, at an absolute offset that is never fetched. A logical offset (end,
    /// stored) would make librdkafka ask the broker, and a seek meanwhile would be forgotten: on an outdated answer
    /// librdkafka 2.12 asks once more and starts at what it is told, silently skipping records.
    fn assign(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.flow.hold(*partition);
            native::make_known(&self.consumer, &self.spec.topic, *partition);
        }
        self.pause(partitions);
        let assigned = self
            .lookup
            .list(partitions.iter().map(|partition| (*partition, At::Offset(0))))
            .map(|list| context::assign(&self.consumer, &list));
        match assigned {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return self.fail(SourceError::Fatal { reason: error.to_string() }),
            Err(error) => return self.fail(error),
        }
        let lost = self.membership.assigned(partitions, native::identity(&self.consumer));
        if !lost.is_empty() {
            let why = "the group gave this process another member id".to_owned();
            self.tell(SourceEvent::Lost { partitions: lost, why });
        }
        self.reported.clear();
        info!(topic = %self.spec.topic, ?partitions, "assigned");
        self.tell(SourceEvent::Assigned { partitions: partitions.to_vec(), tenure: self.membership.tenure() });
    }

    fn revoke(&mut self, partitions: Vec<Partition>, now: Instant) {
        for partition in &partitions {
            self.flow.hold(*partition);
        }
        if let Err(why) = self.check_membership() {
            self.leaving = None;
            self.lose(&why);
            return self.give_back(&partitions);
        }
        let (release, released) = oneshot::channel();
        let deadline = now + self.spec.release_deadline.min(self.half_a_poll_interval());
        info!(topic = %self.spec.topic, ?partitions, "leaving");
        self.leaving = Some(Leaving { partitions: partitions.clone(), released, deadline });
        self.tell(SourceEvent::Revoking { partitions, release });
        tracing::trace!(target: STEPS, point = "source.revoking");
    }

    /// Ends a revocation when the pipeline has let go, or has not in time.
    pub(super) fn let_go(&mut self, now: Instant) {
        let Some(leaving) = &mut self.leaving else { return };
        let released = !matches!(leaving.released.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        let partitions = leaving.partitions.clone();
        if let Err(why) = self.check_membership() {
            self.leaving = None;
            self.lose(&why);
            return self.give_back(&partitions);
        }
        let late = self.leaving.as_ref().is_some_and(|leaving| now >= leaving.deadline);
        if late && !released {
            warn!(code = "release-late", topic = %self.spec.topic, ?partitions,
                "partitions leave without their last position; the next owner settles and reads them again");
        }
        if late || released {
            self.leaving = None;
            self.give_back(&partitions);
        }
    }

    /// From here on nothing is committed for `partitions`; then the group hears of it.
    fn give_back(&mut self, partitions: &[Partition]) {
        self.membership.released(partitions);
        tracing::trace!(target: STEPS, point = "source.give-back");
        let list = self.lookup.list(partitions.iter().map(|partition| (*partition, At::Invalid)));
        if let Ok(Err(error)) = list.map(|list| context::unassign(&self.consumer, &list)) {
            debug!(%error, "the client has forgotten these partitions already");
        }
    }

    /// Answers the group at once where it waits for us: the membership is being closed.
    pub(super) fn answer_open_rebalances(&mut self) {
        if let Some(leaving) = self.leaving.take() {
            self.give_back(&leaving.partitions);
        }
        while let Some(notice) = self.consumer.context().next_notice() {
            match notice {
                Notice::Revoke(partitions) => self.give_back(&partitions),
                Notice::Assign(_) => {
                    let nothing = rdkafka::TopicPartitionList::new();
                    if let Err(error) = context::assign(&self.consumer, &nothing) {
                        debug!(%error, "while closing");
                    }
                }
                Notice::Trouble { .. } | Notice::Statistics(_) => {}
            }
        }
    }

    /// Everything owned is lost.
    pub(super) fn lose(&mut self, why: &str) {
        let partitions = self.membership.take_all();
        self.flow.hold_all();
        self.filling.discard();
        if !partitions.is_empty() {
            self.tell(SourceEvent::Lost { partitions, why: why.to_owned() });
        }
    }

    /// Reads member id and generation anew, and asks whether the membership still holds.
    pub(super) fn check_membership(&mut self) -> Result<i32, String> {
        let (now, lost) = (native::identity(&self.consumer), self.consumer.assignment_lost());
        self.membership.check(now, lost)
    }

    /// librdkafka expels a member that has not polled for `max.poll.interval.ms` (5 minutes by default).
    fn half_a_poll_interval(&self) -> Duration {
        let configured = self.spec.kafka.properties.get("max.poll.interval.ms");
        let milliseconds = configured.and_then(|text| text.parse().ok()).unwrap_or(300_000_u64);
        Duration::from_millis(milliseconds / 2)
    }

    fn trouble(&mut self, code: RDKafkaErrorCode, reason: String) {
        debug!(%code, %reason, "librdkafka reports");
        if code == RDKafkaErrorCode::AllBrokersDown {
            if !self.away {
                self.away = true;
                self.tell(SourceEvent::Away { why: reason });
            }
        } else if code == RDKafkaErrorCode::PollExceeded {
            self.membership.mark_gone(reason);
        } else if RESET.contains(&code) {
            self.find_out_of_range(&reason);
        } else if MISSING.contains(&code) {
            self.fail(SourceError::TopicMissing { topic: self.spec.topic.clone(), reason });
        } else if DENIED.contains(&code) {
            let (topic, group) = (self.spec.topic.clone(), self.spec.group.clone());
            self.fail(SourceError::Denied { topic, group, reason });
        }
    }

    fn count(&mut self, statistics: &Statistics) {
        self.copies.count(statistics);
        self.counters_at = self.born + Duration::from_micros(statistics.age);
        if self.away && statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.away = false;
            self.tell(SourceEvent::Back);
        }
    }
}

/// The position is not in the log.
const RESET: &[RDKafkaErrorCode] =
    &[RDKafkaErrorCode::AutoOffsetReset, RDKafkaErrorCode::OffsetOutOfRange, RDKafkaErrorCode::LogTruncation];
