//! Brokers that die, come back, or hand the group to another. These tests have brokers of their own.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use loadlock::source::{RecordAnswer, Recorded, SourceEvent};
use rdkafka::error::RDKafkaErrorCode;

use crate::brokers::Brokers;
use crate::copies::{in_time, record_beside};
use crate::kafka::{COOPERATIVE, Member, Place, stored, until};
use crate::proxy::{Api, Fate, Proxy};
use crate::raw::Raw;
use crate::{SHORT_SESSION, protocols, with};

/// Longer than any outage here.
const LONG_SESSION: &[(&str, &str)] = &[("session.timeout.ms", "45000")];

/// Fails on anything that would have ended or changed the membership.
fn nothing_but_an_outage(member: &mut Member, name: &str) {
    while let Ok(event) = member.source.events.try_recv() {
        match event {
            SourceEvent::Away { .. } | SourceEvent::Back => {}
            SourceEvent::Assigned { .. }
            | SourceEvent::Revoking { .. }
            | SourceEvent::Lost { .. }
            | SourceEvent::Failed(_) => panic!("{name}: {event:?}"),
        }
    }
}

/// The only broker is killed between intent and advance. Members whose session outlasts that go on as if nothing had been;
/// one whose session ends finds its intent as it was written; one with a commit out there is in doubt of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_coordinator_keeps_what_was_recorded() {
    let Some(brokers) = Brokers::up("killed", 1) else { return };
    let mut lasting = Vec::new();
    let place = Place::on(&brokers.addresses, "killed", 1, 1).await;
    for (name, protocol) in protocols(&place, "killed").await {
        let place = Place::on(&brokers.addresses, "killed", 2, 1).await;
        lasting.push((name, with_intent(&place, protocol).await));
    }
    let mut short = place.member(&with(COOPERATIVE, SHORT_SESSION));
    short.owns(1).await;
    short.record(&[(0, 5)], "intent").await;
    let asking = Place::on(&brokers.addresses, "asking", 1, 1).await;
    let Some(proxy) = Proxy::before(&asking.brokers, "asking").await else { return };
    let mut asking = asking.behind(proxy.brokers()).member(&with(COOPERATIVE, LONG_SESSION));
    asking.owns(1).await;
    let planned = proxy.next(Api::OFFSET_COMMIT, Fate::Kept);
    let unanswered = record_beside(&asking, &[(0, 10)], "unanswered");
    let _gone_with_its_connection = planned.came().await;

    brokers.kill(1);
    let unsent = record_beside(&short, &[(0, 50)], "unsent");
    let starting = async {
        // It waits for a coordinator, at most for a session; if that has ended already, nothing is sent.
        let unsent = in_time(unsent).await;
        let waited = RecordAnswer::Unclear(RDKafkaErrorCode::WaitingForCoordinator.to_string());
        assert!(unsent.answer == waited || matches!(unsent.answer, RecordAnswer::Gone(_)), "{unsent:?}");
        assert!(unsent.read.is_empty() && !unsent.doubtful, "{unsent:?}");
        while !matches!(short.event().await, SourceEvent::Lost { .. }) {}
        brokers.start(1);
    };
    let advancing = join_all(lasting.iter().map(|(name, member)| advance(member, name)));
    futures_util::join!(starting, advancing);
    for (name, member) in &mut lasting {
        nothing_but_an_outage(member, name);
    }
    short.owns(1).await;
    assert_eq!(short.stored(0).await, stored(5, "intent"), "to be settled");
    assert_eq!(short.record(&[(0, 6)], "next").await.answer, RecordAnswer::Stored);
    is_in_doubt(&in_time(unanswered).await);
    nothing_but_an_outage(&mut asking, "asking");
}

/// A coordinator that has just started refuses for a while, and librdkafka gives up after two more copies.
fn is_in_doubt(recorded: &Recorded) {
    let expected = match &recorded.answer {
        RecordAnswer::Stored => stored(10, "unanswered"),
        RecordAnswer::Unclear(_) => None,
        RecordAnswer::Passing(_) | RecordAnswer::Gone(_) | RecordAnswer::Refused(_) | RecordAnswer::NotOwned => {
            panic!("{recorded:?}")
        }
    };
    assert_eq!((&recorded.read, recorded.doubtful), (&BTreeMap::from([(0, expected)]), true), "{recorded:?}");
}

/// A member that owns two partitions and has recorded an intent for them.
async fn with_intent(place: &Place, protocol: &[(&'static str, &'static str)]) -> Member {
    let mut member = place.member(&with(protocol, LONG_SESSION));
    member.owns(2).await;
    let intent = member.record(&[(0, 3), (1, 4)], "intent").await;
    assert_eq!(intent.read, BTreeMap::from([(0, stored(3, "intent")), (1, stored(4, "intent"))]), "{intent:?}");
    member
}

/// Three brokers: the one that coordinates the group is killed, and another takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_moves_takes_the_intent_along() {
    let Some(brokers) = Brokers::up("moving", 3) else { return };
    let probe = Place::on(&brokers.addresses, "moving", 1, 3).await;
    let mut members = Vec::new();
    for (name, protocol) in protocols(&probe, "moving").await {
        let place = Place::on(&brokers.addresses, "moving", 2, 3).await;
        let member = with_intent(&place, protocol).await;
        members.push((name, place, member));
    }
    let observer = Raw::stranger(&brokers.addresses, &probe.topic, &probe.group);
    let leader = || observer.leader("__consumer_offsets");
    // On a busy machine a follower can be behind for a while; only one in step can take over.
    let (coordinator, _) = until("all in step", || leader().filter(|(_, in_step)| *in_step == 3)).await;
    brokers.kill(coordinator);
    until("another leader", || leader().filter(|(now, _)| *now != coordinator)).await;
    for (name, place, member) in &mut members {
        let read = Raw::stranger(&brokers.addresses, &place.topic, &place.group);
        assert_eq!((read.stored(0), read.stored(1)), (stored(3, "intent"), stored(4, "intent")), "{name}");
        advance(member, name).await;
        nothing_but_an_outage(member, name);
    }
}

/// Stores the positions behind the intent. As a pipeline does it, a commit that did not come through is sent again.
async fn advance(member: &Member, name: &str) {
    let both = BTreeMap::from([(0, stored(30, "advance")), (1, stored(40, "advance"))]);
    let intent = BTreeMap::from([(0, stored(3, "intent")), (1, stored(4, "intent"))]);
    loop {
        let advanced = member.record(&[(0, 30), (1, 40)], "advance").await;
        if advanced.read == both {
            return;
        }
        assert_eq!(advanced.read, intent, "{name}: nothing was forgotten: {advanced:?}");
        assert!(matches!(advanced.answer, RecordAnswer::Unclear(_)), "{name}: {advanced:?}");
    }
}
