//! Members of a group come and go while records flow: what they store must cover each offset once.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::BTreeMap;
use std::time::Duration;

use kafka::{CONSUMER, COOPERATIVE, EAGER, Member, Place, speaks_consumer_protocol, stored};
use loadlock::domain::{Partition, Range};
use loadlock::source::{RecordAnswer, SourceEvent};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset as At;

/// A member that works as a pipeline does: reads, stores what it has read, and on a revocation stores its last word
/// before it lets go. `stored` collects the ranges that it has seen stored under its own assignment.
async fn work(mut member: Member, mut stop: tokio::sync::watch::Receiver<bool>) -> Vec<(Partition, Range)> {
    let mut done: Vec<(Partition, Range)> = Vec::new();
    let mut committed: BTreeMap<Partition, i64> = BTreeMap::new();
    // Fence from which on chunks count for a partition.
    let mut valid: BTreeMap<Partition, u64> = BTreeMap::new();
    let mut tick = tokio::time::interval(Duration::from_millis(30));
    loop {
        tokio::select! {
            biased;
            event = member.source.events.recv() => match event.expect("the thread lives") {
                SourceEvent::Assigned { partitions, tenure } if !partitions.is_empty() => {
                    member.tenure = tenure;
                    let read = member.source.control.read_positions(partitions.clone()).await.expect("read");
                    let start = |partition: &Partition| {
                        (*partition, read.stored[partition].as_ref().map_or(0, |stored| stored.offset))
                    };
                    let starts: BTreeMap<_, _> = partitions.iter().map(start).collect();
                    member.fence += 1;
                    for (&partition, &offset) in &starts {
                        member.next.insert(partition, offset);
                        committed.insert(partition, offset);
                        valid.insert(partition, member.fence);
                    }
                    member.source.control.join(member.fence, starts);
                }
                SourceEvent::Assigned { .. } | SourceEvent::Away { .. } | SourceEvent::Back => {}
                SourceEvent::Revoking { partitions, release } => {
                    store(&member, &mut committed, &mut done, &partitions).await;
                    for partition in partitions {
                        member.next.remove(&partition);
                        valid.remove(&partition);
                    }
                    release.send(()).expect("it waits");
                }
                event @ (SourceEvent::Lost { .. } | SourceEvent::Failed(_)) => panic!("{event:?}"),
            },
            chunk = member.source.chunks.recv() => {
                let chunk = chunk.expect("the thread lives");
                for record in chunk.iter() {
                    if valid.get(&record.partition).is_some_and(|fence| chunk.fence >= *fence) {
                        let next = member.next.get_mut(&record.partition).expect("valid");
                        assert_eq!(record.offset, *next, "partition {}", record.partition);
                        *next += 1;
                    }
                }
            }
            _ = tick.tick() => {
                let all: Vec<_> = member.next.keys().copied().collect();
                store(&member, &mut committed, &mut done, &all).await;
            }
            _ = stop.changed() => {
                let all: Vec<_> = member.next.keys().copied().collect();
                store(&member, &mut committed, &mut done, &all).await;
                member.source.control.close(kafka::DEADLINE).await;
                return done;
            }
        }
    }
}

/// Stores what was read of `partitions`, until the read-back says that it is there or not ours.
async fn store(
    member: &Member,
    committed: &mut BTreeMap<Partition, i64>,
    done: &mut Vec<(Partition, Range)>,
    partitions: &[Partition],
) {
    let news = |partition: &Partition| {
        let next = *member.next.get(partition)?;
        (committed[partition] != next).then_some((*partition, next))
    };
    let positions: Vec<_> = partitions.iter().filter_map(news).collect();
    for _ in 0..20 {
        if positions.is_empty() {
            return;
        }
        let recorded = member.record(&positions, "").await;
        assert!(!recorded.doubtful, "{recorded:?}");
        let there = positions.iter().filter(|(p, next)| recorded.read.get(p) == Some(&stored(*next, ""))).count();
        if there == positions.len() {
            for (partition, end) in positions {
                let start = committed.insert(partition, end).expect("known");
                done.push((partition, Range { start, end }));
            }
            return;
        }
        assert_eq!(there, 0, "half stored: {recorded:?}");
        // Refused by a passing rebalance: all still ours, none stored. Anything else would be a fault here.
        assert!(matches!(recorded.answer, RecordAnswer::Passing(_)), "{recorded:?}");
        assert_eq!(recorded.read.len(), positions.len(), "{recorded:?}");
    }
    panic!("never stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_each_offset_is_stored_once() {
    const PARTITIONS: i32 = 4;
    for protocol in [EAGER, COOPERATIVE, CONSUMER] {
        let Some(place) = Place::new("handover", PARTITIONS).await else { return };
        if protocol == CONSUMER && !speaks_consumer_protocol(&place.brokers, "handover").await {
            continue;
        }
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let first = tokio::spawn(work(place.member(protocol), stopped.clone()));
        let mut ranges = Vec::new();
        let mut sent = 0;
        for _ in 0..3 {
            let (leave, leaving) = tokio::sync::watch::channel(false);
            let guest = tokio::spawn(work(place.member(protocol), leaving));
            // Records flow while the guest comes, stays and goes.
            let flowing = std::time::Instant::now();
            while flowing.elapsed() < Duration::from_secs(4) {
                let writer = place.writer();
                tokio::task::spawn_blocking(move || (0..PARTITIONS).for_each(|p| writer.send(p, 250)))
                    .await
                    .expect("sent");
                sent += 250;
            }
            leave.send(true).expect("the guest lives");
            ranges.extend(guest.await.expect("the guest"));
        }
        let reader = place.member_ids();
        assert!(reader.len() <= 2, "{reader:?}");
        // The one that stays gets to the end.
        let probe: BaseConsumer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &place.brokers)
            .set("group.id", &place.group)
            .create()
            .expect("a client");
        kafka::until("everything is stored", || {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&place.topic, 0, PARTITIONS - 1);
            let stored = probe.committed_offsets(list, Duration::from_secs(5)).ok()?;
            stored.elements().iter().all(|element| element.offset() == At::Offset(sent)).then_some(())
        })
        .await;
        stop.send(true).expect("the first lives");
        ranges.extend(first.await.expect("the first"));

        for partition in 0..PARTITIONS {
            let mut own: Vec<_> = ranges.iter().filter(|(p, _)| *p == partition).map(|(_, range)| *range).collect();
            own.sort_unstable();
            let mut next = 0;
            for range in own {
                assert_eq!(range.start, next, "partition {partition}: twice or never, {protocol:?}");
                next = range.end;
            }
            assert_eq!(next, sent, "partition {partition}, {protocol:?}");
        }
    }
}
