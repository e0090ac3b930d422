//! Who is no longer a member stores nothing, and how a member learns that it is none.

use std::time::Duration;

use loadlock::source::{RecordAnswer, SourceEvent};
use rdkafka::error::RDKafkaErrorCode;

use crate::copies::{in_time, record_beside};
use crate::kafka::{COOPERATIVE, EAGER, Place, stored};
use crate::proxy::{Api, Fate, Proxy};
use crate::raw::Raw;
use crate::{SHORT_SESSION, STATIC, protocols, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_static_member_is_replaced_without_a_callback() {
    let Some(place) = Place::new("replaced", 1).await else { return };
    let first = Raw::member(&place.brokers, &place.topic, &place.group, STATIC.1);
    first.owns(1);
    first.commit(&[(0, 3)], "first").expect("stored");
    assert_eq!(first.said(), ["assign 0"]);
    let second = Raw::member(&place.brokers, &place.topic, &place.group, STATIC.1);
    second.owns(1);

    assert_eq!(first.until("the error", || first.fatal()), RDKafkaErrorCode::FencedInstanceId);
    assert_eq!((first.said(), first.owned()), (Vec::<String>::new(), Vec::new()), "it just owns nothing");
    assert_eq!(first.commit(&[(0, 9)], "zombie"), Err(RDKafkaErrorCode::Fatal));
    assert_eq!(second.stored(0), stored(3, "first"));
}

/// A process that slept: the first thing it does is to commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_did_not_poll_is_refused_until_it_does() {
    let Some(place) = Place::new("asleep", 1).await else { return };
    for (name, protocol) in protocols(&place, "asleep").await {
        let place = Place::on(&place.brokers, "asleep", 1, 1).await;
        let lazy = with(protocol, &[("max.poll.interval.ms", "2000"), SHORT_SESSION[0], SHORT_SESSION[1]]);
        let sleeper = Raw::member(&place.brokers, &place.topic, &place.group, &lazy);
        sleeper.owns(1);
        sleeper.said();
        let other = Raw::member(&place.brokers, &place.topic, &place.group, protocol);
        other.owns(1);
        other.commit(&[(0, 8)], "other").expect("stored");
        for _ in 0..2 {
            assert_eq!(sleeper.commit(&[(0, 4)], "zombie"), Err(RDKafkaErrorCode::UnknownMemberId), "{name}");
        }
        assert_eq!((sleeper.said(), sleeper.owned()), (Vec::<String>::new(), vec![0]), "{name}: it knows nothing yet");
        assert_eq!(other.stored(0), stored(8, "other"), "{name}");
        let said = sleeper.until("the loss", || {
            sleeper.poll();
            sleeper.said().into_iter().find(|said| said != "assign ")
        });
        // The eager client had been asked to give way before it was expelled, and never says that it is too late: its
        // member id does.
        assert_eq!(said, if name == "eager" { "revoke 0" } else { "lost 0" }, "{name}");
    }
}

/// While a commit is out nothing is polled: one that takes longer than the group waits costs the membership.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_commit_outlasts_its_poll_interval_loses_everything() {
    for protocol in [EAGER, COOPERATIVE] {
        let name = protocol[0].1;
        let Some(place) = Place::new("outlasted", 1).await else { return };
        let Some(proxy) = Proxy::before(&place.brokers, "outlasted").await else { return };
        let lazy = with(protocol, &[("max.poll.interval.ms", "2000"), SHORT_SESSION[0], SHORT_SESSION[1]]);
        let mut slow = place.behind(proxy.brokers()).member(&lazy);
        slow.owns(1).await;
        let planned = proxy.next(Api::OFFSET_COMMIT, Fate::Kept);
        let recording = record_beside(&slow, &[(0, 4)], "late");
        let kept = planned.came().await;
        let mut other = place.member(protocol);
        other.owns(1).await;
        assert_eq!(other.record(&[(0, 8)], "other").await.read[&0], stored(8, "other"), "{name}");

        kept.deliver().await;
        let recorded = in_time(recording).await;
        assert!(matches!(recorded.answer, RecordAnswer::Gone(_)) && recorded.read.is_empty(), "{name}: {recorded:?}");
        assert_eq!(other.stored(0).await, stored(8, "other"), "{name}");
        loop {
            match slow.event().await {
                SourceEvent::Lost { partitions, .. } => break assert_eq!(partitions, [0], "{name}"),
                SourceEvent::Assigned { partitions, .. } => assert!(partitions.is_empty(), "{name}"),
                event @ (SourceEvent::Revoking { .. }
                | SourceEvent::Away { .. }
                | SourceEvent::Back
                | SourceEvent::Failed(_)) => panic!("{name}: {event:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_the_group_has_not_heard_of_for_a_session_stores_nothing() {
    let Some(place) = Place::new("silent", 1).await else { return };
    for (name, protocol) in protocols(&place, "silent").await {
        let place = Place::on(&place.brokers, "silent", 1, 1).await;
        let Some(proxy) = Proxy::before(&place.brokers, "silent").await else { return };
        let mut silent = place.behind(proxy.brokers()).member(&with(protocol, SHORT_SESSION));
        silent.owns(1).await;
        silent.record(&[(0, 3)], "before").await;
        proxy.pause();
        let mut other = place.member(protocol);
        other.owns(1).await;
        assert_eq!(other.record(&[(0, 8)], "other").await.read[&0], stored(8, "other"), "{name}");
        proxy.go_on();
        let zombie = silent.record(&[(0, 4)], "zombie").await;
        assert!(matches!(zombie.answer, RecordAnswer::Gone(_)), "{name}: {zombie:?}");
        assert!(zombie.read.is_empty(), "{name}: {zombie:?}");
        assert_eq!(other.stored(0).await, stored(8, "other"), "{name}");
        while !matches!(silent.event().await, SourceEvent::Lost { .. }) {}
    }
}

/// Why the source never asks for an equal generation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generation_rises_without_a_callback() {
    let Some(place) = Place::new("rising", 1).await else { return };
    for (name, protocol) in protocols(&place, "rising").await {
        if name == "eager" {
            // There a rebalance takes everything, and says so.
            continue;
        }
        let place = Place::on(&place.brokers, "rising", 1, 1).await;
        let Some(proxy) = Proxy::before(&place.brokers, "rising").await else { return };
        let brokers = proxy.brokers();
        let owner = Raw::member(&brokers, &place.topic, &place.group, protocol);
        owner.owns(1);
        owner.commit(&[(0, 1)], "").expect("stored");
        owner.said();
        let _idle = Raw::member(&place.brokers, &place.topic, &place.group, protocol);
        let risen = owner.until("a higher generation", || {
            _idle.poll();
            let _passing = owner.commit(&[(0, 2)], "");
            let stamps = proxy.stamps();
            let (first, last) = (stamps.first()?, stamps.last()?);
            (last.generation > first.generation).then(|| (first.member == last.member, owner.owned()))
        });
        assert_eq!(risen, (true, vec![0]), "{name}");
        let said: Vec<_> = owner.said().into_iter().filter(|said| said != "assign ").collect();
        assert!(said.is_empty(), "{name}: {said:?}");
        assert_eq!(owner.commit(&[(0, 3)], "after"), Ok(()), "{name}");
    }
}

/// The same, seen by the source: it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_stores_positions_across_rebalances_that_do_not_concern_it() {
    let Some(place) = Place::new("unconcerned", 1).await else { return };
    let mut owner = place.member(COOPERATIVE);
    owner.owns(1).await;
    for round in 0..3 {
        let guest = Raw::member(&place.brokers, &place.topic, &place.group, COOPERATIVE);
        guest.until("a member", || (place.member_ids().len() == 2).then_some(()));
        // The guest has no share; its coming and going raises the generation.
        for _ in 0..20 {
            let recorded = owner.record(&[(0, round)], "").await;
            assert!(!recorded.doubtful, "{recorded:?}");
            if recorded.answer == RecordAnswer::Stored {
                break;
            }
            assert!(matches!(recorded.answer, RecordAnswer::Passing(_)), "{recorded:?}");
        }
        assert_eq!(owner.stored(0).await, stored(round, ""));
        drop(guest);
    }
    let quiet = tokio::time::timeout(Duration::from_millis(200), owner.source.events.recv()).await;
    assert!(!matches!(quiet, Ok(Some(SourceEvent::Lost { .. } | SourceEvent::Revoking { .. }))), "{quiet:?}");
}
