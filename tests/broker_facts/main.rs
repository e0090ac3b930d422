//! Each thing that the commit protocol takes for granted about Kafka, shown on a real one (`docs/exactly-once.md`, "What
//! it leans on"). Where it is the source that has to see it, the source is asked; a bare client shows what it hides.
//! Needs `KAFKA_BROKERS`; each test has a topic and a group of its own, some have brokers of their own.

#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

#[path = "../support/brokers.rs"]
mod brokers;
#[path = "../support/kafka.rs"]
mod kafka;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/raw.rs"]
mod raw;

mod commits;
mod copies;
mod fencing;
mod log;
mod outage;
mod revocation;

use kafka::{CONSUMER, COOPERATIVE, EAGER, Place, speaks_consumer_protocol};

/// How members of a group share its partitions out: name and settings.
type Protocol = (&'static str, &'static [(&'static str, &'static str)]);

/// A member with a name of its own, which its successor has, too.
const STATIC: Protocol =
    ("static", &[("partition.assignment.strategy", "cooperative-sticky"), ("group.instance.id", "one")]);

/// The protocols that these brokers speak.
async fn protocols(place: &Place, test: &str) -> Vec<Protocol> {
    let mut all: Vec<Protocol> = vec![("eager", EAGER), ("cooperative", COOPERATIVE)];
    if speaks_consumer_protocol(&place.brokers, test).await {
        all.push(("consumer", CONSUMER));
    }
    all
}

/// Settings of a member: those of the protocol and more. The newer protocol leaves sessions to the broker.
fn with(
    protocol: &[(&'static str, &'static str)],
    more: &[(&'static str, &'static str)],
) -> Vec<(&'static str, &'static str)> {
    let newer = protocol.contains(&CONSUMER[0]);
    let fits = |(name, _): &&(&str, &str)| !(newer && ["session.timeout.ms", "heartbeat.interval.ms"].contains(name));
    protocol.iter().chain(more.iter().filter(fits)).copied().collect()
}

/// A session that ends soon after its member has fallen silent.
const SHORT_SESSION: &[(&str, &str)] = &[("session.timeout.ms", "1500"), ("heartbeat.interval.ms", "300")];
