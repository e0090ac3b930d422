//! Positions are stored: the guard, ONE OffsetCommit, the wait for what passes, the read-back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use tokio::sync::oneshot;
use tracing::{debug, warn};

use super::Worker;
use crate::domain::Partition;
use crate::domain::{PositionToStore, RecordAnswer, Stored};
use crate::source::recording::{COUNTERS, PASSING, Recorded, Recording, SENT_ONCE, answered, sort};
use crate::source::{SourceError, Tenure};
use crate::telemetry::STEPS;

/// Pause before a failed read-back is repeated.
const READ_AGAIN: Duration = Duration::from_millis(200);

impl Worker {
    /// Brings the commit in progress forward, then the next one.
    pub(super) fn go_on_recording(&mut self, now: Instant) {
        loop {
            if let Some((recording, reply)) = self.recording.take() {
                match self.finish(recording, now) {
                    Ok(recorded) => {
                        let _gone = reply.send(recorded);
                    }
                    Err(recording) => {
                        self.recording = Some((recording, reply));
                        return;
                    }
                }
            }
            let Some((commits, seen, reply)) = self.to_record.pop_front() else { return };
            self.begin(&commits, seen, reply);
        }
    }

    /// The guard of rule 2, and the commit.
    fn begin(&mut self, commits: &[PositionToStore], seen: Tenure, reply: oneshot::Sender<Recorded>) {
        let refuse = |reply: oneshot::Sender<Recorded>, answer| {
            let _gone = reply.send(Recorded::nothing(answer));
        };
        let generation = match self.check_membership() {
            Ok(generation) => generation,
            Err(why) => return refuse(reply, RecordAnswer::Gone(why)),
        };
        let Some(tenures) = self.membership.tenures(commits.iter().map(|commit| commit.partition)) else {
            return refuse(reply, RecordAnswer::NotOwned);
        };
        // Decided before a partition left and came back: its position may have moved under another owner.
        if tenures.values().any(|tenure| *tenure > seen) {
            return refuse(reply, RecordAnswer::NotOwned);
        }
        let list = match self.commit_list(commits) {
            Ok(list) => list,
            Err(error) => return refuse(reply, RecordAnswer::Refused(error.to_string())),
        };
        let point = if self.leaving.is_some() { "source.commit-while-leaving" } else { "source.commit" };
        tracing::trace!(target: STEPS, point);
        let began = Instant::now();
        let result = self.consumer.commit(&list, CommitMode::Sync);
        let ended = Instant::now();
        tracing::trace!(target: STEPS, point = "source.committed");

        let answered = answered(&result);
        let answer = sort(result);
        if let RecordAnswer::Gone(why) = &answer {
            self.membership.mark_gone(why.clone());
        }
        let doubtful = if answer == RecordAnswer::Stored && ended - began < SENT_ONCE {
            self.copies.sent_once();
            Some(false)
        } else {
            debug!(?answer, milliseconds = (ended - began).as_millis(), "an OffsetCommit that is looked at closely");
            None
        };
        let recording = Recording { tenures, answer, answered, generation, ended, doubtful, read_again: ended };
        self.recording = Some((recording, reply));
    }

    fn commit_list(&self, commits: &[PositionToStore]) -> Result<TopicPartitionList, SourceError> {
        let mut list = self.lookup.list(std::iter::empty())?;
        for commit in commits {
            let mut element = list.add_partition(&self.spec.topic, commit.partition);
            element.set_offset(At::Offset(commit.offset)).map_err(|error| SourceError::Unanswered {
                what: "a position to store",
                topic: self.spec.topic.clone(),
                reason: error.to_string(),
            })?;
            element.set_metadata(&commit.metadata);
        }
        Ok(list)
    }

    /// What is to be said of a commit, if it can be said yet.
    fn finish(&mut self, mut recording: Recording, now: Instant) -> Result<Recorded, Recording> {
        if recording.doubtful.is_none() {
            if self.counters_at > recording.ended {
                recording.doubtful = Some(self.copies.doubtful(recording.answered));
            } else if now.duration_since(recording.ended) > COUNTERS {
                warn!(code = "counters-missing", topic = %self.spec.topic,
                    "librdkafka does not say how often an OffsetCommit was sent; taken for doubtful");
                recording.doubtful = Some(true);
            } else {
                return Err(recording);
            }
        }
        if matches!(recording.answer, RecordAnswer::Passing(_)) && !self.has_passed(&recording, now) {
            return Err(recording);
        }
        if now < recording.read_again {
            return Err(recording);
        }
        match self.read_back(&recording) {
            Some(read) => {
                tracing::trace!(target: STEPS, point = "source.read-back");
                let doubtful = recording.doubtful.unwrap_or(true);
                Ok(Recorded { answer: recording.answer, read, doubtful })
            }
            None => {
                recording.read_again = now + READ_AGAIN;
                Err(recording)
            }
        }
    }

    /// A passing rebalance is over when the generation has risen or the membership is lost. One that takes partitions
    /// from us ends the wait, too: they are ours until we give them back, and that waits for the pipeline, which waits
    /// for this answer.
    fn has_passed(&mut self, recording: &Recording, now: Instant) -> bool {
        self.leaving.is_some()
            || now.duration_since(recording.ended) > PASSING
            || self.check_membership().map_or(true, |generation| generation > recording.generation)
            || self.membership.still(&recording.tenures).is_empty()
    }

    /// Reads what is still ours; `None` if that failed, which says nothing.
    fn read_back(&mut self, recording: &Recording) -> Option<BTreeMap<Partition, Option<Stored>>> {
        let still = self.membership.still(&recording.tenures);
        if still.is_empty() || self.check_membership().is_err() {
            return Some(BTreeMap::new());
        }
        let read = self.lookup.stored(&self.consumer, &still);
        // Lost while it was read: a successor may have written in between.
        if self.check_membership().is_err() {
            return Some(BTreeMap::new());
        }
        read.inspect_err(|error| debug!(%error, "the read-back is repeated")).ok()
    }
}
