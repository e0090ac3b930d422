//! The settings that the loader's Kafka clients need, over those of the user.

use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};

use crate::config::Kafka;

/// How often librdkafka reports its counters (milliseconds); `recording` reads the number of OffsetCommits sent.
const STATISTICS_INTERVAL_MS: u32 = 1000;

/// Pause before librdkafka sends a request once more (milliseconds, its default). Owned: `recording` takes a commit
/// that was answered in half this time for one that was sent once.
pub(super) const RETRY_BACKOFF_MS: u32 = 100;

/// Longest pause between two attempts to connect (milliseconds). With librdkafka's own ten seconds a coordinator that is
/// back is found up to ten seconds later, and its group has waited for nothing.
const RECONNECT_BACKOFF_MAX_MS: u32 = 1000;

/// Settings of any client: the user's properties, brokers, log level, a short pause between attempts to connect.
pub fn client_config(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "loadlock");
    for (name, value) in &kafka.properties {
        config.set(name, value);
    }
    // The longest pause must not be below the shortest, which may be the user's.
    if ["reconnect.backoff.ms", "reconnect.backoff.max.ms"].iter().all(|name| config.get(name).is_none()) {
        config.set("reconnect.backoff.max.ms", RECONNECT_BACKOFF_MAX_MS.to_string());
    }
    config.set("bootstrap.servers", &kafka.brokers);
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// Settings of the consumer: [`client_config`], defaults that the user may override, and those that the guarantee
/// rests on, which he may not.
pub fn consumer_config(kafka: &Kafka, group: &str) -> ClientConfig {
    let mut config = client_config(kafka);
    for (name, value) in DEFAULTS {
        if config.get(name).is_none() {
            config.set(*name, *value);
        }
    }
    let newer_protocol = config.get("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"));
    if !newer_protocol {
        for (name, value) in CLASSIC_DEFAULTS {
            if config.get(name).is_none() {
                config.set(*name, *value);
            }
        }
    }
    for (name, value) in OWNED {
        config.set(*name, *value);
    }
    config.set("statistics.interval.ms", STATISTICS_INTERVAL_MS.to_string());
    config.set("retry.backoff.ms", RETRY_BACKOFF_MS.to_string());
    config.set("group.id", group);
    config
}

/// Time after which the group hands on what a silent member owned, as [`consumer_config`] has it; `None` with the newer
/// group protocol, where the broker decides.
pub fn session_timeout(kafka: &Kafka) -> Option<Duration> {
    let config = consumer_config(kafka, "");
    let newer_protocol = config.get("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"));
    let milliseconds = config.get("session.timeout.ms").and_then(|text| text.trim().parse().ok());
    milliseconds.filter(|_| !newer_protocol).map(Duration::from_millis)
}

/// Sizes: at most 8 MiB wait in the client, plus one answer of a broker on the way.
const DEFAULTS: &[(&str, &str)] = &[
    ("queued.max.messages.kbytes", "8192"),
    ("fetch.max.bytes", "4194304"),
    ("fetch.message.max.bytes", "1048576"),
    // With the default of a second the client sleeps whenever its queue was full for a moment.
    ("fetch.queue.backoff.ms", "5"),
    // A new position is fetched only when the broker has answered the fetch before it, and a broker with nothing new
    // holds its answer this long. So long, too, does the end of a partition stay unknown.
    ("fetch.wait.max.ms", "100"),
    ("check.crcs", "true"),
];

/// Defaults that the newer protocol has on the broker's side.
const CLASSIC_DEFAULTS: &[(&str, &str)] = &[
    ("partition.assignment.strategy", "cooperative-sticky"),
    // The group hands the partitions of a killed member on when its session ends; librdkafka's 45 s would be the time
    // that its rows are late. 6 s is the least that brokers allow unless told otherwise. A member that is merely cut off
    // for longer loses its partitions and no more than that: its open batch is settled by their next owner. A broker
    // that restarts gives every member a new session.
    ("session.timeout.ms", "6000"),
    // Two heartbeats can get lost.
    ("heartbeat.interval.ms", "2000"),
];

const OWNED: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // A position that is not in the log must stop the route, never move by itself.
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("enable.partition.eof", "true"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kafka(properties: &[(&str, &str)]) -> Kafka {
        let properties: BTreeMap<_, _> = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Kafka { brokers: "b:1".into(), properties }
    }

    fn with(properties: &[(&str, &str)]) -> ClientConfig {
        consumer_config(&kafka(properties), "g")
    }

    #[test]
    fn the_guarantee_cannot_be_configured_away() {
        let config = with(&[
            ("enable.auto.commit", "true"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_uncommitted"),
            ("retry.backoff.ms", "1"),
            ("group.id", "other"),
        ]);
        for (name, value) in OWNED {
            assert_eq!(config.get(name), Some(*value), "{name}");
        }
        assert_eq!(config.get("group.id"), Some("g"));
        assert_eq!(config.get("retry.backoff.ms"), Some("100"));
    }

    #[test]
    fn the_users_sizes_and_strategy_win() {
        let config = with(&[("fetch.max.bytes", "1000000"), ("partition.assignment.strategy", "range")]);
        assert_eq!(config.get("fetch.max.bytes"), Some("1000000"));
        assert_eq!(config.get("partition.assignment.strategy"), Some("range"));
        assert_eq!(with(&[]).get("partition.assignment.strategy"), Some("cooperative-sticky"));
        assert_eq!(with(&[("session.timeout.ms", "45000")]).get("session.timeout.ms"), Some("45000"));
        assert_eq!(with(&[]).get("session.timeout.ms"), Some("6000"));
    }

    #[test]
    fn the_pause_between_attempts_to_connect_is_short_unless_the_user_has_one() {
        assert_eq!(with(&[]).get("reconnect.backoff.max.ms"), Some("1000"));
        assert_eq!(with(&[("reconnect.backoff.max.ms", "30000")]).get("reconnect.backoff.max.ms"), Some("30000"));
        assert_eq!(with(&[("reconnect.backoff.ms", "2000")]).get("reconnect.backoff.max.ms"), None);
    }

    #[test]
    fn the_session_is_what_the_consumer_is_given() {
        let session = |properties: &[(&str, &str)]| session_timeout(&kafka(properties));
        assert_eq!(session(&[]), Some(Duration::from_secs(6)));
        assert_eq!(session(&[("session.timeout.ms", "45000")]), Some(Duration::from_secs(45)));
        assert_eq!(session(&[("group.protocol", "consumer")]), None);
    }

    #[test]
    fn the_newer_protocol_takes_nothing_of_the_classic_one() {
        for (name, _) in CLASSIC_DEFAULTS {
            assert_eq!(with(&[("group.protocol", "consumer")]).get(name), None, "{name}");
        }
    }
}
