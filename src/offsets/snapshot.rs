//! Positions, open intents and the states of their loads, read from outside. The form of the JSON is that of the types
//! here; numbers that can pass 2^53 are texts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Names;
use super::decide::fate_name;
use super::engine::{self, States};
use crate::commit::Tag;
use crate::commit::metadata::{Metadata, Origin, OriginStart, Unreadable};
use crate::commit::resolve::{OpenIntent, open_intents};
use crate::config;
use crate::domain::{Nonce, Partition, Range, Stored, TxnState};
use crate::load::{Class, Loader};
use crate::source::{GroupMember, PositionsRead};

/// Most that is shown of a text that is not ours, in characters.
const TEXT_SHOWN: usize = 100;

/// One pipeline at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// Topic.
    pub topic: String,
    /// Consumer group.
    pub group: String,
    /// When it was read, milliseconds since the Unix epoch.
    pub taken_ms: i64,
    /// Id of the topic, where the brokers give one.
    pub topic_id: Option<String>,
    /// Id of the cluster, where the brokers give one.
    pub cluster_id: Option<String>,
    /// Digest of the mapping as configured.
    pub mapping: String,
    /// Members of the group; `null` if they can't be listed. A group of the newer protocol is listed as empty.
    pub members: Option<Vec<MemberView>>,
    /// The partitions.
    pub partitions: Vec<PartitionView>,
    /// The open intents, oldest first.
    pub intents: Vec<IntentView>,
}

/// A member of the group.
#[derive(Clone, Debug, Serialize)]
pub struct MemberView {
    /// Its id.
    pub id: String,
    /// `client.id`.
    pub client: String,
    /// Address that it was connected from.
    pub host: String,
}

/// One partition.
#[derive(Clone, Debug, Serialize)]
pub struct PartitionView {
    /// Its number.
    pub partition: Partition,
    /// Next offset to read; `null` if none is stored.
    pub position: Option<i64>,
    /// First offset of the log.
    pub log_start: Option<i64>,
    /// Last stable offset.
    pub log_end: Option<i64>,
    /// Offsets between position and end; gaps count.
    pub lag: Option<i64>,
    /// What stands beside the position.
    pub metadata: Standing,
    /// Its beginning, escaped, if it is not ours or can't be read.
    pub text: Option<String>,
    /// Where the pipeline started.
    pub origin: Option<OriginView>,
    /// Id of the topic that the position belongs to.
    pub topic_id: Option<String>,
    /// Nonce that the last advance completed.
    pub trail: Option<String>,
    /// Nonce of the open intent.
    pub intent: Option<String>,
}

/// Whose the text beside a position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// There is no position.
    None,
    /// Ours.
    Own,
    /// Another tool's, or empty: the offset alone counts.
    Foreign,
    /// Of a later version, or damaged.
    Unreadable,
}

/// Where a pipeline started.
#[derive(Clone, Debug, Serialize)]
pub struct OriginView {
    /// `earliest`, `latest`, `timestamp` or `offsets`.
    pub start: &'static str,
    /// The time that `latest` or `timestamp` means, milliseconds since the Unix epoch.
    pub at_ms: Option<i64>,
    /// Partitions that the topic had.
    pub partitions: u32,
}

/// An open intent.
#[derive(Clone, Debug, Serialize)]
pub struct IntentView {
    /// Its nonce.
    pub nonce: String,
    /// When it was written, milliseconds since the Unix epoch.
    pub written_ms: i64,
    /// Its age in seconds.
    pub age_s: i64,
    /// Digest of the mapping that made its rows.
    pub mapping: String,
    /// True if that is the configured one.
    pub mapping_is_configured: bool,
    /// Another partition was advanced by the same batch: it was committed in all its tables.
    pub trail_seen: bool,
    /// Its records.
    pub ranges: Vec<RangeView>,
    /// Its loads.
    pub loads: Vec<LoadView>,
}

/// Records of one partition.
#[derive(Clone, Debug, Serialize)]
pub struct RangeView {
    /// Its number.
    pub partition: Partition,
    /// First offset.
    pub start: i64,
    /// First offset behind it.
    pub end: i64,
}

/// The load of an intent into one table.
#[derive(Clone, Debug, Serialize)]
pub struct LoadView {
    /// The table; `null` if no route of the configuration loads it.
    pub table: Option<String>,
    /// Tag of the table.
    pub tag: String,
    /// Its label; `null` without a table.
    pub label: Option<String>,
    /// Its transaction id, as a text.
    pub transaction: Option<String>,
    /// What the intent lists: `open`, `done` or `aborted`.
    pub listed: &'static str,
    /// What the engine says.
    pub engine: Asked,
    /// The engine's reason, or why it could not be asked.
    pub why: Option<String>,
}

/// What came of a question to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// It was not asked: the intent says it, or no route loads the table.
    NotAsked,
    /// It did not answer.
    Unreachable,
    /// It refuses to answer.
    Refused,
    /// Forgotten, or never there.
    Unknown,
    /// Open, not prepared.
    Loading,
    /// Durable and invisible.
    Prepared,
    /// Will be visible.
    Committed,
    /// Visible.
    Visible,
    /// Never visible.
    Aborted,
}

/// Puts a snapshot together; asks the engine about every load of every open intent.
pub async fn snapshot(
    pipeline: &config::Pipeline,
    loader: &Loader,
    read: &PositionsRead,
    members: Option<Vec<GroupMember>>,
    now_ms: i64,
) -> Snapshot {
    let names = Names::of(pipeline);
    let intents = open_intents(&read.stored);
    let states = engine::look(loader, &names, &intents).await;
    let member = |member: GroupMember| MemberView { id: member.id, client: member.client, host: member.host };
    Snapshot {
        topic: pipeline.topic.to_string(),
        group: pipeline.group.to_string(),
        taken_ms: now_ms,
        topic_id: read.topic_id.clone(),
        cluster_id: read.cluster_id.clone(),
        mapping: names.mapping.to_string(),
        members: members.map(|members| members.into_iter().map(member).collect()),
        partitions: partitions(&read.stored, &read.log),
        intents: intents.iter().map(|intent| intent_view(&names, intent, &states, now_ms)).collect(),
    }
}

fn partitions(stored: &BTreeMap<Partition, Option<Stored>>, log: &BTreeMap<Partition, Range>) -> Vec<PartitionView> {
    stored.iter().map(|(partition, stored)| partition_view(*partition, stored.as_ref(), log.get(partition))).collect()
}

fn partition_view(partition: Partition, stored: Option<&Stored>, log: Option<&Range>) -> PartitionView {
    let position = stored.map(|stored| stored.offset);
    let (metadata, text, standing) = match stored.map(|stored| (Metadata::parse(&stored.metadata), stored)) {
        None => (Metadata::empty(), None, Standing::None),
        Some((Ok(metadata), _)) => (metadata, None, Standing::Own),
        Some((Err(Unreadable::Foreign), stored)) => {
            (Metadata::empty(), Some(shown(&stored.metadata)), Standing::Foreign)
        }
        Some((Err(Unreadable::Broken), stored)) => {
            (Metadata::empty(), Some(shown(&stored.metadata)), Standing::Unreadable)
        }
    };
    let nonce = |nonce: Nonce| nonce.to_string();
    PartitionView {
        partition,
        position,
        log_start: log.map(|log| log.start),
        log_end: log.map(|log| log.end),
        lag: log.zip(position).map(|(log, position)| log.end.saturating_sub(position).max(0)),
        metadata: standing,
        text,
        origin: metadata.origin.map(origin_view),
        topic_id: metadata.topic_id,
        trail: metadata.trail.map(nonce),
        intent: metadata.intent.map(|intent| nonce(intent.nonce)),
    }
}

/// A text of others, fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().take(TEXT_SHOWN).flat_map(char::escape_default).collect()
}

fn origin_view(Origin { start, partitions }: Origin) -> OriginView {
    let (start, at_ms) = match start {
        OriginStart::Earliest => ("earliest", None),
        OriginStart::Latest(ms) => ("latest", Some(ms)),
        OriginStart::Timestamp(ms) => ("timestamp", Some(ms)),
        OriginStart::Offsets => ("offsets", None),
    };
    OriginView { start, at_ms, partitions }
}

fn intent_view(names: &Names, intent: &OpenIntent, states: &States, now_ms: i64) -> IntentView {
    let range = |(partition, range): (Partition, Range)| RangeView { partition, start: range.start, end: range.end };
    let load = |(tag, table): (&Tag, &crate::commit::metadata::IntentTable)| {
        let (engine, why) = asked(states, intent.nonce, *tag, names.table(*tag).is_some());
        LoadView {
            table: names.table(*tag).map(ToString::to_string),
            tag: tag.to_string(),
            label: names.load(intent.nonce, *tag, None).map(|txn| txn.label.to_string()),
            transaction: table.txn.map(|txn| txn.to_string()),
            listed: fate_name(table.fate),
            engine,
            why,
        }
    };
    IntentView {
        nonce: intent.nonce.to_string(),
        written_ms: intent.written_ms,
        age_s: now_ms.saturating_sub(intent.written_ms) / 1000,
        mapping: intent.mapping.to_string(),
        mapping_is_configured: intent.mapping == names.mapping,
        trail_seen: intent.trail_seen,
        ranges: intent.ranges().into_iter().map(range).collect(),
        loads: intent.tables.iter().map(load).collect(),
    }
}

fn asked(states: &States, nonce: Nonce, tag: Tag, known: bool) -> (Asked, Option<String>) {
    match states.get(&(nonce, tag)) {
        None if known => (Asked::NotAsked, None),
        None => (Asked::NotAsked, Some("no route of the configuration loads this table".to_owned())),
        Some(Err(failure)) => {
            let asked = if failure.class == Class::Refused { Asked::Refused } else { Asked::Unreachable };
            (asked, Some(failure.what.clone()))
        }
        Some(Ok(TxnState::Unknown)) => (Asked::Unknown, None),
        Some(Ok(TxnState::Loading)) => (Asked::Loading, None),
        Some(Ok(TxnState::Prepared)) => (Asked::Prepared, None),
        Some(Ok(TxnState::Committed)) => (Asked::Committed, None),
        Some(Ok(TxnState::Visible)) => (Asked::Visible, None),
        Some(Ok(TxnState::Aborted { reason })) => (Asked::Aborted, reason.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Table;
    use crate::load::Failure;

    const LOG: Range = Range { start: 10, end: 100 };

    fn view(offset: i64, metadata: &str) -> PartitionView {
        partition_view(0, Some(&Stored { offset, metadata: metadata.to_owned() }), Some(&LOG))
    }

    #[test]
    fn a_position_is_shown_with_what_stands_beside_it() {
        let nonce = "0123456789abcdef0123456789abcdef";
        let own = view(40, &format!("LL1 o=l77/4 id=T t={nonce}"));
        assert_eq!((own.lag, own.metadata, own.trail.as_deref()), (Some(60), Standing::Own, Some(nonce)));
        assert_eq!(
            own.origin.map(|origin| (origin.start, origin.at_ms, origin.partitions)),
            Some(("latest", Some(77), 4))
        );
        assert_eq!(view(120, "").lag, Some(0), "behind the end");
        let none = partition_view(0, None, None);
        assert_eq!((none.position, none.lag, none.metadata), (None, None, Standing::None));
    }

    #[test]
    fn texts_of_others_are_shown_escaped_and_short() {
        let foreign = view(40, "\u{1b}[2J订单\n");
        assert_eq!(
            (foreign.metadata, foreign.text.as_deref()),
            (Standing::Foreign, Some("\\u{1b}[2J\\u{8ba2}\\u{5355}\\n"))
        );
        let broken = view(40, &format!("LL1 i={}", "x".repeat(5000)));
        assert_eq!(broken.metadata, Standing::Unreadable);
        assert_eq!(broken.text.map(|text| text.len()), Some(TEXT_SHOWN));
    }

    fn table(name: &str) -> Table {
        Table { database: "db".into(), name: name.into() }
    }

    /// Programs read this: a change of it needs a line in the change log.
    #[test]
    fn the_form_of_the_json_is_stable() {
        let (a, b) = (table("a"), table("b"));
        let (tag_a, tag_b) = (Tag::of_table(&a), Tag::of_table(&b));
        let names = Names { pipeline: Tag(1), mapping: Tag(0x51de), tables: vec![a, b] };
        let nonce = "0123456789abcdef0123456789abcdef";
        let text = format!("LL1 o=e/2 id=T i={nonce}/60/000051de/3/10000/{tag_a}:77,{tag_b}::d,00000009:");
        let stored = BTreeMap::from([(0, Some(Stored { offset: 40, metadata: text }))]);
        let intent = open_intents(&stored).remove(0);
        let label = |tag| names.load(intent.nonce, tag, None).map(|txn| txn.label.to_string());
        let state = Ok(TxnState::Aborted { reason: Some("timeout".into()) });
        let view = intent_view(&names, &intent, &States::from([((intent.nonce, tag_a), state)]), 25_000);
        let mut loads = [
            json!({ "table": "db.a", "tag": tag_a.to_string(), "label": label(tag_a), "transaction": "77",
                    "listed": "open", "engine": "aborted", "why": "timeout" }),
            json!({ "table": "db.b", "tag": tag_b.to_string(), "label": label(tag_b), "transaction": null,
                    "listed": "done", "engine": "not-asked", "why": null }),
            json!({ "table": null, "tag": "00000009", "label": null, "transaction": null, "listed": "open",
                    "engine": "not-asked", "why": "no route of the configuration loads this table" }),
        ];
        loads.sort_by_key(|load| load["tag"].to_string());
        assert_eq!(
            serde_json::to_value(&view).expect("JSON"),
            json!({
                "nonce": nonce, "written_ms": 10000, "age_s": 15, "mapping": "000051de", "mapping_is_configured": true,
                "trail_seen": false, "ranges": [{ "partition": 0, "start": 40, "end": 60 }], "loads": loads,
            })
        );
        let log = BTreeMap::from([(0, LOG)]);
        assert_eq!(
            serde_json::to_value(partitions(&stored, &log)).expect("JSON"),
            json!([{
                "partition": 0, "position": 40, "log_start": 10, "log_end": 100, "lag": 60, "metadata": "own", "text": null,
                "origin": { "start": "earliest", "at_ms": null, "partitions": 2 }, "topic_id": "T", "trail": null,
                "intent": nonce,
            }])
        );
    }

    #[test]
    fn an_engine_that_does_not_answer_is_told_from_one_that_refuses() {
        let key = (Nonce(1), Tag(2));
        let said = |class| asked(&States::from([(key, Err(Failure::new(class, "why")))]), key.0, key.1, true);
        assert_eq!(said(Class::Away), (Asked::Unreachable, Some("why".to_owned())));
        assert_eq!(said(Class::Refused), (Asked::Refused, Some("why".to_owned())));
    }
}
