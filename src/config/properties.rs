//! `[kafka.properties]`: any property of librdkafka, except those that decide about exactly once. Properties of the
//! Java client are named with what does their job here; the rest is judged by librdkafka itself.

use std::collections::BTreeMap;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use toml::de::DeValue;

use super::mask::is_sensitive;
use super::origin;
use super::reader::{Item, Section};

/// Properties that the loader sets itself, and why nobody else may.
const OWNED: [(&str, &str); 17] = [
    ("bootstrap.servers", "set kafka.brokers instead"),
    ("metadata.broker.list", "set kafka.brokers instead"),
    ("group.id", "set kafka.group, or `group` of the route"),
    ("enable.auto.commit", "positions move only after their rows are visible in the engine"),
    ("auto.commit.enable", "positions move only after their rows are visible in the engine"),
    ("auto.commit.interval.ms", "positions move only after their rows are visible in the engine"),
    ("enable.auto.offset.store", "positions move only after their rows are visible in the engine"),
    ("offset.store.method", "positions are stored in the group, where a new owner finds them"),
    ("auto.offset.reset", "set `start`; a position that the log no longer has stops the pipeline instead of skipping"),
    ("isolation.level", "records of aborted transactions must not become rows: it is always read_committed"),
    ("enable.partition.eof", "the loader needs the end of a partition to know its lag"),
    ("acks", "dead letters count only when every in-sync replica has them"),
    ("request.required.acks", "dead letters count only when every in-sync replica has them"),
    ("enable.idempotence", "dead letters are always written by an idempotent producer"),
    ("transactional.id", "the loader uses no Kafka transactions"),
    ("statistics.interval.ms", "the loader sets what it reads"),
    ("plugin.library.paths", "no foreign code is loaded into the process"),
];

/// Properties of the Java client that librdkafka does not take, and what does their job.
const JAVA: [(&str, &str); 19] = [
    (
        "kerberos.domain.name",
        "no equivalent: brokers must be reachable under the host name of their Kerberos principal",
    ),
    ("sasl.jaas.config", "use sasl.username and sasl.password, or sasl.kerberos.principal and sasl.kerberos.keytab"),
    ("sasl.login.class", "remove it: login is built in"),
    ("sasl.login.callback.handler.class", "remove it: login is built in"),
    ("sasl.client.callback.handler.class", "remove it: login is built in"),
    ("java.security.auth.login.config", "use sasl.username and sasl.password, or sasl.kerberos.keytab"),
    ("java.security.krb5.conf", "set the environment variable KRB5_CONFIG"),
    ("ssl.truststore.location", "use ssl.ca.location with a PEM file"),
    ("ssl.truststore.password", "remove it: a PEM file of certificates has no password"),
    ("ssl.truststore.type", "remove it; use ssl.ca.location with a PEM file"),
    ("ssl.keystore.type", "remove it: ssl.keystore.location takes PKCS#12"),
    ("ssl.protocol", "remove it: the newest TLS version that both sides know is used"),
    ("key.deserializer", "remove it: records are read as bytes"),
    ("value.deserializer", "remove it: records are read as bytes"),
    ("key.serializer", "remove it: records are written as bytes"),
    ("value.serializer", "remove it: records are written as bytes"),
    ("max.poll.records", "remove it: memory is bounded by batch.memory"),
    ("default.api.timeout.ms", "use socket.timeout.ms"),
    ("interceptor.classes", "remove it: there are no interceptors"),
];

/// Reads the properties. `None`: at least one problem is noted.
pub(super) fn read(table: &Section<'_>) -> Option<BTreeMap<String, String>> {
    let mut found = Vec::new();
    flatten(table, "", &mut found);
    let count = found.len();
    let mut properties = BTreeMap::new();
    for (name, item) in &found {
        let value = value(name, item).filter(|value| allowed(name, value, item));
        if value.and_then(|value| properties.insert(name.clone(), value)).is_some() {
            item.error("is set twice: in quotes and without them it is the same property");
        }
    }
    (properties.len() == count && together(table, &properties)).then_some(properties)
}

/// `security.protocol` without quotes is a table in a table for TOML; it means the same here.
fn flatten<'t>(table: &Section<'t>, prefix: &str, found: &mut Vec<(String, Item<'t>)>) {
    for (key, item) in table.entries() {
        let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        if is_sensitive(&name) {
            item.conceal();
        }
        let nested = matches!(item.value(), DeValue::Table(_)) && !origin::is_reference(&item);
        let inner = if nested { item.section("a table") } else { None };
        match inner {
            Some(inner) => flatten(&inner, &name, found),
            None => found.push((name, item)),
        }
    }
}

fn value(name: &str, item: &Item<'_>) -> Option<String> {
    match item.value() {
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::String(_) if holds_secret(name) => {
            let secret = origin::secret(item, name)?;
            String::from_utf8(secret.expose().to_vec()).ok()
        }
        DeValue::String(_) | DeValue::Table(_) => origin::text(item, name),
        DeValue::Datetime(_) | DeValue::Array(_) => {
            item.mistyped("a string, a number or a boolean");
            None
        }
    }
}

/// Properties whose value is a secret itself (`ssl.key.location` is none).
fn holds_secret(name: &str) -> bool {
    name.ends_with("password") || name.ends_with("secret") || name == "ssl.key.pem"
}

fn allowed(name: &str, value: &str, item: &Item<'_>) -> bool {
    if let Some((_, reason)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        item.problem("the loader sets this property itself", *reason);
        return false;
    }
    if let Some((_, remedy)) = JAVA.iter().find(|(java, _)| *java == name) {
        item.problem("is a property of Kafka's Java client; librdkafka does not take it", *remedy);
        return false;
    }
    let Err(error) = ClientConfig::new().set(name, value).create_native_config() else {
        return true;
    };
    let text = librdkafka_text(&error);
    if text.contains("No such configuration property") {
        // It may be the name of a password, misspelt.
        item.conceal();
        item.problem("librdkafka does not know this property", "see CONFIGURATION.md of librdkafka 2.12 for all");
    } else if is_sensitive(name) {
        item.error("librdkafka refuses the value");
    } else {
        item.error(format!("librdkafka refuses it: {text}"));
    }
    false
}

/// Some properties are refused only beside others: librdkafka says so when a client is created. None connects, as none
/// is given a broker.
fn together(table: &Section<'_>, properties: &BTreeMap<String, String>) -> bool {
    let mut config: ClientConfig = properties.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    // Without a group the client is gone as soon as it is dropped.
    config.remove("group.instance.id").set("enable.auto.commit", "false");
    let Err(error) = config.create::<BaseConsumer>() else {
        return true;
    };
    let text = librdkafka_text(&error);
    let secrets = properties.iter().filter(|(name, value)| holds_secret(name) && !value.is_empty());
    let text = secrets.fold(text, |text, (_, secret)| text.replace(secret.as_str(), "…"));
    let hint = if text.contains("No provider for SASL mechanism GSSAPI") {
        "this program was built without Kerberos; build it with `--features kerberos`"
    } else {
        "each property is fine by itself; together they are not"
    };
    table.problem(format!("librdkafka refuses these properties: {text}"), hint);
    false
}

/// librdkafka's own words, without the value that rdkafka adds to them.
fn librdkafka_text(error: &KafkaError) -> String {
    if let KafkaError::ClientConfig(_, text, _, _) = error { text.clone() } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_properties_is_so() {
        let refused = |name: &str, value: &str| ClientConfig::new().set(name, value).create_native_config().err();
        for (name, _) in OWNED {
            let text = refused(name, "\u{1}").map(|error| librdkafka_text(&error)).unwrap_or_default();
            assert!(!text.contains("No such configuration property"), "{name} needs no refusal of ours");
        }
        for (name, _) in JAVA {
            assert!(refused(name, "x").is_some(), "librdkafka takes {name}");
        }
    }
}
