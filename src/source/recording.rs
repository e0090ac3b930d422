//! One OffsetCommit and what becomes of it (`docs/exactly-once.md`, steps 6 and 8, rule 4).
//!
//! The broker's answer is a hint, the read-back is the truth: partitions of a request are judged one by one and no
//! answer tells which were stored.
//!
//! **Copies.** librdkafka may send a request again by itself when a connection breaks or an answer is late. The first
//! copy can then still arrive, after newer commits. The client's counters tell how many OffsetCommits were sent in
//! full, so a commit that was sent more than once, or sent and never answered, is *doubtful*. The counters come once
//! a second; they are waited for only after a commit that was slow enough for a second copy, or not clean. Not seen: a
//! copy made below librdkafka (a proxy that replays requests), and a counter that librdkafka dropped with a broker that
//! left the cluster in that very second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::client::RETRY_BACKOFF_MS;
use super::context::Statistics;
use super::membership::Tenures;
use crate::domain::{Partition, RecordAnswer, Stored};

/// A commit answered faster than this can't have been sent twice: half of librdkafka's pause before a second copy
/// (which it shortens by a fifth at most).
pub(super) const SENT_ONCE: Duration = Duration::from_millis(RETRY_BACKOFF_MS as u64 / 2);

/// Longest wait for counters that are newer than a commit.
pub(super) const COUNTERS: Duration = Duration::from_secs(4);

/// Longest wait for a passing rebalance to be over; then the read-back decides without it. The slowest member has
/// `max.poll.interval.ms` for its part.
pub(super) const PASSING: Duration = Duration::from_secs(60);

/// What became of a [`record`](super::Control::record).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The broker's answer. A hint; `read` decides.
    pub answer: RecordAnswer,
    /// Read back after the answer: the partitions of the call that have been ours without interruption since it began.
    /// Missing ones are gone, even if they have come back.
    pub read: BTreeMap<Partition, Option<Stored>>,
    /// A copy of the request may still arrive (rule 4): record nothing more under this membership, `rejoin`.
    pub doubtful: bool,
}

impl Recorded {
    /// Nothing was sent, or nothing is known.
    pub fn nothing(answer: RecordAnswer) -> Self {
        Self { answer, read: BTreeMap::new(), doubtful: false }
    }
}

/// Sorts the answer to an OffsetCommit (`docs/exactly-once.md`, after the table of steps).
pub(super) fn sort(result: KafkaResult<()>) -> RecordAnswer {
    let error = match result {
        Ok(()) => return RecordAnswer::Stored,
        Err(error) => error,
    };
    let Some(code) = error.rdkafka_error_code() else { return RecordAnswer::Unclear(error.to_string()) };
    let why = code.to_string();
    if PASSING_CODES.contains(&code) {
        RecordAnswer::Passing(why)
    } else if GONE_CODES.contains(&code) {
        RecordAnswer::Gone(why)
    } else if REFUSED_CODES.contains(&code) {
        RecordAnswer::Refused(why)
    } else {
        RecordAnswer::Unclear(why)
    }
}

const PASSING_CODES: &[RDKafkaErrorCode] =
    &[RDKafkaErrorCode::IllegalGeneration, RDKafkaErrorCode::StaleMemberEpoch, RDKafkaErrorCode::RebalanceInProgress];

const GONE_CODES: &[RDKafkaErrorCode] = &[
    RDKafkaErrorCode::UnknownMemberId,
    RDKafkaErrorCode::FencedInstanceId,
    RDKafkaErrorCode::FencedMemberEpoch,
    RDKafkaErrorCode::Fenced,
    RDKafkaErrorCode::Fatal,
    RDKafkaErrorCode::AssignmentLost,
    RDKafkaErrorCode::UnknownGroup,
];

const REFUSED_CODES: &[RDKafkaErrorCode] = &[
    RDKafkaErrorCode::OffsetMetadataTooLarge,
    RDKafkaErrorCode::InvalidCommitOffsetSize,
    RDKafkaErrorCode::MessageSizeTooLarge,
    RDKafkaErrorCode::InvalidGroupId,
    RDKafkaErrorCode::UnknownTopicOrPartition,
    RDKafkaErrorCode::TopicAuthorizationFailed,
    RDKafkaErrorCode::GroupAuthorizationFailed,
    RDKafkaErrorCode::ClusterAuthorizationFailed,
];

/// True if the answer came from a broker; librdkafka's own errors have negative numbers.
pub(super) fn answered(result: &KafkaResult<()>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => broker_code(error).is_some(),
    }
}

fn broker_code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    error.rdkafka_error_code().filter(|code| (*code as i32) > 0)
}

/// Counts the OffsetCommits that left the client.
#[derive(Debug, Default)]
pub(super) struct Copies {
    sent: BTreeMap<String, u64>,
    /// Sent ones that earlier commits account for.
    settled: u64,
}

impl Copies {
    /// Takes over newer counters.
    pub(super) fn count(&mut self, statistics: &Statistics) {
        for (broker, counters) in &statistics.brokers {
            let now = counters.req.get("OffsetCommit").copied().unwrap_or(0);
            let sent = self.sent.entry(broker.clone()).or_default();
            *sent = now.max(*sent);
        }
    }

    /// A commit was sent once, as its time shows.
    pub(super) fn sent_once(&mut self) {
        self.settled += 1;
    }

    /// Whether a copy of the last commit may be on the way; the counters are newer than its end. `answered`: a broker
    /// gave the answer.
    pub(super) fn doubtful(&mut self, answered: bool) -> bool {
        let total: u64 = self.sent.values().sum();
        let copies = total.checked_sub(self.settled);
        self.settled = self.settled.max(total);
        copies.is_none_or(|copies| copies > u64::from(answered))
    }
}

/// An OffsetCommit that has been answered and is not finished yet.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) tenures: Tenures,
    pub(super) answer: RecordAnswer,
    pub(super) answered: bool,
    /// Generation under which it was sent.
    pub(super) generation: i32,
    pub(super) ended: Instant,
    /// `None` until the counters have told.
    pub(super) doubtful: Option<bool>,
    pub(super) read_again: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::context::BrokerStatistics;

    fn sorted(code: RDKafkaErrorCode) -> RecordAnswer {
        sort(Err(KafkaError::ConsumerCommit(code)))
    }

    #[test]
    fn the_three_kinds_of_refusal_are_told_apart() {
        assert_eq!(sort(Ok(())), RecordAnswer::Stored);
        for code in PASSING_CODES {
            assert!(matches!(sorted(*code), RecordAnswer::Passing(_)), "{code}");
        }
        for code in GONE_CODES {
            assert!(matches!(sorted(*code), RecordAnswer::Gone(_)), "{code}");
        }
        for code in REFUSED_CODES {
            assert!(matches!(sorted(*code), RecordAnswer::Refused(_)), "{code}");
        }
        for code in [RDKafkaErrorCode::OperationTimedOut, RDKafkaErrorCode::CoordinatorNotAvailable] {
            assert!(matches!(sorted(code), RecordAnswer::Unclear(_)), "{code}");
        }
    }

    #[test]
    fn only_a_brokers_code_is_an_answer() {
        assert!(answered(&Ok(())));
        assert!(answered(&Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::UnknownMemberId))));
        assert!(!answered(&Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::OperationTimedOut))));
    }

    fn counters(coordinator: u64) -> Statistics {
        let req = BTreeMap::from([("OffsetCommit".to_owned(), coordinator), ("Fetch".to_owned(), 99)]);
        let brokers = BTreeMap::from([
            ("GroupCoordinator".to_owned(), BrokerStatistics { state: "UP".into(), req }),
            ("b:1/1".to_owned(), BrokerStatistics::default()),
        ]);
        Statistics { age: 0, brokers }
    }

    #[test]
    fn one_copy_and_an_answer_leave_no_doubt() {
        let mut copies = Copies::default();
        copies.sent_once();
        copies.count(&counters(2));
        assert!(!copies.doubtful(true));
    }

    #[test]
    fn a_second_copy_or_a_missing_answer_is_doubtful() {
        let mut copies = Copies::default();
        copies.count(&counters(2));
        assert!(copies.doubtful(true), "sent twice");
        copies.count(&counters(3));
        assert!(copies.doubtful(false), "sent, never answered");
        assert!(!copies.doubtful(false), "never sent");
    }

    #[test]
    fn doubt_does_not_stick_to_the_next_commit() {
        let mut copies = Copies::default();
        copies.count(&counters(3));
        assert!(copies.doubtful(true));
        copies.sent_once();
        copies.count(&counters(5));
        assert!(!copies.doubtful(true));
    }

    #[test]
    fn counters_that_are_behind_are_doubtful() {
        let mut copies = Copies::default();
        copies.sent_once();
        copies.sent_once();
        copies.count(&counters(1));
        assert!(copies.doubtful(true));
    }
}
