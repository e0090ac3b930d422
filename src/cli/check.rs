//! `loadlock check`: everything that can be said about a configuration without asking anybody.

use clap::Args;

use super::report::Console;
use super::{Exit, Selection, Stop};
use crate::config::{
    Cipher, Config, Encoding, EngineKind, Pipeline, RejectPolicy, Route, Start, counted, show_duration, show_size,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    selection: Selection,
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
    console.line("checked offline: neither Kafka nor the engine was asked");
    Ok(Exit::Drained)
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

fn value(route: &Route) -> String {
    let encoding = match route.value.encoding {
        Encoding::Base64 => "base64",
        Encoding::Raw => "raw",
    };
    let Some(decrypt) = &route.value.decrypt else {
        return encoding.to_owned();
    };
    let mode = match decrypt.cipher {
        Cipher::AesEcb => "ecb",
        Cipher::AesCbc => "cbc",
        Cipher::AesGcm => "gcm",
    };
    format!("{encoding}, aes-{}-{mode}", decrypt.key.expose().len() * 8)
}
