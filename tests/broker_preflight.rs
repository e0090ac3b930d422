//! What preflight finds at a real Kafka. Needs `KAFKA_BROKERS`.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

#[path = "support/kafka.rs"]
mod kafka;

use loadlock::config::Config;
use loadlock::load::Loader;
use loadlock::preflight::{Look, Severity, look};

/// A look with these properties; the engine is not there.
async fn looked(brokers: &str, properties: &str) -> Look {
    let text = format!(
        "[kafka]\nbrokers = \"{brokers}\"\nstart = \"earliest\"\n[kafka.properties]\n{properties}\n[engine]\nkind = \"doris\"\n\
         frontends = [\"http://127.0.0.1:1\"]\nuser = \"root\"\npassword = \"\"\n[[topic2table]]\ntopic = \"t\"\n\
         table = \"d.t\"\ncolumns = [\"id\"]\njsonpaths = [\"$.id\"]\n"
    );
    let file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    let (config, _) = Config::load(file.path()).expect("a configuration");
    look(&config, &Loader::new(&config.engine).expect("a loader")).await
}

fn of_kafka(look: &Look) -> Vec<(&'static str, Severity)> {
    let engine = |name: &str| name == "engine-version";
    let own = look.findings.iter().filter(|f| !engine(f.name) && !f.what.contains("settings of Doris"));
    own.map(|finding| (finding.name, finding.severity)).collect()
}

/// The broker of the tests is alone and keeps one copy; everything else is as it should be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_a_broker_are_found_and_judged() {
    let Some(brokers) = kafka::real_brokers("preflight") else { return };
    let plain = looked(&brokers, "").await;
    assert_eq!(of_kafka(&plain), [("offsets-copies", Severity::Note)], "{:?}", plain.findings);
    assert_eq!(plain.away.len(), 1, "only the engine: {:?}", plain.away);

    let short = looked(&brokers, "\"session.timeout.ms\" = 10").await;
    assert!(of_kafka(&short).contains(&("session-time-out", Severity::Refuse)), "{:?}", short.findings);
    let long = looked(&brokers, "\"session.timeout.ms\" = 3600000\n\"max.poll.interval.ms\" = 7200000").await;
    assert!(of_kafka(&long).contains(&("session-time-out", Severity::Refuse)), "{:?}", long.findings);
}

/// Brokers of 4.0 and later speak the newer protocol; at older ones a member would wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newer_protocol_is_refused_where_brokers_do_not_speak_it() {
    let Some(brokers) = kafka::real_brokers("preflight") else { return };
    let refused = looked(&brokers, "\"group.protocol\" = \"consumer\"").await;
    let refused = of_kafka(&refused).contains(&("group-protocol", Severity::Refuse));
    let speaks = kafka::speaks_consumer_protocol(&brokers, "preflight").await;
    assert_eq!(refused, !speaks);
}
