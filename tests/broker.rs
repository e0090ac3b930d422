//! What the source assumes of a real Kafka, and what it does with one. Needs `KAFKA_BROKERS`; each test has a topic and
//! a group of its own.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka::{
    CONSUMER, COOPERATIVE, EAGER, Member, Place, Writer, admin, create_topic, span, speaks_consumer_protocol, spec,
    stored,
};
use loadlock::config::Start;
use loadlock::domain::Range;
use loadlock::source::{Closed, RecordAnswer, SourceError, SourceEvent};
use rdkafka::TopicPartitionList;
use rdkafka::admin::AdminOptions;
use rdkafka::topic_partition_list::Offset;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_before_fill_and_everything_once_after() {
    for protocol in [EAGER, COOPERATIVE] {
        let Some(place) = Place::new("fill", 2).await else { return };
        place.writer().send(0, 1000);
        place.writer().send(1, 500);
        let mut member = place.member(protocol);
        member.owns(2).await;
        assert!(member.is_quiet().await, "read without being asked");

        member.fill(&[(0, 0), (1, 100)]);
        let mut read = member.records(1400).await;
        read.sort_unstable();
        let mut expected = span(0, 0, 1000);
        expected.extend(span(1, 100, 500));
        assert_eq!(read, expected);
        assert!(member.is_quiet().await, "read twice");
        assert_eq!(member.source.control.close(kafka::DEADLINE).await, Closed::Left);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fill_rewinds_exactly_and_holds_the_others() {
    let Some(place) = Place::new("rewind", 2).await else { return };
    place.writer().send(0, 5000);
    place.writer().send(1, 5000);
    let mut member = place.member(COOPERATIVE);
    member.owns(2).await;
    member.fill(&[(0, 0), (1, 0)]);
    member.records(3000).await;

    member.fill(&[(0, 17)]);
    assert_eq!(member.records(4983).await, span(0, 17, 5000));
    assert!(member.is_quiet().await);

    member.fill(&[(0, 4999)]);
    assert_eq!(member.records(1).await, span(0, 4999, 5000));
    member.next.insert(1, 40);
    member.fence += 1;
    member.source.control.join(member.fence, BTreeMap::from([(1, 40)]));
    assert_eq!(member.records(4960).await, span(1, 40, 5000));

    member.source.control.hold();
    place.writer().send(0, 10);
    assert!(member.is_quiet().await, "held");
}

/// A client that is positioned while it is busy with an earlier position must neither skip nor repeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filling_again_and_again_never_skips_a_record() {
    const RECORDS: i64 = 20_000;
    let Some(place) = Place::new("refill", 2).await else { return };
    place.writer().send(0, RECORDS as usize);
    place.writer().send(1, RECORDS as usize);
    for round in 0..3 {
        let mut member = place.member(COOPERATIVE);
        member.owns(2).await;
        for step in 0..40 {
            let start = (round * 7919 + step * 491) % (RECORDS - 100);
            member.fill(&[(0, start), (1, RECORDS - 100 - start)]);
            // Some are overtaken by the next before anything came.
            if step % 3 != 0 {
                member.records(50).await;
            }
        }
        member.reaches(0, RECORDS).await;
        member.reaches(1, RECORDS).await;
        assert_eq!(member.source.control.close(kafka::DEADLINE).await, Closed::Left);
    }
}

/// librdkafka looks at a resumed partition when the thread of its broker wakes, which can take a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fill_is_read_at_once() {
    let Some(place) = Place::new("at-once", 1).await else { return };
    place.writer().send(0, 1000);
    let mut member = place.member(COOPERATIVE);
    member.owns(1).await;
    let mut waited = Duration::ZERO;
    for start in [0, 10, 20, 30, 40] {
        member.source.control.hold();
        // Long enough for the client to fall asleep.
        assert!(member.is_quiet().await);
        let asked = std::time::Instant::now();
        member.fill(&[(0, start)]);
        member.chunk().await;
        waited += asked.elapsed();
        member.reaches(0, 1000).await;
    }
    assert!(waited < Duration::from_millis(2500), "{waited:?} for five");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_arrives_whole() {
    let Some(place) = Place::new("whole", 1).await else { return };
    let writer = place.writer();
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: "op", value: Some("insert") })
        .insert(rdkafka::message::Header { key: "none", value: None::<&str> });
    let record = rdkafka::producer::BaseRecord::to(&place.topic).partition(0);
    let full = record.key("k").payload("v").timestamp(1_700_000_000_123).headers(headers);
    writer.producer().send(full).map_err(|(error, _)| error).expect("sent");
    let tombstone: rdkafka::producer::BaseRecord<'_, str, str> =
        rdkafka::producer::BaseRecord::to(&place.topic).partition(0).key("gone");
    writer.producer().send(tombstone).map_err(|(error, _)| error).expect("sent");
    writer.value(0, b"", None);
    writer.flush();

    let mut member = place.member(COOPERATIVE);
    member.owns(1).await;
    member.fill(&[(0, 0)]);
    let mut chunk = member.chunk().await;
    while chunk.len() < 3 {
        chunk = member.chunk().await;
    }
    let records: Vec<_> = chunk.iter().collect();
    let first = records[0];
    assert_eq!(
        (first.key, first.value, first.timestamp_ms),
        (Some(&b"k"[..]), Some(&b"v"[..]), Some(1_700_000_000_123))
    );
    assert_eq!(first.headers.iter().collect::<Vec<_>>(), [("op", Some(&b"insert"[..])), ("none", None)]);
    assert_eq!(first.leader_epoch, 0);
    assert_eq!((records[1].key, records[1].value), (Some(&b"gone"[..]), None));
    assert_eq!((records[2].key, records[2].value), (None, Some(&b""[..])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_comes_back_with_its_metadata() {
    let Some(place) = Place::new("metadata", 2).await else { return };
    let mut member = place.member(COOPERATIVE);
    member.owns(2).await;

    let recorded = member.record(&[(0, 7), (1, 9)], "v1 intent").await;
    assert_eq!(recorded.answer, RecordAnswer::Stored);
    assert!(!recorded.doubtful);
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(7, "v1 intent")), (1, stored(9, "v1 intent"))]));

    let again = member.record(&[(0, 7)], "").await;
    assert_eq!(again.read, BTreeMap::from([(0, stored(7, ""))]));
    assert_eq!(member.stored(1).await, stored(9, "v1 intent"));

    // Half stored: the broker judges partition by partition, and only the read-back tells.
    let half = vec![
        loadlock::source::PositionToStore { partition: 0, offset: 8, metadata: "x".repeat(4096) },
        loadlock::source::PositionToStore { partition: 1, offset: 10, metadata: "x".repeat(4097) },
    ];
    let recorded = member.source.control.record(half, member.tenure).await;
    assert!(matches!(recorded.answer, RecordAnswer::Refused(_)), "{:?}", recorded.answer);
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(8, &"x".repeat(4096))), (1, stored(9, "v1 intent"))]));
    assert!(!recorded.doubtful);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_recorded_before_the_first_assignment_or_for_what_is_not_owned() {
    let Some(place) = Place::new("guard", 2).await else { return };
    let mut member = place.member(COOPERATIVE);
    let early = member.record(&[(0, 5)], "early").await;
    assert!(matches!(early.answer, RecordAnswer::Gone(_)), "{:?}", early.answer);
    assert!(early.read.is_empty());
    member.owns(2).await;
    assert_eq!(member.stored(0).await, None, "an empty group would have taken it");

    let mut other = place.member(COOPERATIVE);
    let revoked = member.revoked().await;
    drop(revoked.release);
    other.owns(1).await;
    let (mine, theirs) = (member.owned[0], other.owned[0]);
    let foreign = member.record(&[(mine, 1), (theirs, 1)], "foreign").await;
    assert_eq!(foreign.answer, RecordAnswer::NotOwned);
    assert_eq!(member.stored(mine).await, None, "all or nothing is sent");
    assert_eq!(member.stored(theirs).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_partitions_can_be_advanced_until_they_are_released() {
    for protocol in [EAGER, COOPERATIVE, CONSUMER] {
        let Some(place) = Place::new("leaving", 2).await else { return };
        if protocol == CONSUMER && !speaks_consumer_protocol(&place.brokers, "leaving").await {
            continue;
        }
        place.writer().send(0, 100);
        place.writer().send(1, 100);
        let mut first = place.member(protocol);
        first.owns(2).await;
        first.fill(&[(0, 0), (1, 0)]);
        first.records(200).await;

        let mut second = place.member(protocol);
        let revoked = first.revoked().await;
        let leaving = revoked.partitions[0];
        let recorded = first.record(&[(leaving, 42)], "last word").await;
        assert_eq!(recorded.answer, RecordAnswer::Stored, "{protocol:?}");
        assert_eq!(recorded.read, BTreeMap::from([(leaving, stored(42, "last word"))]));
        drop(revoked.release);

        second.owns(1).await;
        first.owns(1).await;
        let came = second.owned[0];
        let late = first.record(&[(came, 99)], "too late").await;
        assert_eq!(late.answer, RecordAnswer::NotOwned);
        let expected = if came == leaving { stored(42, "last word") } else { None };
        assert_eq!(second.stored(came).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_leave_by_themselves_when_the_pipeline_sleeps() {
    let Some(place) = Place::new("sleeper", 2).await else { return };
    let mut settings = spec(&place.brokers, &place.topic, &place.group, COOPERATIVE);
    settings.release_deadline = Duration::from_millis(500);
    let mut first = Member::start(settings);
    first.owns(2).await;
    let mut second = place.member(COOPERATIVE);
    let revoked = first.revoked().await;
    second.owns(1).await;
    let late = first.record(&[(revoked.partitions[0], 1)], "late").await;
    assert_eq!(late.answer, RecordAnswer::NotOwned);
    drop(revoked.release);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_records_are_skipped_and_the_position_moves_over_them() {
    let Some(place) = Place::new("aborted", 1).await else { return };
    let writer = Writer::transactional(&place.brokers, &place.topic);
    // 0-2, marker 3, aborted 4-7, marker 8, 9-10, marker 11, aborted 12-14, marker 15
    for (count, keep) in [(3, true), (4, false), (2, true), (3, false)] {
        writer.begin();
        writer.send(0, count);
        if keep { writer.commit() } else { writer.abort() }
    }
    let mut member = place.member(COOPERATIVE);
    member.gaps = true;
    member.owns(1).await;
    member.fill(&[(0, 0)]);
    assert_eq!(member.records(5).await, [(0, 0), (0, 1), (0, 2), (0, 9), (0, 10)]);
    member.reaches(0, 16).await;

    let log = |read: loadlock::source::PositionsRead| read.log[&0];
    assert_eq!(log(member.source.control.read_positions(vec![0]).await.expect("read")), Range { start: 0, end: 16 });

    // An open transaction holds the last stable offset back, also for what others wrote behind it.
    writer.begin();
    writer.send(0, 5);
    place.writer().send(0, 3);
    assert!(member.is_quiet().await, "nothing behind an open transaction is read");
    assert_eq!(log(member.source.control.read_positions(vec![0]).await.expect("read")), Range { start: 0, end: 16 });
    let latest = member.source.control.resolve(Start::Latest, vec![0]).await.expect("resolved");
    assert_eq!(latest, BTreeMap::from([(0, 16)]));
    writer.abort();
    assert_eq!(member.records(3).await, span(0, 21, 24));
    member.reaches(0, 25).await;

    // Started in the middle of what was aborted.
    member.fill(&[(0, 12)]);
    member.reaches(0, 25).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_resolved_to_numbers() {
    let Some(place) = Place::new("start", 2).await else { return };
    let writer = place.writer();
    const T: i64 = 1_700_000_000_000;
    for number in 0..10 {
        writer.value(0, b"x", Some(T + number * 1000));
    }
    writer.flush();
    let mut member = place.member(COOPERATIVE);
    member.owns(2).await;
    let control = &member.source.control;
    let resolve = async |start| control.resolve(start, vec![0, 1]).await;
    assert_eq!(resolve(Start::Earliest).await, Ok(BTreeMap::from([(0, 0), (1, 0)])));
    assert_eq!(resolve(Start::Latest).await, Ok(BTreeMap::from([(0, 10), (1, 0)])));
    assert_eq!(resolve(Start::Timestamp(T + 2500)).await, Ok(BTreeMap::from([(0, 3), (1, 0)])));
    assert_eq!(resolve(Start::Timestamp(T + 60_000)).await, Ok(BTreeMap::from([(0, 10), (1, 0)])));
    assert_eq!(resolve(Start::Timestamp(-5)).await, Ok(BTreeMap::from([(0, 0), (1, 0)])));
    let given = BTreeMap::from([(0, 4), (1, 0)]);
    assert_eq!(resolve(Start::Offsets(given.clone())).await, Ok(given));
    assert!(matches!(resolve(Start::Committed).await, Err(SourceError::NoPosition { partition: 0, .. })));
    let one = BTreeMap::from([(0, 4)]);
    assert!(matches!(resolve(Start::Offsets(one)).await, Err(SourceError::StartIncomplete { partition: 1, .. })));
    let beyond = BTreeMap::from([(0, 11), (1, 0)]);
    let refused = resolve(Start::Offsets(beyond)).await;
    assert!(matches!(refused, Err(SourceError::OutOfRange { partition: 0, position: 11, .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_outside_the_log_is_named() {
    let Some(place) = Place::new("range", 2).await else { return };
    place.writer().send(0, 100);
    place.writer().send(1, 100);
    let mut removed = TopicPartitionList::new();
    removed.add_partition_offset(&place.topic, 1, Offset::Offset(60)).expect("an offset");
    admin(&place.brokers).delete_records(&removed, &AdminOptions::new()).await.expect("removed");

    let mut member = place.member(COOPERATIVE);
    member.owns(2).await;
    member.fill(&[(0, 0), (1, 10)]);
    let expected = |position| SourceError::OutOfRange {
        topic: place.topic.as_str().into(),
        partition: 1,
        position,
        log: Range { start: 60, end: 100 },
    };
    assert_eq!(member.failed().await, expected(10));
    assert_eq!(member.records(100).await, span(0, 0, 100), "the other partition goes on");
    assert!(member.is_quiet().await, "and nothing of the one that failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_has_another_id_and_no_positions() {
    let Some(place) = Place::new("anew", 1).await else { return };
    let mut member = place.member(&[("topic.metadata.refresh.interval.ms", "500")]);
    member.owns(1).await;
    member.record(&[(0, 5)], "before").await;
    let before = member.source.control.read_positions(vec![0]).await.expect("read");
    assert!(before.topic_id.is_some() && before.cluster_id.is_some(), "{before:?}");
    assert_eq!(member.source.control.topic_id().await, Ok(before.topic_id.clone()));

    admin(&place.brokers).delete_topics(&[&place.topic], &AdminOptions::new()).await.expect("deleted");
    assert!(matches!(member.failed().await, SourceError::TopicMissing { .. }));
    create_topic(&place.brokers, &place.topic, 1).await;
    member.owned.clear();
    member.owns(1).await;
    let after = member.source.control.read_positions(vec![0]).await.expect("read");
    assert_ne!(after.topic_id, before.topic_id);
    assert_eq!(after.cluster_id, before.cluster_id);
    assert_eq!(after.stored[&0], None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_with_our_instance_id_fences_this_one() {
    let Some(place) = Place::new("fenced", 1).await else { return };
    let instance = [COOPERATIVE[0], ("group.instance.id", "one")];
    let mut first = place.member(&instance);
    first.owns(1).await;
    first.record(&[(0, 3)], "mine").await;

    let mut second = place.member(&instance);
    let lost = loop {
        if let SourceEvent::Lost { partitions, .. } = first.event().await {
            break partitions;
        }
    };
    assert_eq!(lost, [0]);
    assert!(matches!(first.failed().await, SourceError::Fenced { .. }));
    second.owns(1).await;
    let zombie = first.record(&[(0, 99)], "zombie").await;
    assert!(matches!(zombie.answer, RecordAnswer::Gone(_)), "{:?}", zombie.answer);
    assert!(zombie.read.is_empty());
    assert_eq!(second.stored(0).await, stored(3, "mine"));
    let closed = first.source.control.close(Duration::from_secs(5)).await;
    assert_eq!(closed, Closed::Left, "a fenced member does not hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejoining_makes_a_new_member() {
    for instance in [None, Some(("group.instance.id", "one"))] {
        let Some(place) = Place::new("rejoin", 1).await else { return };
        place.writer().send(0, 50);
        let properties: Vec<_> = COOPERATIVE.iter().copied().chain(instance).collect();
        let mut member = place.member(&properties);
        member.owns(1).await;
        member.fill(&[(0, 0)]);
        member.records(50).await;
        member.record(&[(0, 50)], "before").await;
        let before = place.member_ids();

        member.source.control.rejoin().await.expect("rejoined");
        assert!(matches!(member.event().await, SourceEvent::Lost { partitions, .. } if partitions == [0]));
        member.owns(1).await;
        let after = place.member_ids();
        assert!(before.len() == 1 && after.len() == 1 && before != after, "{before:?} {after:?}");
        assert_eq!(member.stored(0).await, stored(50, "before"));
        assert_eq!(member.record(&[(0, 51)], "after").await.answer, RecordAnswer::Stored);
        member.fill(&[(0, 0)]);
        assert_eq!(member.records(50).await, span(0, 0, 50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_pipeline_loses_and_doubles_nothing() {
    let Some(place) = Place::new("slow", 2).await else { return };
    let writer = place.writer();
    for number in 0..20_000_i32 {
        writer.value(number % 2, &[b'x'; 500], None);
    }
    writer.flush();
    // Room for two chunks of 32 KiB. The group must not expel a member whose pipeline is asleep.
    let properties = [COOPERATIVE[0], ("max.poll.interval.ms", "6000")];
    let mut settings = spec(&place.brokers, &place.topic, &place.group, &properties);
    settings.budget_kib_max = 64;
    settings.chunk_bytes_max = 32 * 1024;
    let mut member = Member::start(settings);
    member.owns(2).await;
    member.fill(&[(0, 0), (1, 0)]);
    let mut read = member.records(1000).await;
    for pause in [2500, 100, 8000, 1500] {
        // The pipeline is asleep; its events must stay silent, too.
        let slept = tokio::time::timeout(Duration::from_millis(pause), member.source.events.recv()).await;
        assert!(slept.is_err(), "{slept:?}");
        read.extend(member.records(2000).await);
    }
    read.extend(member.records(20_000 - read.len()).await);
    read.sort_unstable();
    let mut expected = span(0, 0, 10_000);
    expected.extend(span(1, 0, 10_000));
    assert_eq!(read, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_the_group_hands_over_at_once() {
    let Some(place) = Place::new("close", 1).await else { return };
    let mut first = place.member(COOPERATIVE);
    first.owns(1).await;
    let mut second = place.member(COOPERATIVE);
    let began = std::time::Instant::now();
    assert_eq!(first.source.control.close(Duration::from_secs(10)).await, Closed::Left);
    second.owns(1).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}: by leaving, not by its session", began.elapsed());
}
