//! `[kafka]`: brokers, the prefix of the groups, the start of routes that name none, librdkafka's properties.

use std::collections::BTreeMap;

use super::reader::{Item, Section, all};
use super::{Kafka, Start, engine, properties, start};

/// Prefix of the group of every pipeline whose routes do not name one.
pub(super) const GROUP: &str = "loadlock";

/// What `[kafka]` says. A part that is `None` has its problem noted.
pub(super) struct Read {
    pub(super) kafka: Option<Kafka>,
    /// Prefix of the groups.
    pub(super) group: String,
    /// Start of routes that name none.
    pub(super) start: Start,
}

/// Reads `[kafka]`.
pub(super) fn read(mut section: Section<'_>) -> Read {
    let brokers = section.require("brokers", "brokers = \"kafka-1:9092,kafka-2:9092\"");
    let brokers = brokers.and_then(|item| self::brokers(&item));
    let group = section.take("group").and_then(|item| item.words("the prefix of the consumer groups"));
    let start = section.take("start").and_then(|item| start::read(&item));
    let properties = section.take("properties").map_or(Some(BTreeMap::new()), |item| {
        let table = item.section("a table of librdkafka properties")?;
        properties::read(&table)
    });
    section.finish();
    Read {
        kafka: brokers.zip(properties).map(|(brokers, properties)| Kafka { brokers, properties }),
        group: group.unwrap_or(GROUP).to_owned(),
        // A start that has a problem stops everything anyway.
        start: start.unwrap_or(Start::Committed),
    }
}

/// `"a:9092,b:9092"`, `["a:9092", "b:9092"]`, or either's text elsewhere.
fn brokers(item: &Item<'_>) -> Option<String> {
    const HINT: &str = "host:port, as in \"kafka-1:9092,kafka-2:9092\"";
    let addresses = engine::addresses(item, "the brokers")?;
    let brokers: Vec<&str> = all(addresses.iter().map(|(item, broker)| {
        if !is_broker(broker) {
            // What looks like a user and a password is not repeated.
            let shown = if broker.contains('@') { "this".to_owned() } else { format!("{broker:?}") };
            item.problem(format!("{shown} is no broker"), HINT);
            return None;
        }
        Some(broker.as_str())
    }))?;
    if brokers.is_empty() {
        item.problem("no broker is named", HINT);
        return None;
    }
    Some(brokers.join(","))
}

/// `host:port`, with librdkafka's optional `PROTOCOL://` in front.
fn is_broker(text: &str) -> bool {
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    engine::is_host_port(address)
}

#[cfg(test)]
mod tests {
    use super::is_broker;

    #[test]
    fn brokers() {
        for good in ["kafka-1:9092", "10.0.0.1:9092", "[::1]:9092", "SASL_SSL://kafka:9093", "kafka_1.example.com:1"] {
            assert!(is_broker(good), "{good}");
        }
        for bad in ["kafka-1", ":9092", "kafka:", "kafka:99999", "kafka:port", "http://kafka:9092/x", "a b:1"] {
            assert!(!is_broker(bad), "{bad}");
        }
    }
}
