//! `loadlock check`: everything that can be said about a configuration without asking anybody, and with `--online` what
//! Kafka and the engine say to it.

use std::collections::BTreeSet;

use clap::Args;

use super::report::{Console, Failure};
use super::{Exit, Selection, Stop};
use crate::config::{
    Charset, Config, EngineKind, Format, Framing, Pipeline, RejectPolicy, Route, Start, ValueForm, counted,
    show_duration, show_size,
};
use crate::load::Loader;
use crate::preflight::{self, Look, Severity};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// Ask Kafka and the engine, too; changes nothing there
    #[arg(long)]
    online: bool,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let config = arguments.selection.load_shown(console)?;
    let file = arguments.selection.config.display();
    let routes = config.pipelines.iter().map(|pipeline| pipeline.routes.len()).sum();
    let (pipelines, routes) = (counted(config.pipelines.len(), "pipeline"), counted(routes, "route"));
    console.line(&format!("{file} is fine: {pipelines}, {routes}"));
    console.line("");
    for line in summary(&config) {
        console.line(&line);
    }
    console.line("");
    for line in table(&config) {
        console.line(&line);
    }
    console.line("");
    if arguments.online {
        return online(&config, console);
    }
    console.line("checked offline: neither Kafka nor the engine was asked");
    Ok(Exit::Drained)
}

/// What `run` would find on its start.
fn online(config: &Config, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let loader = Loader::new(&config.engine).map_err(|error| {
        Failure::new(Exit::Config, "config", "the connection to the engine can't be set up").caused_by(&error)
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Failure::new(Exit::GaveUp, "system", "the threads of the process can't be started").caused_by(&error)
    })?;
    let Look { findings, away } = runtime.block_on(preflight::look(config, &loader));
    // A question that nobody answers must not keep the process.
    runtime.shutdown_background();
    for finding in &findings {
        console.finding(finding);
    }
    if !away.is_empty() {
        let what = format!("not everything could be asked: {}", away.join("; "));
        return Err(Failure::new(Exit::Unreachable, "unreachable", what).into());
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (refused, warned) = (count(Severity::Refuse), count(Severity::Warn));
    let (errors, warnings) = (counted(refused, "error"), counted(warned, "warning"));
    console.line(&format!("checked online: Kafka and the engine were asked; {errors}, {warnings}"));
    Ok(if refused > 0 { Exit::NeedsPerson } else { Exit::Drained })
}

fn summary(config: &Config) -> [String; 3] {
    let kind = match config.engine.kind {
        EngineKind::StarRocks => "StarRocks",
        EngineKind::Doris => "Apache Doris",
    };
    let frontends: Vec<_> = config.engine.frontends.iter().map(ToString::to_string).collect();
    let frontends: Vec<_> = frontends.iter().map(|address| address.trim_end_matches('/')).collect();
    let batch = &config.batch;
    [
        format!("kafka    {}", config.kafka.brokers),
        format!("engine   {kind} at {} as {}", frontends.join(", "), config.engine.user),
        format!(
            "batch    {} rows, {} or {}; {} of records in memory",
            batch.rows,
            show_size(batch.bytes),
            show_duration(batch.age),
            show_size(batch.memory)
        ),
    ]
}

const HEAD: [&str; 8] = ["topic", "group", "start", "on reject", "table", "columns", "value", "digest"];

/// One line per route, columns aligned.
fn table(config: &Config) -> Vec<String> {
    let mut lines = vec![HEAD.map(str::to_owned)];
    for pipeline in &config.pipelines {
        lines.extend(pipeline.routes.iter().map(|route| cells(pipeline, route)));
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; HEAD.len()] = std::array::from_fn(width);
    let aligned = |line: &[String; HEAD.len()]| {
        let cells: Vec<_> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(aligned).collect()
}

fn cells(pipeline: &Pipeline, route: &Route) -> [String; HEAD.len()] {
    [
        pipeline.topic.to_string(),
        pipeline.group.to_string(),
        start(&pipeline.start),
        rejects(&pipeline.rejects),
        route.table.to_string(),
        route.columns.len().to_string(),
        value(route),
        route.digest.clone(),
    ]
}

fn start(start: &Start) -> String {
    match start {
        Start::Committed => "committed".to_owned(),
        Start::Earliest => "earliest".to_owned(),
        Start::Latest => "latest".to_owned(),
        Start::Timestamp(ms) => {
            jiff::Timestamp::from_millisecond(*ms).map_or_else(|_| format!("{ms} ms"), |time| time.to_string())
        }
        Start::Offsets(offsets) => counted(offsets.len(), "offset"),
    }
}

fn rejects(policy: &RejectPolicy) -> String {
    match policy {
        RejectPolicy::Stop => "stop".to_owned(),
        RejectPolicy::Skip { most, of } => format!("skip {most} of {of}"),
        RejectPolicy::DeadLetterTopic(topic) => format!("to topic {topic}"),
        RejectPolicy::DeadLetterFile(path) => format!("to file {}", path.display()),
    }
}

/// What the values are, in words: only what is not plain JSON.
fn value(route: &Route) -> String {
    let ValueForm { framing, encoding, decrypt, charset, format } = &route.value;
    let mut words = Vec::new();
    if *framing == Framing::SchemaRegistry {
        words.push("schema-registry".to_owned());
    }
    words.push(encoding.name().to_owned());
    if let Some(decrypt) = decrypt {
        let lengths: BTreeSet<usize> = decrypt.keys.all().map(|key| key.expose().len() * 8).collect();
        let lengths: Vec<String> = lengths.iter().map(ToString::to_string).collect();
        let mode = decrypt.cipher.name().trim_start_matches("aes-");
        words.push(format!("aes-{}-{mode}", lengths.join("/")));
        let keys = decrypt.keys.all().count();
        if keys > 1 {
            words.push(counted(keys, "key"));
        }
    }
    if *charset != Charset::Utf8 {
        words.push(charset.name().to_owned());
    }
    if *format != Format::Json {
        words.push(format.name().to_owned());
    }
    words.join(", ")
}
