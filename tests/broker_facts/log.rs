//! What the log tells: offsets by time, positions outside of it, topics that go and come again.

use std::collections::BTreeMap;

use loadlock::config::Start;
use loadlock::domain::Range;
use loadlock::source::SourceError;
use rdkafka::admin::AdminOptions;

use crate::kafka::{COOPERATIVE, Place, Writer, admin, create_topic, stored, until};
use crate::raw::Raw;

/// A start by time can be the offset of a record that nobody will ever see; it is never behind the one that was meant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_by_time_count_aborted_records_and_markers() {
    const T: i64 = 1_700_000_000_000;
    let Some(place) = Place::new("times", 1).await else { return };
    let writer = Writer::transactional(&place.brokers, &place.topic);
    // 0-1 at T, T+1 s, marker 2 (now); aborted 3-4 at T+10 s, T+11 s, marker 5 (now); 6 at T+30 s, marker 7 (now)
    for (seconds, keep) in [([0, 1].as_slice(), true), (&[10, 11], false), (&[30], true)] {
        writer.begin();
        for second in seconds {
            writer.value(0, b"x", Some(T + second * 1000));
        }
        writer.flush();
        if keep { writer.commit() } else { writer.abort() }
    }
    let mut member = place.member(COOPERATIVE);
    member.gaps = true;
    member.owns(1).await;
    let control = member.source.control.clone();
    let at =
        async |seconds: i64| control.resolve(Start::Timestamp(T + seconds * 1000), vec![0]).await.expect("found")[&0];
    assert_eq!((at(-1).await, at(1).await), (0, 1));
    assert_eq!(at(2).await, 2, "a marker, whose time is the broker's own");
    assert_eq!(at(1_000_000_000).await, 8, "nothing so late: the end");
    member.fill(&[(0, 3)]);
    assert_eq!(member.records(1).await, [(0, 6)], "started among aborted records");
    member.reaches(0, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_behind_the_end_is_named() {
    let Some(place) = Place::new("beyond", 1).await else { return };
    place.writer().send(0, 10);
    let mut member = place.member(COOPERATIVE);
    member.owns(1).await;
    // A broker stores it, and only a comparison with the log shows what it is worth.
    assert_eq!(member.record(&[(0, 99)], "").await.read, BTreeMap::from([(0, stored(99, ""))]));
    let read = member.source.control.read_positions(vec![0]).await.expect("read");
    assert_eq!((read.stored[&0].clone(), read.log[&0]), (stored(99, ""), Range { start: 0, end: 10 }));
    member.fill(&[(0, 99)]);
    let expected = SourceError::OutOfRange {
        topic: place.topic.as_str().into(),
        partition: 0,
        position: 99,
        log: Range { start: 0, end: 10 },
    };
    assert_eq!(member.failed().await, expected);
}

/// Positions and intents die with their topic, and a new one of that name takes offsets of the old: only its id tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_takes_commits_of_the_old_one() {
    let Some(place) = Place::new("remade", 1).await else { return };
    place.writer().send(0, 10);
    let raw = Raw::member(&place.brokers, &place.topic, &place.group, COOPERATIVE);
    raw.owns(1);
    raw.commit(&[(0, 7)], "intent").expect("stored");
    admin(&place.brokers).delete_topics(&[&place.topic], &AdminOptions::new()).await.expect("deleted");
    let observer = Raw::stranger(&place.brokers, &place.topic, &place.group);
    until("the position is gone", || observer.stored(0).is_none().then_some(())).await;
    create_topic(&place.brokers, &place.topic, 1).await;
    until("the commit is taken", || raw.commit(&[(0, 8)], "of the old topic").ok()).await;
    assert_eq!(observer.stored(0), stored(8, "of the old topic"));
}
