//! A partition is taken away, whatever its owner is doing: nothing open, filling, recording, reading back. What the next
//! owner finds is what the read-back said, and the first one stores nothing more.

use std::collections::BTreeMap;

use loadlock::domain::{Offset, Partition};
use loadlock::source::RecordAnswer;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::copies::{in_time, record_beside};
use crate::kafka::{DEADLINE, Member, Place, stored, until};
use crate::proxy::{Api, Fate, Proxy};
use crate::{Protocol, protocols};

/// A member behind a proxy that owns both partitions of its topic.
struct Scene {
    place: Place,
    proxy: Proxy,
    first: Member,
    protocol: Protocol,
}

impl Scene {
    /// One for each protocol.
    async fn all(test: &str) -> Vec<Self> {
        let Some(place) = Place::new(test, 1).await else { return Vec::new() };
        let mut scenes = Vec::new();
        for protocol in protocols(&place, test).await {
            let place = Place::on(&place.brokers, test, 2, 1).await;
            let Some(proxy) = Proxy::before(&place.brokers, test).await else { return Vec::new() };
            let mut first = place.behind(proxy.brokers()).member(protocol.1);
            first.owns(2).await;
            scenes.push(Self { place, proxy, first, protocol });
        }
        scenes
    }

    /// A second member joins; returns when the group is about to take partitions from the first.
    async fn join(&self) -> Member {
        if self.protocol.0 == "consumer" {
            // The first one's heartbeats wait behind what the proxy keeps.
            let heartbeat = self.proxy.next(Api::CONSUMER_GROUP_HEARTBEAT, Fate::Kept);
            let second = self.place.behind(self.proxy.brokers()).member(self.protocol.1);
            heartbeat.came().await.deliver().await;
            return second;
        }
        let second = self.place.member(self.protocol.1);
        let probe: BaseConsumer =
            rdkafka::ClientConfig::new().set("bootstrap.servers", &self.place.brokers).create().expect("a client");
        until("a rebalance", || {
            let list = probe.fetch_group_list(Some(&self.place.group), DEADLINE).ok()?;
            (list.groups().first()?.state() == "PreparingRebalance").then_some(())
        })
        .await;
        second
    }

    /// The first gives way; the second finds `expected` and can go on, the first can't any more.
    async fn hand_over(
        mut self,
        mut second: Member,
        expected: &BTreeMap<Partition, (Offset, &str)>,
    ) -> (Member, Member) {
        let revoked = self.first.revoked().await;
        assert!(!revoked.partitions.is_empty());
        drop(revoked.release);
        second.owns(1).await;
        self.first.owns(1).await;
        let (name, came) = (self.protocol.0, second.owned[0]);
        let left = expected.get(&came).and_then(|(offset, metadata)| stored(*offset, metadata));
        assert_eq!(second.stored(came).await, left, "{name}");
        assert_eq!(self.first.record(&[(came, 99)], "too late").await.answer, RecordAnswer::NotOwned, "{name}");
        let next = second.record(&[(came, 98)], "next").await;
        assert_eq!(next.read, BTreeMap::from([(came, stored(98, "next"))]), "{name}: {next:?}");
        let kept = self.first.owned[0];
        let own = self.first.record(&[(kept, 97)], "own").await;
        assert_eq!(own.read, BTreeMap::from([(kept, stored(97, "own"))]), "{name}: {own:?}");
        (self.first, second)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nothing_open() {
    for scene in Scene::all("idle").await {
        let second = scene.place.member(scene.protocol.1);
        scene.hand_over(second, &BTreeMap::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_filling() {
    for mut scene in Scene::all("filling").await {
        let writer = scene.place.writer();
        writer.send(0, 2000);
        writer.send(1, 2000);
        scene.first.fill(&[(0, 0), (1, 0)]);
        scene.first.records(500).await;
        let second = scene.place.member(scene.protocol.1);
        let (mut first, mut second) = scene.hand_over(second, &BTreeMap::new()).await;
        // Nothing was stored: the next owner reads it all again, and the first goes on with what it keeps.
        for member in [&mut first, &mut second] {
            let partition = member.owned[0];
            member.fill(&[(partition, 0)]);
            assert_eq!(member.records(2000).await, crate::kafka::span(partition, 0, 2000));
        }
    }
}

/// The group takes partitions while an OffsetCommit of their owner is on its way, or its read-back.
async fn while_asking(test: &str, api: Api) {
    for scene in Scene::all(test).await {
        let name = scene.protocol.0;
        let planned = scene.proxy.next(api, Fate::Kept);
        let recording = record_beside(&scene.first, &[(0, 10), (1, 20)], "intent");
        let kept = planned.came().await;
        let second = scene.join().await;
        kept.deliver().await;
        let recorded = in_time(recording).await;
        assert_eq!((&recorded.answer, recorded.doubtful), (&RecordAnswer::Stored, false), "{name}");
        let both = BTreeMap::from([(0, stored(10, "intent")), (1, stored(20, "intent"))]);
        assert_eq!(recorded.read, both, "{name}: ours until we let go");
        scene.hand_over(second, &BTreeMap::from([(0, (10, "intent")), (1, (20, "intent"))])).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_recording() {
    while_asking("recording", Api::OFFSET_COMMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_reading_back() {
    while_asking("read-back", Api::OFFSET_FETCH).await;
}
