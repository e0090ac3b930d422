//! What the brokers' settings mean for the group's positions and for the membership.

use std::time::Duration;

use super::{Asked, Finding, Need, Reader};
use crate::batch::policy::BESIDE_INTENT;
use crate::commit::metadata::intent_room;
use crate::config::show_duration;

/// Positions should be kept at least so long after the last member has left.
const KEPT_MIN: Duration = Duration::from_secs(86_400);

/// Only brokers before 4.0 have it.
const BEFORE_4: &str = "inter.broker.protocol.version";

/// What brokers have told.
#[derive(Clone, Debug)]
pub struct KafkaFacts {
    /// Settings of one broker.
    pub broker: Asked,
    /// Brokers of the cluster; `None` if nobody answered.
    pub brokers: Option<usize>,
    /// Copies of each partition of the topic that holds the positions; `None` if it is not there yet, or not shown.
    pub copies: Option<usize>,
    /// Settings of that topic.
    pub offsets_topic: Asked,
}

/// What the facts mean for these needs.
pub(super) fn findings(need: &Need, facts: &KafkaFacts) -> Vec<Finding> {
    let mut reader = Reader::new(&facts.broker);
    let metadata = reader.number("offset.metadata.max.bytes", 4096);
    let retention = reader.number("offsets.retention.minutes", 10_080);
    let replication = reader.number("offsets.topic.replication.factor", 3);
    let in_sync = reader.number("min.insync.replicas", 1);
    let session = need.session.map(|session| {
        let least = reader.number("group.min.session.timeout.ms", 6000);
        (session, least, reader.number("group.max.session.timeout.ms", 1_800_000))
    });
    let limits_found = reader.has("group.min.session.timeout.ms") && reader.has("group.max.session.timeout.ms");
    let metadata_found = reader.has("offset.metadata.max.bytes");
    let own = facts.offsets_topic.as_ref().ok().and_then(|own| own.get("min.insync.replicas")?.parse().ok());
    let copies = facts.copies.and_then(|copies| i64::try_from(copies).ok()).unwrap_or(replication);

    let mut findings: Vec<_> =
        metadata_room(need, metadata).into_iter().map(|finding| finding.if_found(metadata_found)).collect();
    findings.extend(kept_positions(retention));
    // What is only assumed of copies would be a guess about somebody's disks.
    if facts.broker.is_ok() {
        findings.extend(safe_positions(facts.brokers, copies, own.unwrap_or(in_sync)));
    }
    findings.extend(match session {
        // The brokers say themselves what is wrong with a session time-out; assumed limits would only mislead.
        Some((session, least, most)) => session_time_out(session, least, most).filter(|_| limits_found),
        None => newer_protocol(&facts.broker),
    });
    findings.extend(reader.not_asked("the brokers", "DescribeConfigs on the cluster lets the user ask"));
    findings
}

fn metadata_room(need: &Need, max: i64) -> Vec<Finding> {
    let judge = |pipeline: &super::PipelineNeed| {
        let tables = pipeline.tables() as usize;
        let (intent, whole) = (intent_room(tables), intent_room(tables) + BESIDE_INTENT);
        let max_bytes = usize::try_from(max).unwrap_or(0);
        let what = format!(
            "a position's metadata may have {max} bytes (offset.metadata.max.bytes), and an intent over {tables} tables \
             needs up to {whole}"
        );
        let remedy = format!("set offset.metadata.max.bytes to 4096, at least to {whole}, on all brokers");
        let finding = if max_bytes < intent {
            Finding::refuse("offset-metadata", format!("{what}: no batch could ever be committed"), remedy)
        } else if max_bytes < whole {
            Finding::warn("offset-metadata", format!("{what}: it may be refused (position-refused)"), remedy)
        } else {
            return None;
        };
        Some(finding.of(&pipeline.topic))
    };
    need.pipelines.iter().filter_map(judge).collect()
}

fn kept_positions(minutes: i64) -> Option<Finding> {
    let kept = Duration::from_secs(u64::try_from(minutes).ok()?.saturating_mul(60));
    let what = format!(
        "Kafka forgets the positions of a group {} after its last member has left (offsets.retention.minutes = \
         {minutes}): a pipeline that stands still for longer stops with positions-lost, or begins anew at its start if the \
         engine has forgotten its loads, too, which loads rows again or leaves some out",
        show_duration(kept)
    );
    let remedy = "set offsets.retention.minutes to 10080 (seven days) or more";
    (kept < KEPT_MIN).then(|| Finding::warn("offsets-retention", what, remedy))
}

fn safe_positions(brokers: Option<usize>, copies: i64, in_sync: i64) -> Option<Finding> {
    let alone = brokers.is_some_and(|brokers| brokers < 2);
    if copies < 2 && alone {
        let what = "the cluster is one broker: if its disk is lost, positions and intents are lost with it";
        return Some(Finding::note("offsets-copies", what, "three brokers for anything that counts"));
    }
    if copies < 2 {
        let what = format!(
            "positions and intents have {copies} copy (topic __consumer_offsets, offsets.topic.replication.factor): with \
             the disk of one broker they are lost, and rows are loaded again or left out"
        );
        return Some(Finding::warn("offsets-copies", what, "three copies of __consumer_offsets, two of them in sync"));
    }
    let what = format!(
        "an OffsetCommit is acknowledged when {in_sync} of {copies} copies has it (min.insync.replicas of \
         __consumer_offsets): if that broker is lost right then, so is the intent, and its rows may be loaded again"
    );
    let remedy = "set min.insync.replicas = 2 on the topic __consumer_offsets";
    (in_sync < 2).then(|| Finding::warn("offsets-in-sync", what, remedy))
}

fn session_time_out(session: Duration, least: i64, most: i64) -> Option<Finding> {
    let ms = i64::try_from(session.as_millis()).unwrap_or(i64::MAX);
    let what = format!(
        "session.timeout.ms is {ms}, and the brokers take {least} to {most} (group.min.session.timeout.ms, \
         group.max.session.timeout.ms): they let no member in"
    );
    let remedy = "set \"session.timeout.ms\" in [kafka.properties], or the brokers' limits";
    (ms < least || ms > most).then(|| Finding::refuse("session-time-out", what, remedy))
}

/// A member of the newer protocol waits for ever, and silently, at brokers that don't speak it.
fn newer_protocol(broker: &Asked) -> Option<Finding> {
    let settings = broker.as_ref().ok()?;
    let enabled = settings.get("group.coordinator.rebalance.protocols");
    let why = match enabled {
        Some(protocols) if protocols.to_ascii_lowercase().contains("consumer") => settings
            .get(BEFORE_4)
            .map(|version| format!("{BEFORE_4} = {version}: before 4.0 it is an early form of it")),
        Some(protocols) => Some(format!("group.coordinator.rebalance.protocols = {protocols}")),
        None => Some("they have no group.coordinator.rebalance.protocols".to_owned()),
    };
    let what =
        format!("group.protocol = consumer, which these brokers do not speak ({}): a member would wait for ever", why?);
    let remedy = "remove \"group.protocol\" from [kafka.properties], or use brokers of 4.0 or later that enable it";
    Some(Finding::refuse("group-protocol", what, remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineKind;
    use crate::preflight::{PipelineNeed, Severity};
    use std::collections::BTreeMap;

    fn need(tables: u32, session: Option<u64>) -> Need {
        let tables = BTreeMap::from([("d".into(), tables)]);
        Need {
            engine: EngineKind::Doris,
            prepared: Duration::from_secs(1),
            age: Duration::from_secs(5),
            session: session.map(Duration::from_millis),
            pipelines: vec![PipelineNeed { topic: "t".into(), tables }],
        }
    }

    /// A cluster as it should be, but for these settings.
    fn facts(changed: &[(&str, &str)]) -> KafkaFacts {
        let mut broker: BTreeMap<String, String> = [
            ("offset.metadata.max.bytes", "4096"),
            ("offsets.retention.minutes", "10080"),
            ("offsets.topic.replication.factor", "3"),
            ("min.insync.replicas", "2"),
            ("group.min.session.timeout.ms", "6000"),
            ("group.max.session.timeout.ms", "1800000"),
            ("group.coordinator.rebalance.protocols", "classic,consumer,streams"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        broker.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let offsets_topic = Ok(BTreeMap::new());
        KafkaFacts { broker: Ok(broker), brokers: Some(3), copies: Some(3), offsets_topic }
    }

    fn names(findings: &[Finding]) -> Vec<(&'static str, Severity)> {
        findings.iter().map(|finding| (finding.name, finding.severity)).collect()
    }

    #[test]
    fn a_cluster_as_it_should_be_has_no_findings() {
        assert_eq!(findings(&need(3, Some(45_000)), &facts(&[])), []);
        assert_eq!(findings(&need(3, None), &facts(&[])), []);
    }

    #[test]
    fn each_setting_has_its_finding() {
        use Severity::{Refuse, Warn};
        let room = intent_room(2);
        let (little, some) = ((room - 1).to_string(), (room + BESIDE_INTENT - 1).to_string());
        let enough = (room + BESIDE_INTENT).to_string();
        let cases = [
            (Some(45_000), vec![("offset.metadata.max.bytes", &*little)], vec![("offset-metadata", Refuse)]),
            (Some(45_000), vec![("offset.metadata.max.bytes", &*some)], vec![("offset-metadata", Warn)]),
            (Some(45_000), vec![("offset.metadata.max.bytes", &*enough)], vec![]),
            (Some(45_000), vec![("offsets.retention.minutes", "1439")], vec![("offsets-retention", Warn)]),
            (Some(45_000), vec![("offsets.retention.minutes", "1440")], vec![]),
            (Some(45_000), vec![("min.insync.replicas", "1")], vec![("offsets-in-sync", Warn)]),
            (Some(5999), vec![], vec![("session-time-out", Refuse)]),
            (Some(6000), vec![], vec![]),
            (Some(1_800_001), vec![], vec![("session-time-out", Refuse)]),
            // The newer protocol has no session time-out of its own.
            (None, vec![("group.min.session.timeout.ms", "99999999")], vec![]),
            (None, vec![("group.coordinator.rebalance.protocols", "classic")], vec![("group-protocol", Refuse)]),
            (None, vec![(BEFORE_4, "3.9-IV0")], vec![("group-protocol", Refuse)]),
            (Some(45_000), vec![(BEFORE_4, "3.9-IV0")], vec![]),
        ];
        for (session, changed, wanted) in cases {
            assert_eq!(names(&findings(&need(2, session), &facts(&changed))), wanted, "{session:?} {changed:?}");
        }
    }

    #[test]
    fn copies_of_the_positions() {
        use Severity::{Note, Warn};
        let found = |brokers, copies, own: &str| {
            let offsets_topic = Ok(BTreeMap::from([("min.insync.replicas".to_owned(), own.to_owned())]));
            names(&findings(&need(2, None), &KafkaFacts { brokers, copies, offsets_topic, ..facts(&[]) }))
        };
        assert_eq!(found(Some(3), Some(3), "2"), []);
        assert_eq!(found(Some(3), Some(3), "1"), [("offsets-in-sync", Warn)], "the topic's own value counts");
        assert_eq!(found(Some(3), Some(1), "1"), [("offsets-copies", Warn)]);
        assert_eq!(found(Some(1), Some(1), "1"), [("offsets-copies", Note)]);
        // The topic is not there yet: the brokers' default decides.
        assert_eq!(found(Some(3), None, "2"), []);
    }

    #[test]
    fn what_can_not_be_asked_is_assumed_and_said() {
        let nobody = || Err("no answer".to_owned());
        let facts = KafkaFacts { broker: nobody(), brokers: None, copies: None, offsets_topic: nobody() };
        let found = findings(&need(2, Some(45_000)), &facts);
        assert_eq!(names(&found), [("not-asked", Severity::Note)]);
        assert!(
            found[0].what.contains("(no answer); assumed: offset.metadata.max.bytes = 4096, "),
            "{}",
            found[0].what
        );
        assert_eq!(names(&findings(&need(2, None), &facts)), [("not-asked", Severity::Note)]);
        // Nobody is refused for what is assumed.
        for need in [need(2, Some(1)), need(500, None)] {
            let found = findings(&need, &facts);
            assert!(found.iter().all(|finding| finding.severity > Severity::Refuse), "{found:?}");
        }
    }
}
