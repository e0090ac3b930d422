//! Copies of an OffsetCommit: librdkafka sends it again when a connection breaks, and the first copy may still be on its
//! way. The proxy keeps it there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use loadlock::source::{RecordAnswer, Recorded, SourceEvent};
use rdkafka::error::RDKafkaErrorCode;
use tokio::task::JoinHandle;

use crate::kafka::{CONSUMER, COOPERATIVE, DEADLINE, Member, Place, speaks_consumer_protocol, stored, to_store};
use crate::proxy::{Api, Fate, Proxy};
use crate::raw::Raw;
use crate::{SHORT_SESSION, STATIC, protocols, with};

/// Longer than any commit takes that nothing stands in the way of.
const SLOW: Duration = Duration::from_secs(2);

/// Stores positions while the test goes on.
pub(crate) fn record_beside(member: &Member, positions: &[(i32, i64)], metadata: &str) -> JoinHandle<Recorded> {
    let (control, tenure) = (member.source.control.clone(), member.tenure);
    let positions = to_store(positions, metadata);
    tokio::spawn(async move { control.record(positions, tenure).await })
}

pub(crate) async fn in_time<T>(task: JoinHandle<T>) -> T {
    tokio::time::timeout(DEADLINE, task).await.expect("in time").expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_copy_that_comes_late_puts_a_position_back() {
    let Some(place) = Place::new("late", 1).await else { return };
    let Some(proxy) = Proxy::before(&place.brokers, "late").await else { return };
    let raw = Raw::member(&proxy.brokers(), &place.topic, &place.group, COOPERATIVE);
    raw.owns(1);
    let first = proxy.next(Api::OFFSET_COMMIT, Fate::KeptAndCut);
    let committing = raw.commit_beside(&[(0, 10)], "first");
    let kept = first.came().await;
    assert_eq!(committing.join().expect("no panic"), Ok(()), "sent again by another connection");
    raw.commit(&[(0, 20)], "second").expect("stored");
    assert_eq!(raw.stored(0), stored(20, "second"));

    kept.deliver().await;
    assert_eq!(raw.stored(0), stored(10, "first"), "nothing tells it from a new request");
    let stamps = proxy.stamps();
    assert_eq!(stamps.len(), 3);
    assert!(stamps.iter().all(|stamp| *stamp == stamps[0]), "one membership, one stamp: {stamps:?}");
}

/// Rule 4: the source notices that there are two copies; a new member is out of the first one's reach.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_copy_is_doubted_and_dies_with_the_membership() {
    let Some(place) = Place::new("doubt", 1).await else { return };
    let mut kinds = protocols(&place, "doubt").await;
    kinds.push(STATIC);
    for (name, protocol) in kinds {
        let place = Place::on(&place.brokers, "doubt", 1, 1).await;
        let Some(proxy) = Proxy::before(&place.brokers, "doubt").await else { return };
        let mut member = place.behind(proxy.brokers()).member(protocol);
        member.owns(1).await;
        let first = proxy.next(Api::OFFSET_COMMIT, Fate::KeptAndCut);
        let recording = record_beside(&member, &[(0, 10)], "first");
        let kept = first.came().await;
        let recorded = in_time(recording).await;
        assert_eq!((&recorded.answer, recorded.doubtful), (&RecordAnswer::Stored, true), "{name}");
        assert_eq!(recorded.read, BTreeMap::from([(0, stored(10, "first"))]), "{name}");

        member.source.control.rejoin().await.expect("rejoined");
        assert!(matches!(member.event().await, SourceEvent::Lost { .. }), "{name}");
        member.owns(1).await;
        assert_eq!(member.stored(0).await, stored(10, "first"), "{name}");
        let second = member.record(&[(0, 20)], "second").await;
        assert_eq!((second.answer, second.doubtful), (RecordAnswer::Stored, false), "{name}");
        kept.deliver().await;
        assert_eq!(member.stored(0).await, stored(20, "second"), "{name}: the first copy is refused");
        let third = member.record(&[(0, 30)], "third").await;
        assert_eq!((third.answer, third.doubtful), (RecordAnswer::Stored, false), "{name}: and harms nobody");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_request_or_answer_was_lost_is_doubted_and_read_back() {
    for fate in [Fate::Lost, Fate::AnswerLost] {
        let Some(place) = Place::new("lost", 2).await else { return };
        let Some(proxy) = Proxy::before(&place.brokers, "lost").await else { return };
        let mut member = place.behind(proxy.brokers()).member(COOPERATIVE);
        member.owns(2).await;
        member.record(&[(0, 1), (1, 1)], "before").await;
        let _planned = proxy.next(Api::OFFSET_COMMIT, fate);
        let recorded = member.record(&[(0, 2), (1, 3)], "intent").await;
        assert!(recorded.doubtful, "{fate:?}: from here both look the same: {recorded:?}");
        assert_eq!(recorded.read, BTreeMap::from([(0, stored(2, "intent")), (1, stored(3, "intent"))]), "{fate:?}");
        assert_eq!(proxy.stamps().len(), 3, "{fate:?}: one copy more than was asked for");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_answer_is_waited_for_and_not_doubted() {
    let Some(place) = Place::new("slow", 1).await else { return };
    let Some(proxy) = Proxy::before(&place.brokers, "slow").await else { return };
    let mut member = place.behind(proxy.brokers()).member(COOPERATIVE);
    member.owns(1).await;
    let planned = proxy.next(Api::OFFSET_COMMIT, Fate::Kept);
    let recording = record_beside(&member, &[(0, 5)], "slow");
    let kept = planned.came().await;
    // The duration is the point: the answer is late by itself.
    tokio::time::sleep(SLOW).await;
    assert!(!recording.is_finished());
    kept.deliver().await;
    let recorded = in_time(recording).await;
    assert_eq!((recorded.answer, recorded.doubtful), (RecordAnswer::Stored, false));
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(5, "slow"))]));
}

/// Why nothing but a read-back counts, and after a refusal that ends the membership not even ours does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_can_answer_the_copy_of_a_commit_that_was_stored() {
    let Some(place) = Place::new("refusal", 1).await else { return };
    let Some(proxy) = Proxy::before(&place.brokers, "refusal").await else { return };
    let mut member = place.behind(proxy.brokers()).member(&with(COOPERATIVE, SHORT_SESSION));
    member.owns(1).await;
    let first = proxy.next(Api::OFFSET_COMMIT, Fate::AnswerLost);
    let recording = record_beside(&member, &[(0, 10)], "intent");
    let kept = first.came().await;
    proxy.pause();
    kept.answered().await;

    let mut successor = place.member(COOPERATIVE);
    successor.owns(1).await;
    assert_eq!(successor.stored(0).await, stored(10, "intent"), "the successor reads it and settles it");
    proxy.go_on();
    let recorded = in_time(recording).await;
    assert_eq!(recorded.answer, RecordAnswer::Gone(RDKafkaErrorCode::UnknownMemberId.to_string()));
    assert!(recorded.doubtful && recorded.read.is_empty(), "{recorded:?}");
    assert_eq!(proxy.stamps().len(), 2);
}

/// Rule 4: across memberships the broker puts things in order. What the successor reads once it is assigned stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_commit_cannot_pass_a_new_assignment() {
    let Some(place) = Place::new("overtaken", 1).await else { return };
    let mut kinds = protocols(&place, "overtaken").await;
    kinds.push(STATIC);
    for (name, protocol) in kinds {
        let place = Place::on(&place.brokers, "overtaken", 1, 1).await;
        let Some(proxy) = Proxy::before(&place.brokers, "overtaken").await else { return };
        let settings = with(protocol, SHORT_SESSION);
        let raw = Raw::member(&proxy.brokers(), &place.topic, &place.group, &settings);
        raw.owns(1);
        raw.commit(&[(0, 3)], "before").expect("stored");
        let late = proxy.next(Api::OFFSET_COMMIT, Fate::KeptAndCut);
        let committing = raw.commit_beside(&[(0, 9)], "late");
        let kept = late.came().await;
        proxy.pause();

        let mut successor = place.member(&settings);
        successor.owns(1).await;
        assert_eq!(successor.stored(0).await, stored(3, "before"), "{name}");
        kept.deliver().await;
        assert_eq!(successor.stored(0).await, stored(3, "before"), "{name}: the late commit is refused");
        proxy.go_on();
        assert!(committing.join().expect("no panic").is_err(), "{name}: and so is its copy");
        assert_eq!(successor.record(&[(0, 4)], "next").await.answer, RecordAnswer::Stored, "{name}");
    }
}

/// The source takes a commit that was answered quickly for one that was sent once, without asking the counters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_copy_takes_longer_than_a_commit_that_is_not_asked_about() {
    const SENT_ONCE: Duration = Duration::from_millis(50);
    let Some(place) = Place::new("twice", 1).await else { return };
    let Some(proxy) = Proxy::before(&place.brokers, "twice").await else { return };
    let raw = Raw::member(&proxy.brokers(), &place.topic, &place.group, COOPERATIVE);
    raw.owns(1);
    for round in 0..8 {
        let _planned = proxy.next(Api::OFFSET_COMMIT, Fate::AnswerLost);
        let began = Instant::now();
        raw.commit(&[(0, round)], "").expect("stored");
        assert!(began.elapsed() > SENT_ONCE, "round {round}: {:?}", began.elapsed());
    }
    assert_eq!(proxy.stamps().len(), 16);
}

/// With the newer protocol the client cuts a connection on which a heartbeat is late (by the broker's interval for them),
/// and with it a commit that is out there: a slow coordinator costs the membership.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_heartbeat_cuts_off_the_commit_before_it() {
    let Some(place) = Place::new("heartbeat", 1).await else { return };
    if !speaks_consumer_protocol(&place.brokers, "heartbeat").await {
        return;
    }
    let Some(proxy) = Proxy::before(&place.brokers, "heartbeat").await else { return };
    let mut member = place.behind(proxy.brokers()).member(CONSUMER);
    member.owns(1).await;
    let planned = proxy.next(Api::OFFSET_COMMIT, Fate::Kept);
    let recording = record_beside(&member, &[(0, 10)], "intent");
    let _still_kept = planned.came().await;
    let recorded = in_time(recording).await;
    assert_eq!((recorded.answer, recorded.doubtful), (RecordAnswer::Stored, true));
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(10, "intent"))]));
}
