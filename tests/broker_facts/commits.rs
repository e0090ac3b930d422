//! What a broker stores, and what it does not look at.

use std::collections::BTreeMap;

use loadlock::commit::metadata::METADATA_MAX_TOTAL;
use loadlock::source::{PositionToStore, RecordAnswer};
use rdkafka::error::RDKafkaErrorCode;

use crate::kafka::{COOPERATIVE, Place, stored};
use crate::raw::Raw;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_is_counted_in_characters() {
    let Some(place) = Place::new("characters", 1).await else { return };
    let mut member = place.member(COOPERATIVE);
    member.owns(1).await;
    let longest = "é".repeat(4096);
    let recorded = member.record(&[(0, 1)], &longest).await;
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(1, &longest))]));
    let longer = member.record(&[(0, 2)], &"é".repeat(4097)).await;
    assert_eq!(longer.answer, RecordAnswer::Refused(RDKafkaErrorCode::OffsetMetadataTooLarge.to_string()));
    assert_eq!(longer.read, BTreeMap::from([(0, stored(1, &longest))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_not_there_leaves_a_commit_half_stored() {
    let Some(place) = Place::new("half", 2).await else { return };
    let raw = Raw::member(&place.brokers, &place.topic, &place.group, COOPERATIVE);
    raw.owns(2);
    let refused = raw.commit(&[(0, 5), (77, 5), (1, 6)], "half");
    assert_eq!(refused, Err(RDKafkaErrorCode::UnknownTopicOrPartition));
    assert_eq!((raw.stored(0), raw.stored(1)), (stored(5, "half"), stored(6, "half")));
}

/// A broker writes the positions of one OffsetCommit in one piece, into a topic that takes 1 MiB at once. Kafka 3.9 says
/// that the size is the reason, 4.1 says nothing that could be told from a passing fault: our bound has to be enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_beyond_1_mib_is_refused_whole_and_our_bound_stays_below() {
    const PARTITIONS: i32 = 270;
    let Some(place) = Place::new("large", PARTITIONS).await else { return };
    let mut member = place.member(COOPERATIVE);
    member.owns(PARTITIONS as usize).await;
    let all = |metadata: &str| -> Vec<_> {
        let one = |partition| PositionToStore { partition, offset: 1, metadata: metadata.to_owned() };
        (0..PARTITIONS).map(one).collect()
    };

    let refused = member.source.control.record(all(&"x".repeat(4000)), member.tenure).await;
    let by_name = RecordAnswer::Refused(RDKafkaErrorCode::InvalidCommitOffsetSize.to_string());
    let nameless = RecordAnswer::Unclear(RDKafkaErrorCode::Unknown.to_string());
    assert!([by_name, nameless].contains(&refused.answer), "{:?}", refused.answer);
    assert_eq!(refused.read.len(), PARTITIONS as usize);
    assert!(refused.read.values().all(Option::is_none), "all or nothing");

    let most = "x".repeat(METADATA_MAX_TOTAL / PARTITIONS as usize);
    let accepted = member.source.control.record(all(&most), member.tenure).await;
    assert_eq!(accepted.answer, RecordAnswer::Stored);
    assert!(accepted.read.values().all(|read| *read == stored(1, &most)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_stores_positions_in_an_empty_group_only() {
    let Some(place) = Place::new("stranger", 1).await else { return };
    let stranger = Raw::stranger(&place.brokers, &place.topic, &place.group);
    for (_, protocol) in crate::protocols(&place, "stranger").await {
        let member = Raw::member(&place.brokers, &place.topic, &place.group, protocol);
        member.owns(1);
        member.commit(&[(0, 3)], "member").expect("stored");
        assert_eq!(stranger.commit(&[(0, 9)], "stranger"), Err(RDKafkaErrorCode::UnknownMemberId));
        assert_eq!(stranger.stored(0), stored(3, "member"));
        drop(member);
        stranger.commit(&[(0, 4)], "stranger").expect("nobody is there to be fenced");
        assert_eq!(stranger.stored(0), stored(4, "stranger"), "and the note beside the position is gone");
    }
}

/// Rule 2 has no second line of defence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_checks_neither_ownership_nor_offset() {
    let Some(place) = Place::new("unchecked", 2).await else { return };
    place.writer().send(0, 10);
    for (name, protocol) in crate::protocols(&place, "unchecked").await {
        let one = Raw::member(&place.brokers, &place.topic, &place.group, protocol);
        one.owns(2);
        let other = Raw::member(&place.brokers, &place.topic, &place.group, protocol);
        let theirs = other.until("a share", || {
            one.poll();
            let owned = other.owned();
            (owned.len() == 1 && one.owned().len() == 1).then(|| owned[0])
        });
        for (offset, what) in [(8, "inside"), (2, "back"), (9_999_999, "behind the end")] {
            let taken = one.until("past the rebalance", || match one.commit(&[(theirs, offset)], what) {
                Err(RDKafkaErrorCode::IllegalGeneration | RDKafkaErrorCode::StaleMemberEpoch) => None,
                answer => Some(answer),
            });
            assert_eq!(taken, Ok(()), "{name}");
            assert_eq!(other.stored(theirs), stored(offset, what), "{name}: a foreign partition");
        }
    }
}
