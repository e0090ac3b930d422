//! Steps 1 and 11: what the group has stored for the partitions that we own, and where those start that have nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Effect, Notice, Stop, StopCode, Ticket};
use super::metadata::{Metadata, Origin, OriginStart, Unreadable};
use super::protocol::{Protocol, Standing, StartWish};
use crate::domain::{Offset, Partition, Range, Ranges, Stored};

/// A read of positions under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ReadInFlight {
    ticket: Ticket,
    /// Assignment of each partition asked for: an answer for an earlier assignment proves nothing.
    epochs: BTreeMap<Partition, u64>,
    /// The settlement of what is found begins with this answer.
    settles: bool,
}

/// A resolution of starts under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ResolveInFlight {
    ticket: Ticket,
    /// Assignment of each partition asked for.
    epochs: BTreeMap<Partition, u64>,
}

/// What the engine remembers of this pipeline; asked once, when the group has no position at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Labels {
    Unasked,
    Asked(Ticket),
    Nothing,
    Remembered(String),
}

/// What the brokers say about whom a position belongs to; `None` where they say nothing.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) topic_id: Option<String>,
    pub(super) cluster: Option<String>,
}

/// What a stored position means for its partition.
enum Finding {
    Ready,
    Unsettled,
    Doubted { origin: Origin, start: OriginStart },
    Start { origin: Origin, start: OriginStart, fresh: bool },
}

impl Protocol {
    /// Reads the positions of partitions that were assigned, or whose batch was dropped past its intent.
    pub(super) fn read_unread(&mut self) {
        let unread = self.with_standing(Standing::Unread);
        if self.reading.is_none() && self.call.is_none() && !unread.is_empty() && !self.is_draining() {
            self.read_positions(unread, false);
        }
    }

    pub(super) fn read_positions(&mut self, partitions: BTreeSet<Partition>, settles: bool) {
        let ticket = self.ticket();
        let epochs = self.epochs_of(&partitions);
        self.reading = Some(ReadInFlight { ticket, epochs, settles });
        self.emit(Effect::ReadPositions { ticket, partitions });
    }

    fn epochs_of(&self, partitions: &BTreeSet<Partition>) -> BTreeMap<Partition, u64> {
        partitions.iter().filter_map(|p| self.owned.get(p).map(|owned| (*p, owned.epoch))).collect()
    }

    pub(super) fn with_standing(&self, standing: Standing) -> BTreeSet<Partition> {
        self.owned
            .iter()
            .filter(|(partition, owned)| owned.standing == standing && !self.leaving.contains(partition))
            .map(|(partition, _)| *partition)
            .collect()
    }

    pub(super) fn positions_read(
        &mut self,
        ticket: Ticket,
        stored: &BTreeMap<Partition, Option<Stored>>,
        log: &Ranges,
        identity: &Identity,
        now_ms: i64,
    ) {
        if self.reading.as_ref().is_none_or(|reading| reading.ticket != ticket) {
            return;
        }
        let Some(reading) = self.reading.take() else { return };
        let mut ready = BTreeMap::new();
        for (partition, epoch) in &reading.epochs {
            if self.owned.get(partition).is_none_or(|owned| owned.epoch != *epoch) {
                continue;
            }
            let log = log.get(partition).copied();
            let finding = match stored.get(partition).cloned().flatten() {
                Some(position) => self.position_found(*partition, &position, log, identity),
                None => self.position_missing(*partition, stored, identity, now_ms),
            };
            match finding {
                Err(stop) => return self.stop_now(stop),
                Ok(finding) => {
                    let Some(owned) = self.owned.get_mut(partition) else { continue };
                    owned.log = log;
                    owned.standing = match finding {
                        Finding::Ready => Standing::Ready,
                        Finding::Unsettled => Standing::Unsettled,
                        Finding::Doubted { origin, start } => {
                            owned.metadata.origin = Some(origin);
                            Standing::Doubted { start }
                        }
                        Finding::Start { origin, start, fresh } => {
                            owned.metadata.origin = Some(origin);
                            Standing::Resolving { start, fresh }
                        }
                    };
                    if owned.standing == Standing::Ready {
                        ready.insert(*partition, owned.next);
                    }
                }
            }
        }
        self.ask_for_labels();
        if self.has_unsettled() {
            self.give_way();
        }
        // A first position that is being stored meanwhile comes first; then positions are read again.
        if reading.settles && self.call.is_none() {
            self.begin_settlement(stored);
        }
        self.join(ready);
    }

    /// A position is stored: is it ours to go on from?
    fn position_found(
        &mut self,
        partition: Partition,
        position: &Stored,
        log: Option<Range>,
        identity: &Identity,
    ) -> Result<Finding, Stop> {
        let offset = position.offset;
        let topic = self.settings.topic.clone();
        let metadata = match Metadata::parse(&position.metadata) {
            Ok(metadata) => metadata,
            Err(Unreadable::Foreign) => {
                self.emit(Effect::Report(Notice::ForeignPosition { partition, offset }));
                Metadata { topic_id: identity.topic_id.clone(), ..Metadata::empty() }
            }
            Err(Unreadable::Broken) => {
                let what = format!(
                    "the metadata of the position of {topic} partition {partition} (offset {offset}) was written by a \
                     later version of this program or is damaged; it may name a load that is not settled"
                );
                return Err(Stop { code: StopCode::PositionUnreadable, what });
            }
        };
        if let Some(stop) = stranger(&topic, partition, offset, &metadata, identity) {
            return Err(stop);
        }
        if let Some(log) = log
            && (offset < log.start || offset > log.end)
        {
            return Err(out_of_log(&topic, partition, offset, log));
        }
        let Some(owned) = self.owned.get_mut(&partition) else { return Ok(Finding::Ready) };
        owned.stored = Some(offset);
        owned.next = offset;
        let unsettled = metadata.intent.is_some();
        // Noted with the next OffsetCommit where it is not yet.
        let cluster = metadata.cluster.clone().or_else(|| identity.cluster.clone());
        owned.metadata = Metadata { cluster, ..metadata };
        Ok(if unsettled { Finding::Unsettled } else { Finding::Ready })
    }

    /// No position is stored (rule 11): the pipeline's own start if it has none at all, its origin's start for a
    /// partition of that time, the first record for a partition that came later.
    fn position_missing(
        &mut self,
        partition: Partition,
        stored: &BTreeMap<Partition, Option<Stored>>,
        identity: &Identity,
        now_ms: i64,
    ) -> Result<Finding, Stop> {
        let known = stored.values().flatten().find_map(|position| Metadata::parse(&position.metadata).ok()?.origin);
        let count = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        let finding = match known {
            Some(origin) if u32::try_from(partition).is_ok_and(|number| number < origin.partitions) => {
                Finding::Start { origin, start: origin.start, fresh: false }
            }
            Some(origin) => Finding::Start { origin, start: OriginStart::Earliest, fresh: false },
            None => {
                let start = match self.settings.start {
                    StartWish::Earliest => OriginStart::Earliest,
                    StartWish::Latest => OriginStart::Latest(now_ms),
                    StartWish::Timestamp(ms) => OriginStart::Timestamp(ms),
                    StartWish::Offsets => OriginStart::Offsets,
                    StartWish::Committed => {
                        let what = format!(
                            "the group has no position for topic {} partition {partition}, and start = \"committed\" \
                             allows no other; nothing was loaded",
                            self.settings.topic
                        );
                        return Err(Stop { code: StopCode::NoPosition, what });
                    }
                };
                let origin = Origin { start, partitions: count };
                let nobody_has_one = stored.values().flatten().next().is_none();
                match &self.labels {
                    Labels::Remembered(label) if nobody_has_one => return Err(self.positions_lost(label)),
                    Labels::Unasked | Labels::Asked(_) if nobody_has_one => Finding::Doubted { origin, start },
                    Labels::Unasked | Labels::Asked(_) | Labels::Nothing | Labels::Remembered(_) => {
                        Finding::Start { origin, start, fresh: true }
                    }
                }
            }
        };
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.stored = None;
            let Identity { topic_id, cluster } = identity.clone();
            owned.metadata = Metadata { topic_id, cluster, ..Metadata::empty() };
        }
        Ok(finding)
    }

    fn ask_for_labels(&mut self) {
        let doubted = self.owned.values().any(|owned| matches!(owned.standing, Standing::Doubted { .. }));
        if doubted && matches!(self.labels, Labels::Unasked) {
            let ticket = self.ticket();
            self.labels = Labels::Asked(ticket);
            self.emit(Effect::LookForLabels { ticket });
        }
    }

    /// Without remembered loads the pipeline is new. With them its positions were lost, or another member has stored the
    /// first ones just now: a position is always stored before the first load, so reading again tells the two apart.
    pub(super) fn labels_found(&mut self, ticket: Ticket, remembered: Option<String>) {
        if !matches!(self.labels, Labels::Asked(asked) if asked == ticket) {
            return;
        }
        let is_new = remembered.is_none();
        self.labels = remembered.map_or(Labels::Nothing, Labels::Remembered);
        for owned in self.owned.values_mut() {
            if let Standing::Doubted { start } = owned.standing {
                owned.standing = if is_new { Standing::Resolving { start, fresh: true } } else { Standing::Unread };
            }
        }
    }

    fn positions_lost(&self, label: &str) -> Stop {
        let what = format!(
            "topic {}: the group has no position, but the engine remembers a load of this pipeline (label {label}): the \
             positions have expired or were deleted, and its start would load rows again or leave some out. Nothing was read",
            self.settings.topic
        );
        Stop { code: StopCode::PositionsLost, what }
    }

    /// Resolves starts, and stores what is resolved, before anything is read.
    pub(super) fn store_first_positions(&mut self) {
        if self.is_draining() {
            return;
        }
        if self.resolving.is_none() {
            let wanted = self.owned.iter().find_map(|(partition, owned)| match owned.standing {
                Standing::Resolving { start, fresh } if !self.leaving.contains(partition) => Some((start, fresh)),
                Standing::Resolving { .. }
                | Standing::Doubted { .. }
                | Standing::Unread
                | Standing::First
                | Standing::Unsettled
                | Standing::Ready => None,
            });
            if let Some((start, fresh)) = wanted {
                let ticket = self.ticket();
                let partitions = self.with_standing(Standing::Resolving { start, fresh });
                self.resolving = Some(ResolveInFlight { ticket, epochs: self.epochs_of(&partitions) });
                self.emit(Effect::Resolve { ticket, start, fresh, partitions });
            }
        }
        let first = self.with_standing(Standing::First);
        // A settlement ends with a call of its own, whenever the engine answers: there is never more than one.
        if self.call.is_none() && self.settlement.is_none() && !first.is_empty() {
            self.record_first(&first);
        }
    }

    pub(super) fn resolved(&mut self, ticket: Ticket, starts: &BTreeMap<Partition, Offset>) {
        if self.resolving.as_ref().is_none_or(|resolving| resolving.ticket != ticket) {
            return;
        }
        let Some(resolving) = self.resolving.take() else { return };
        for (partition, start) in starts {
            let Some(owned) = self.owned.get_mut(partition) else { continue };
            if resolving.epochs.get(partition) != Some(&owned.epoch)
                || !matches!(owned.standing, Standing::Resolving { .. })
            {
                continue;
            }
            if let Some(log) = owned.log
                && (*start < log.start || *start > log.end.max(log.start))
                && owned.metadata.origin.is_some_and(|origin| origin.start == OriginStart::Offsets)
            {
                let stop = out_of_log(&self.settings.topic, *partition, *start, log);
                return self.stop_now(stop);
            }
            owned.next = *start;
            owned.standing = Standing::First;
        }
    }
}

/// Rule 12: the position belongs to another cluster, or to another topic of the same name.
fn stranger(
    topic: &str,
    partition: Partition,
    offset: Offset,
    metadata: &Metadata,
    identity: &Identity,
) -> Option<Stop> {
    if let (Some(then), Some(now)) = (&metadata.cluster, &identity.cluster)
        && then != now
    {
        let what = format!(
            "topic {topic}: the position of partition {partition} (offset {offset}) was stored in Kafka cluster {then}, the \
             brokers belong to cluster {now}, whose offsets mean other records; nothing was read and no position was stored"
        );
        return Some(Stop { code: StopCode::ClusterChanged, what });
    }
    let (then, now) = (metadata.topic_id.as_deref()?, identity.topic_id.as_deref()?);
    let what = format!(
        "topic {topic} was deleted and created again: the position of partition {partition} (offset {offset}) belongs to \
         topic id {then}, the topic's id is {now}"
    );
    (then != now).then_some(Stop { code: StopCode::TopicChanged, what })
}

fn out_of_log(topic: &str, partition: Partition, offset: Offset, log: Range) -> Stop {
    let what = if offset < log.start {
        format!(
            "topic {topic} partition {partition}: position {offset} lies before the log, which begins at {}: retention has \
             removed the records {}, and they were not loaded",
            log.start,
            Range { start: offset, end: log.start }
        )
    } else {
        format!(
            "topic {topic} partition {partition}: position {offset} lies behind the end of the log ({}): the log was \
             truncated or the topic created again",
            log.end
        )
    };
    Stop { code: StopCode::PositionOutOfLog, what }
}
