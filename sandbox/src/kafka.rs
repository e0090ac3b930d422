//! A Kafka to go with the engine: librdkafka's mock cluster, in this process and in memory.

use std::fmt;
use std::str::FromStr;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A topic to be made: `NAME:PARTITIONS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Name.
    pub name: String,
    /// Partitions, at least 1.
    pub partitions: i32,
}

impl FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.rsplit_once(':').and_then(|(name, n)| Some((name, n.parse::<i32>().ok()?)));
        match parsed {
            Some((name, partitions @ 1..)) if !name.is_empty() => Ok(Self { name: name.to_owned(), partitions }),
            _ => Err(format!("a topic is NAME:PARTITIONS, as in orders:4, not '{text}'")),
        }
    }
}

/// A mock cluster of one broker. It ends when it is dropped.
///
/// It keeps 5 MiB per partition and knows no transactions: whatever a transactional producer wrote and aborted is read
/// all the same (librdkafka 2.12, `rdkafka_mock*.c`).
pub struct Kafka {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("brokers", &self.brokers()).finish()
    }
}

impl Kafka {
    /// Starts a broker on a free loopback port and makes the topics.
    ///
    /// # Errors
    /// When librdkafka can't make the cluster or a topic.
    pub fn start(topics: &[Topic]) -> Result<Self, KafkaError> {
        let cluster = MockCluster::new(1)?;
        for topic in topics {
            cluster.create_topic(&topic.name, topic.partitions, 1)?;
        }
        Ok(Self { cluster })
    }

    /// `host:port` for `bootstrap.servers`.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_by_name_and_partitions() {
        assert_eq!("a.b:c:4".parse(), Ok(Topic { name: "a.b:c".into(), partitions: 4 }));
        for text in ["orders", "orders:", "orders:0", "orders:x", ":3"] {
            assert!(text.parse::<Topic>().is_err(), "{text}");
        }
    }
}
