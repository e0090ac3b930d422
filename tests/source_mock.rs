//! The source where a real broker can't be made to misbehave: librdkafka's mock cluster with injected errors, delays and
//! outages. What the mock can't do (transactions, static members, offsets by time) is in `broker.rs`.

#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

#[path = "support/kafka.rs"]
mod kafka;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka::{DEADLINE, Member, Writer, span, spec, stored, unique};
use loadlock::source::{Closed, RecordAnswer, SourceEvent};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

struct Mock {
    cluster: MockCluster<'static, DefaultProducerContext>,
    topic: String,
    group: String,
}

/// The only broker of a mock cluster.
const BROKER: i32 = 1;

const CLASSIC: &[(&str, &str)] =
    &[("partition.assignment.strategy", "cooperative-sticky"), ("heartbeat.interval.ms", "200")];

impl Mock {
    fn new(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        let (topic, group) = (unique("mock"), unique("group"));
        cluster.create_topic(&topic, partitions, 1).expect("a topic");
        Self { cluster, topic, group }
    }

    fn member(&self, properties: &[(&str, &str)]) -> Member {
        let mut all = CLASSIC.to_vec();
        all.extend(properties);
        Member::start(spec(&self.cluster.bootstrap_servers(), &self.topic, &self.group, &all))
    }

    fn writer(&self) -> Writer {
        Writer::new(&self.cluster.bootstrap_servers(), &self.topic)
    }
}

async fn lost(member: &mut Member) -> Vec<i32> {
    loop {
        if let SourceEvent::Lost { partitions, .. } = member.event().await {
            return partitions;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_read_and_positions_stored() {
    let mock = Mock::new(1);
    mock.writer().send(0, 1000);
    let mut member = mock.member(&[]);
    member.owns(1).await;
    member.fill(&[(0, 10)]);
    assert_eq!(member.records(990).await, span(0, 10, 1000));
    let recorded = member.record(&[(0, 1000)], "x").await;
    assert_eq!((recorded.answer, recorded.doubtful), (RecordAnswer::Stored, false));
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(1000, "x"))]));
    let read = member.source.control.read_positions(vec![0]).await.expect("read");
    assert_eq!((read.log[&0].start, read.log[&0].end), (0, 1000));
    assert_eq!(member.source.control.close(DEADLINE).await, Closed::Left);
}

/// Whatever the client asked the broker before it was positioned, its late answer must not move the position.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_broker_cannot_move_a_position() {
    let mock = Mock::new(2);
    let writer = mock.writer();
    for _ in 0..10 {
        writer.send(0, 10);
        writer.send(1, 10);
    }
    mock.cluster.broker_round_trip_time(BROKER, Duration::from_millis(400)).expect("slow");
    // One batch per fetch: the late answer comes in the middle.
    let mut member = mock.member(&[("fetch.message.max.bytes", "10")]);
    member.owns(2).await;
    member.fill(&[(0, 0), (1, 30)]);
    let mut read = member.records(170).await;
    read.sort_unstable();
    let mut expected = span(0, 0, 100);
    expected.extend(span(1, 30, 100));
    assert_eq!(read, expected);
}

/// The mock refuses commits once a rebalance has begun, as a real broker can: the answer comes while the partitions
/// are still waiting to leave, or nobody would get any further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_refused_while_leaving_is_answered_at_once() {
    let mock = Mock::new(2);
    let eager = [("partition.assignment.strategy", "range")];
    let mut first = mock.member(&eager);
    first.owns(2).await;
    first.record(&[(0, 1), (1, 1)], "before").await;
    let mut second = mock.member(&eager);
    let revoked = first.revoked().await;
    let began = Instant::now();
    let recorded = first.record(&[(0, 2)], "refused").await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert!(matches!(recorded.answer, RecordAnswer::Passing(_)), "{recorded:?}");
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(1, "before"))]), "still ours, not stored");
    drop(revoked.release);
    first.owns(1).await;
    second.owns(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expelled_member_loses_everything_and_comes_back_as_another() {
    let mock = Mock::new(1);
    let mut member = mock.member(&[]);
    member.owns(1).await;
    member.record(&[(0, 5)], "before").await;
    mock.cluster.request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    assert_eq!(lost(&mut member).await, [0]);
    let zombie = member.record(&[(0, 6)], "zombie").await;
    assert!(matches!(zombie.answer, RecordAnswer::Gone(_)), "{zombie:?}");
    assert!(zombie.read.is_empty());
    member.owns(1).await;
    assert_eq!(member.stored(0).await, stored(5, "before"));
    assert_eq!(member.record(&[(0, 7)], "after").await.answer, RecordAnswer::Stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_that_names_an_unknown_member_ends_the_membership() {
    let mock = Mock::new(1);
    let mut member = mock.member(&[]);
    member.owns(1).await;
    mock.cluster.request_errors(RDKafkaApiKey::OffsetCommit, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    let refused = member.record(&[(0, 6)], "refused").await;
    assert!(matches!(refused.answer, RecordAnswer::Gone(_)), "{refused:?}");
    assert!(refused.read.is_empty());
    let again = member.record(&[(0, 7)], "again").await;
    assert!(matches!(again.answer, RecordAnswer::Gone(_)), "nothing more before the next assignment: {again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_back_that_fails_is_repeated() {
    let mock = Mock::new(1);
    let mut member = mock.member(&[]);
    member.owns(1).await;
    let failing = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN; 3];
    mock.cluster.request_errors(RDKafkaApiKey::OffsetFetch, &failing);
    let recorded = member.record(&[(0, 6)], "x").await;
    assert_eq!(recorded.read, BTreeMap::from([(0, stored(6, "x"))]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_commit_is_not_doubtful_and_one_sent_twice_is() {
    let mock = Mock::new(1);
    let mut member = mock.member(&[]);
    member.owns(1).await;
    for offset in 0..5 {
        assert!(!member.record(&[(0, offset)], "quick").await.doubtful);
    }
    mock.cluster.broker_round_trip_time(BROKER, Duration::from_millis(300)).expect("slow");
    let slow = member.record(&[(0, 5)], "slow").await;
    assert_eq!((slow.answer, slow.doubtful), (RecordAnswer::Stored, false));

    // Stored, but its answer is lost with the connection: the client sends it once more.
    mock.cluster.broker_round_trip_time(BROKER, Duration::from_millis(1500)).expect("slower");
    let (control, tenure) = (member.source.control.clone(), member.tenure);
    let twice = tokio::spawn(async move { control.record(kafka::to_store(&[(0, 6)], "twice"), tenure).await });
    // Time for the request to reach the mock; from outside nothing shows that it has.
    tokio::time::sleep(Duration::from_millis(500)).await;
    mock.cluster.broker_down(BROKER).expect("down");
    mock.cluster.broker_round_trip_time(BROKER, Duration::ZERO).expect("quick again");
    mock.cluster.broker_up(BROKER).expect("up");
    let twice = tokio::time::timeout(DEADLINE, twice).await.expect("in time").expect("answered");
    assert!(twice.doubtful, "{twice:?}");

    member.source.control.rejoin().await.expect("rejoined");
    member.owned.clear();
    member.owns(1).await;
    assert_eq!(member.stored(0).await, stored(6, "twice"));
    assert!(!member.record(&[(0, 7)], "after").await.doubtful);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_said_once_and_so_is_its_end() {
    let mock = Mock::new(1);
    mock.writer().send(0, 10);
    let mut member = mock.member(&[("reconnect.backoff.max.ms", "500")]);
    member.owns(1).await;
    member.fill(&[(0, 0)]);
    member.records(10).await;
    mock.cluster.broker_down(BROKER).expect("down");
    assert!(matches!(member.event().await, SourceEvent::Away { .. }));
    let said_again = tokio::time::timeout(Duration::from_secs(3), member.source.events.recv()).await;
    assert!(said_again.is_err(), "{said_again:?}");
    mock.cluster.broker_up(BROKER).expect("up");
    loop {
        match member.event().await {
            SourceEvent::Back => break,
            // The session may have run out meanwhile.
            SourceEvent::Lost { .. } | SourceEvent::Assigned { .. } => {}
            event @ (SourceEvent::Revoking { .. } | SourceEvent::Away { .. } | SourceEvent::Failed(_)) => {
                panic!("{event:?}")
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_never_takes_longer_than_its_deadline() {
    let mock = Mock::new(1);
    let mut member = mock.member(&[]);
    member.owns(1).await;
    mock.cluster.broker_down(BROKER).expect("down");
    let began = Instant::now();
    member.source.control.close(Duration::from_secs(2)).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_without_kafka_says_so_and_closes() {
    // A port that nobody listens on: bound here and let go.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let mut member = Member::start(spec(&free.to_string(), "t", "g", &[]));
    assert!(matches!(member.event().await, SourceEvent::Away { .. }));
    let refused = member.source.control.read_positions(vec![0]).await.expect_err("nobody there");
    assert!(refused.is_passing(), "{refused}");
    let began = Instant::now();
    member.source.control.close(Duration::from_secs(2)).await;
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
