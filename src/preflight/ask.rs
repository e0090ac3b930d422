//! The questions of preflight: to one broker and to the frontends, side by side, with a deadline.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;

use super::{Asked, EngineFacts, Finding, KafkaFacts, Need, engine, findings};
use crate::config::{Config, Kafka};
use crate::load::{Loader, Unanswered};
use crate::source::client_config;

/// Longest wait for all answers together.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for one answer of a broker.
const BROKER_ANSWERS_WITHIN: Duration = Duration::from_secs(4);

/// Where Kafka keeps positions.
const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What a look at the surroundings has brought.
#[derive(Clone, Debug)]
pub struct Look {
    /// The findings, the worst first.
    pub findings: Vec<Finding>,
    /// Who did not answer at all, with the reason.
    pub away: Vec<String>,
}

/// Asks Kafka and the engine. Never fails: what is not answered in time is a finding.
pub async fn look(config: &Config, loader: &Loader) -> Look {
    let need = Need::of(config);
    let (engine, kafka) = tokio::join!(ask_engine(&need, loader), ask_kafka(&config.kafka));
    let away = [engine_away(&engine), kafka_away(&kafka)].into_iter().flatten().collect();
    Look { findings: findings(&need, &engine.facts, &kafka), away }
}

struct EngineAnswers {
    facts: EngineFacts,
    /// Nobody answered.
    away: bool,
}

fn engine_away(engine: &EngineAnswers) -> Option<String> {
    let why = engine.facts.version.as_ref().err().filter(|_| engine.away)?;
    Some(format!("the engine does not answer: {why}"))
}

fn kafka_away(kafka: &KafkaFacts) -> Option<String> {
    let why = kafka.broker.as_ref().err().filter(|_| kafka.brokers.is_none())?;
    Some(format!("kafka does not answer: {why}"))
}

async fn ask_engine(need: &Need, loader: &Loader) -> EngineAnswers {
    let names = engine::settings(need.engine);
    let (version, settings) = tokio::join!(in_time(loader.version()), in_time(loader.settings(&names)));
    let away = version.as_ref().err().is_some_and(|unanswered| unanswered.passing);
    let why = |unanswered: Unanswered| unanswered.what;
    EngineAnswers { facts: EngineFacts { version: version.map_err(why), settings: settings.map_err(why) }, away }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, Unanswered>>) -> Result<T, Unanswered> {
    let late = || Unanswered { what: format!("no answer within {} s", ANSWERED_WITHIN.as_secs()), passing: true };
    tokio::time::timeout(ANSWERED_WITHIN, answer).await.unwrap_or_else(|_| Err(late()))
}

/// The brokers as the metadata show them.
struct Brokers {
    first: i32,
    count: usize,
    copies: Option<usize>,
}

async fn ask_kafka(kafka: &Kafka) -> KafkaFacts {
    let nobody =
        |why: String| KafkaFacts { broker: Err(why.clone()), brokers: None, copies: None, offsets_topic: Err(why) };
    let connection = kafka.clone();
    let brokers = tokio::task::spawn_blocking(move || brokers(&connection)).await;
    let Brokers { first, count, copies } = match brokers {
        Ok(Ok(brokers)) => brokers,
        Ok(Err(error)) => return nobody(error.to_string()),
        Err(error) => return nobody(error.to_string()),
    };
    let described = tokio::time::timeout(ANSWERED_WITHIN, describe(kafka, first)).await;
    let (broker, offsets_topic) = match described {
        Ok(both) => both,
        Err(_) => {
            let late = format!("no answer within {} s", ANSWERED_WITHIN.as_secs());
            (Err(late.clone()), Err(late))
        }
    };
    KafkaFacts { broker, brokers: Some(count), copies, offsets_topic }
}

/// A client that keeps to itself what the pipelines' own clients say anyway.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "kafka", facility, "preflight: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "kafka", %error, "preflight: {reason}");
    }
}

impl ConsumerContext for Quiet {}

/// A consumer asks, since a producer's question would create the topic. Blocks.
fn brokers(kafka: &Kafka) -> Result<Brokers, KafkaError> {
    let consumer: BaseConsumer<Quiet> = client_config(kafka).create_with_context(Quiet)?;
    let metadata = consumer.fetch_metadata(Some(OFFSETS_TOPIC), BROKER_ANSWERS_WITHIN)?;
    let topic = metadata.topics().iter().find(|topic| topic.name() == OFFSETS_TOPIC);
    let partitions = topic.into_iter().flat_map(MetadataTopic::partitions);
    Ok(Brokers {
        first: metadata.brokers().first().map_or(0, rdkafka::metadata::MetadataBroker::id),
        count: metadata.brokers().len(),
        copies: partitions.map(|partition| partition.replicas().len()).min(),
    })
}

/// Settings of a broker, and of the topic that holds the positions.
async fn describe(kafka: &Kafka, broker: i32) -> (Asked, Asked) {
    let described = async {
        let admin = AdminClient::from_config_and_context(&client_config(kafka), Quiet)?;
        let options = AdminOptions::new().request_timeout(Some(BROKER_ANSWERS_WITHIN));
        let resources = [ResourceSpecifier::Broker(broker), ResourceSpecifier::Topic(OFFSETS_TOPIC)];
        admin.describe_configs(&resources, &options).await
    };
    match described.await {
        Err(error) => (Err(error.to_string()), Err(error.to_string())),
        Ok(answers) => {
            let mut answers = answers.into_iter().map(|answer| answer.map(values).map_err(|code| code.to_string()));
            let mut next = || answers.next().unwrap_or_else(|| Err("no answer".to_owned()));
            (next(), next())
        }
    }
}

fn values(resource: ConfigResource) -> BTreeMap<String, String> {
    resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
}
