//! `loadlock offsets show`: a snapshot, for people or as JSON.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;

use super::table::{Side, aligned};
use super::{exit_of_engine, exit_of_kafka, loader, runtime, time};
use crate::cli::report::{Console, Failure};
use crate::cli::{Exit, Selection, Stop};
use crate::config::{self, Config, counted};
use crate::load::{Class, Loader};
use crate::offsets::{Asked, IntentView, LoadView, OriginView, PartitionView, Snapshot, Standing, snapshot};
use crate::source::{Outside, SourceError};

/// Digits of a nonce that tell it from others for a person.
const NONCE_SHOWN: usize = 8;

#[derive(Debug, Args)]
#[command(after_help = ABOUT)]
pub(in crate::cli) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const ABOUT: &str = "\
It does not join the groups: members go on, and what is shown is a snapshot. An intent that is open
for a moment is the ordinary course of a batch.";

#[derive(Serialize)]
struct Document<'s> {
    pipelines: &'s [Snapshot],
    problems: &'s [Problem],
}

/// Something that could not be read, or that stops the pipeline.
#[derive(Debug, Serialize)]
struct Problem {
    code: &'static str,
    topic: String,
    what: String,
    #[serde(skip)]
    exit: Exit,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let config = arguments.selection.load_shown(console)?;
    let loader = loader(&config.engine)?;
    let runtime = runtime()?;
    let (snapshots, problems) = look(&config, &loader, &runtime);
    if arguments.json {
        let document = Document { pipelines: &snapshots, problems: &problems };
        let text = serde_json::to_string_pretty(&document)
            .map_err(|error| Failure::new(Exit::Bug, "bug", "the JSON can't be written").caused_by(&error))?;
        console.line(&text);
    } else {
        for snapshot in &snapshots {
            lines(snapshot).iter().for_each(|line| console.line(line));
        }
    }
    for problem in &problems {
        console.failure(&Failure::new(problem.exit, problem.code, problem.what.clone()));
    }
    runtime.shutdown_background();
    let worst = |exit| problems.iter().any(|problem| problem.exit == exit);
    let by_rank = [Exit::Config, Exit::NeedsPerson, Exit::Unreachable, Exit::GaveUp];
    Ok(by_rank.into_iter().find(|exit| worst(*exit)).unwrap_or(Exit::Drained))
}

fn look(config: &Config, loader: &Loader, runtime: &tokio::runtime::Runtime) -> (Vec<Snapshot>, Vec<Problem>) {
    let (mut snapshots, mut problems) = (Vec::new(), Vec::new());
    for (index, pipeline) in config.pipelines.iter().enumerate() {
        let topic = pipeline.topic.to_string();
        match look_at(&config.kafka, pipeline, loader, runtime) {
            Ok(snapshot) => {
                problems.extend(unread(&snapshot));
                snapshots.push(snapshot);
            }
            Err(error) => {
                let (code, exit) = (error.code(), exit_of_kafka(&error));
                // Each further one would wait as long for brokers that do not answer.
                let gives_up = error.is_passing() && snapshots.is_empty();
                let what = match config.pipelines.len() - index - 1 {
                    more @ 1.. if gives_up => format!("{error}; {} not asked", counted(more, "further pipeline")),
                    _ => error.to_string(),
                };
                problems.push(Problem { code, topic, what, exit });
                if gives_up {
                    break;
                }
            }
        }
    }
    (snapshots, problems)
}

fn look_at(
    kafka: &config::Kafka,
    pipeline: &config::Pipeline,
    loader: &Loader,
    runtime: &tokio::runtime::Runtime,
) -> Result<Snapshot, SourceError> {
    let outside = Outside::new(kafka, Arc::clone(&pipeline.topic), Arc::clone(&pipeline.group))?;
    let read = outside.positions()?;
    let members = outside.members().ok();
    Ok(runtime.block_on(snapshot(pipeline, loader, &read, members, jiff::Timestamp::now().as_millisecond())))
}

/// The engine's first failure to answer; one word for all.
fn unread(snapshot: &Snapshot) -> Option<Problem> {
    let loads = snapshot.intents.iter().flat_map(|intent| &intent.loads);
    let (class, load) = loads.filter_map(|load| Some((failed(load)?, load))).next()?;
    Some(Problem {
        code: "engine-unanswered",
        topic: snapshot.topic.clone(),
        what: load.why.clone().unwrap_or_default(),
        exit: exit_of_engine(class),
    })
}

fn failed(load: &LoadView) -> Option<Class> {
    match load.engine {
        Asked::Unreachable => Some(Class::Away),
        Asked::Refused => Some(Class::Refused),
        Asked::NotAsked
        | Asked::Unknown
        | Asked::Loading
        | Asked::Prepared
        | Asked::Committed
        | Asked::Visible
        | Asked::Aborted => None,
    }
}

fn lines(snapshot: &Snapshot) -> Vec<String> {
    let Snapshot { topic, group, taken_ms, mapping, .. } = snapshot;
    let members = match snapshot.members.as_deref() {
        None => "members can't be listed".to_owned(),
        Some([]) => "no members".to_owned(),
        Some(members) => {
            let list: Vec<_> = members.iter().map(|member| format!("{} at {}", member.client, member.host)).collect();
            format!("{}: {}", counted(members.len(), "member"), list.join(", "))
        }
    };
    let mut lines = vec![
        format!("topic {topic}, group {group}: a snapshot of {}", time(*taken_ms)),
        format!("mapping {mapping}; {members}"),
        String::new(),
    ];
    let head = [
        ("partition", Side::Right),
        ("position", Side::Right),
        ("log start", Side::Right),
        ("log end", Side::Right),
        ("lag", Side::Right),
        ("origin", Side::Left),
        ("trail", Side::Left),
        ("intent", Side::Left),
    ];
    lines.extend(aligned(head, snapshot.partitions.iter().map(cells).collect()));
    let lag: i64 = snapshot.partitions.iter().filter_map(|partition| partition.lag).sum();
    lines.extend([String::new(), format!("lag of all partitions: {lag} (offsets; gaps count)"), String::new()]);
    if snapshot.intents.is_empty() {
        lines.extend(["no open intent".to_owned(), String::new()]);
    }
    for intent in &snapshot.intents {
        lines.extend(intent_lines(snapshot, intent));
        lines.push(String::new());
    }
    lines
}

fn cells(view: &PartitionView) -> [String; 8] {
    let number = |number: Option<i64>| number.map_or_else(|| "none".to_owned(), |number| number.to_string());
    let nonce = |nonce: &Option<String>| nonce.as_deref().map(short).unwrap_or_default();
    let origin = match (view.metadata, &view.text) {
        (Standing::Foreign, Some(text)) if text.is_empty() => "without metadata".to_owned(),
        (Standing::Foreign, text) => format!("another tool's: {}", text.as_deref().unwrap_or_default()),
        (Standing::Unreadable, text) => format!("unreadable: {}", text.as_deref().unwrap_or_default()),
        (Standing::None | Standing::Own, _) => view.origin.as_ref().map(origin_text).unwrap_or_default(),
    };
    [
        view.partition.to_string(),
        number(view.position),
        number(view.log_start),
        number(view.log_end),
        view.lag.map(|lag| lag.to_string()).unwrap_or_default(),
        origin,
        nonce(&view.trail),
        nonce(&view.intent),
    ]
}

fn short(nonce: &str) -> String {
    nonce.chars().take(NONCE_SHOWN).collect()
}

fn origin_text(origin: &OriginView) -> String {
    let at = origin.at_ms.map(|ms| format!(" at {}", time(ms))).unwrap_or_default();
    format!("{}{at}, {}", origin.start, counted(origin.partitions as usize, "partition"))
}

fn intent_lines(snapshot: &Snapshot, intent: &IntentView) -> Vec<String> {
    let ranges: Vec<_> =
        intent.ranges.iter().map(|range| format!("{}:{}..{}", range.partition, range.start, range.end)).collect();
    let mapping = if intent.mapping_is_configured { "the configured one" } else { "NOT the configured one" };
    let mut lines = vec![
        format!("intent {}", intent.nonce),
        format!("  records {}", ranges.join(" ")),
        format!("  written {}, {} s ago; mapping {}, {mapping}", time(intent.written_ms), intent.age_s, intent.mapping),
    ];
    if intent.trail_seen {
        lines.push("  another partition was advanced by it: it was committed in all its tables".to_owned());
    }
    let head = [("  table", Side::Left), ("transaction", Side::Right), ("state", Side::Left), ("label", Side::Left)];
    let row = |load: &LoadView| {
        [
            format!("  {}", load.table.clone().unwrap_or_else(|| format!("tag {}", load.tag))),
            load.transaction.clone().unwrap_or_default(),
            state(load),
            load.label.clone().unwrap_or_default(),
        ]
    };
    lines.extend(aligned(head, intent.loads.iter().map(row).collect()));
    if intent.loads.iter().any(|load| load.engine == Asked::Unknown) && !intent.trail_seen {
        let Snapshot { topic, .. } = snapshot;
        lines.push(format!(
            "  the engine has forgotten it: look into the tables for these records, then `loadlock offsets resolve -c FILE \
             --topic {topic} --nonce {} (--committed | --aborted)`",
            intent.nonce
        ));
    }
    lines
}

fn state(load: &LoadView) -> String {
    match load.engine {
        Asked::NotAsked if load.table.is_none() => "not asked: no route".to_owned(),
        Asked::NotAsked => format!("{} (listed)", load.listed),
        Asked::Unreachable => "no answer".to_owned(),
        Asked::Refused => "no answer: refused".to_owned(),
        Asked::Unknown => "UNKNOWN".to_owned(),
        Asked::Loading => "PREPARE".to_owned(),
        Asked::Prepared => "PREPARED".to_owned(),
        Asked::Committed => "COMMITTED".to_owned(),
        Asked::Visible => "VISIBLE".to_owned(),
        Asked::Aborted => "ABORTED".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::{MemberView, RangeView};

    fn partition(partition: i32, metadata: Standing, text: Option<&str>) -> PartitionView {
        PartitionView {
            partition,
            position: (metadata != Standing::None).then_some(1200),
            log_start: Some(0),
            log_end: Some(1300),
            lag: (metadata != Standing::None).then_some(100),
            metadata,
            text: text.map(str::to_owned),
            origin: None,
            topic_id: None,
            trail: None,
            intent: None,
        }
    }

    fn load(table: Option<&str>, listed: &'static str, engine: Asked) -> LoadView {
        let label = table.map(|table| format!("loadlock-{table}"));
        let (table, transaction) = (table.map(str::to_owned), Some("18036".to_owned()));
        LoadView { table, tag: "1a2b3c4d".into(), label, transaction, listed, engine, why: None }
    }

    #[test]
    fn a_person_sees_everything_at_a_glance() {
        let nonce = "0123456789abcdef0123456789abcdef".to_owned();
        let origin = OriginView { start: "latest", at_ms: Some(1_700_000_000_000), partitions: 4 };
        let intent = IntentView {
            nonce: nonce.clone(),
            written_ms: 1_700_000_050_000,
            age_s: 50,
            mapping: "9a9a9a9a".into(),
            mapping_is_configured: false,
            trail_seen: false,
            ranges: vec![RangeView { partition: 0, start: 1200, end: 1250 }],
            loads: vec![
                load(Some("db.a"), "open", Asked::Unknown),
                load(Some("db.b"), "open", Asked::Unreachable),
                load(Some("db.c"), "done", Asked::NotAsked),
                load(Some("db.d"), "aborted", Asked::NotAsked),
                load(None, "open", Asked::NotAsked),
            ],
        };
        let own = partition(0, Standing::Own, None);
        let snapshot = Snapshot {
            topic: "orders".into(),
            group: "loadlock.orders".into(),
            taken_ms: 1_700_000_100_000,
            topic_id: None,
            cluster_id: None,
            mapping: "51de51de".into(),
            members: Some(vec![MemberView { id: "x".into(), client: "loadlock".into(), host: "10.0.0.7".into() }]),
            partitions: vec![
                PartitionView { origin: Some(origin), trail: Some("f".repeat(32)), intent: Some(nonce), ..own },
                partition(1, Standing::None, None),
                partition(2, Standing::Foreign, Some("")),
                partition(3, Standing::Foreign, Some("\\u{1b}")),
                partition(4, Standing::Unreadable, Some("LL2 what")),
            ],
            intents: vec![intent],
        };
        insta::assert_snapshot!(lines(&snapshot).join("\n"));
    }
}
