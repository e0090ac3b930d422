//! Brokers that die, come back, or hand the group to another. These tests have brokers of their own.

use std::collections::BTreeMap;

use loadlock::source::{RecordAnswer, SourceEvent};

use crate::brokers::Brokers;
use crate::copies::{in_time, record_beside};
use crate::kafka::{COOPERATIVE, Member, Place, stored, until};
use crate::proxy::{Api, Fate, Proxy};
use crate::raw::Raw;
use crate::{SHORT_SESSION, protocols, with};

/// Longer than any outage here.
const LONG_SESSION: &[(&str, &str)] = &[("session.timeout.ms", "45000")];

/// Fails on anything that would have ended or changed the membership.
async fn nothing_but_an_outage(member: &mut Member, name: &str) {
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

/// One broker is killed between intent and advance, with members of every kind: those whose session outlasts it go on as
/// if nothing had been; one whose session ends finds its intent as it was written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_coordinator_keeps_what_was_recorded() {
    let Some(brokers) = Brokers::up("killed", 1) else { return };
    let mut lasting = Vec::new();
    let probe = Place::on(&brokers.addresses, "killed", 1, 1).await;
    for (name, protocol) in protocols(&probe, "killed").await {
        let place = Place::on(&brokers.addresses, "killed", 2, 1).await;
        let mut member = place.member(&with(protocol, LONG_SESSION));
        member.owns(2).await;
        let intent = member.record(&[(0, 3), (1, 4)], "intent").await;
        assert_eq!(intent.read, BTreeMap::from([(0, stored(3, "intent")), (1, stored(4, "intent"))]), "{name}");
        lasting.push((name, member));
    }
    let place = Place::on(&brokers.addresses, "killed", 1, 1).await;
    let mut short = place.member(&with(COOPERATIVE, SHORT_SESSION));
    short.owns(1).await;
    short.record(&[(0, 5)], "intent").await;

    brokers.kill(1);
    let advances: Vec<_> =
        lasting.iter().map(|(_, member)| record_beside(member, &[(0, 30), (1, 40)], "advance")).collect();
    while !matches!(short.event().await, SourceEvent::Lost { .. }) {}
    brokers.start(1);
    for ((name, member), advance) in lasting.iter_mut().zip(advances) {
        let advanced = in_time(advance).await;
        assert_eq!(advanced.answer, RecordAnswer::Stored, "{name}");
        let both = BTreeMap::from([(0, stored(30, "advance")), (1, stored(40, "advance"))]);
        assert_eq!(advanced.read, both, "{name}: nothing was forgotten");
        nothing_but_an_outage(member, name).await;
    }
    short.owns(1).await;
    assert_eq!(short.stored(0).await, stored(5, "intent"), "to be settled");
    assert_eq!(short.record(&[(0, 6)], "next").await.answer, RecordAnswer::Stored);
}

/// The coordinator dies with an OffsetCommit that it has not answered: the client sends it again to the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_a_dying_coordinator_did_not_answer_is_doubted() {
    let Some(brokers) = Brokers::up("dying", 1) else { return };
    let place = Place::on(&brokers.addresses, "dying", 1, 1).await;
    let Some(proxy) = Proxy::before(&place.brokers, "dying").await else { return };
    let mut member = place.behind(proxy.brokers()).member(&with(COOPERATIVE, LONG_SESSION));
    member.owns(1).await;
    let planned = proxy.next(Api::OFFSET_COMMIT, Fate::Kept);
    let recording = record_beside(&member, &[(0, 10)], "intent");
    let _gone_with_its_connection = planned.came().await;
    brokers.kill(1);
    brokers.start(1);
    let recorded = in_time(recording).await;
    assert_eq!((&recorded.answer, recorded.doubtful), (&RecordAnswer::Stored, true));
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(10, "intent"))]));
    nothing_but_an_outage(&mut member, "cooperative").await;
}

/// Three brokers: the one that coordinates the group ends, in order and by a kill, and another takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_moves_takes_the_intent_along() {
    let Some(brokers) = Brokers::up("moving", 3) else { return };
    let probe = Place::on(&brokers.addresses, "moving", 1, 3).await;
    let mut members = Vec::new();
    for (name, protocol) in protocols(&probe, "moving").await {
        let place = Place::on(&brokers.addresses, "moving", 2, 3).await;
        let mut member = place.member(&with(protocol, LONG_SESSION));
        member.owns(2).await;
        members.push((name, place, member));
    }
    let observer = Raw::stranger(&brokers.addresses, &probe.topic, &probe.group);
    let leader = || observer.leader("__consumer_offsets");
    for round in 0..2_i64 {
        for (name, _, member) in &members {
            let intent = member.record(&[(0, round), (1, round)], "intent").await;
            assert_eq!(intent.read.get(&0), Some(&stored(round, "intent")), "{name}: {intent:?}");
        }
        let coordinator = until("a leader", leader).await;
        if round == 0 {
            brokers.stop(coordinator)
        } else {
            brokers.kill(coordinator)
        }
        until("another leader", || leader().filter(|now| *now != coordinator)).await;
        for (name, place, member) in &mut members {
            let read = Raw::stranger(&brokers.addresses, &place.topic, &place.group);
            assert_eq!((read.stored(0), read.stored(1)), (stored(round, "intent"), stored(round, "intent")), "{name}");
            let advance = member.record(&[(0, round + 10), (1, round + 10)], "advance").await;
            assert_eq!(advance.answer, RecordAnswer::Stored, "{name}");
            let both = BTreeMap::from([(0, stored(round + 10, "advance")), (1, stored(round + 10, "advance"))]);
            assert_eq!(advance.read, both, "{name}");
            nothing_but_an_outage(member, name).await;
        }
        brokers.start(coordinator);
    }
}
