//! `loadlock explain`: one record through its routes, each step shown.

mod show;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::offsets::exit_of_kafka;
use super::report::{Console, Failure};
use super::value::{chunk, decoder, header, input};
use super::{Exit, Selection, Stop};
use crate::config::{Config, Pipeline};
use crate::decode::Surroundings;
use crate::domain::{Offset, Partition};
use crate::record::Chunk;
use crate::source::{Outside, Peeked};
use crate::telemetry;
use show::Shown;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples: loadlock explain -c loadlock.toml --topic orders --partition 0 --offset 1200
          loadlock explain -c loadlock.toml --topic orders --file value.json

Keys and passwords are never shown; the record's content is, unless --mask is given. Nothing is loaded or stored.")]
pub(super) struct Arguments {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Topic whose routes the record takes
    #[arg(long)]
    topic: String,
    /// Read the record from Kafka: its partition
    #[arg(long, value_name = "P", requires = "offset", conflicts_with_all = ["file", "key", "headers"])]
    partition: Option<Partition>,
    /// Read the record from Kafka: its offset
    #[arg(long, value_name = "O", requires = "partition", value_parser = clap::value_parser!(Offset).range(0..))]
    offset: Option<Offset>,
    /// Read the value from this file, byte for byte [default: standard input]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Key of a record that does not come from Kafka
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// Header of a record that does not come from Kafka; can be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Show x for each letter of the content and 0 for each digit
    #[arg(long)]
    mask: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<Exit, Stop> {
    telemetry::init_quiet()
        .map_err(|error| Failure::new(Exit::Usage, "usage", "the log can't be set up").caused_by(&error))?;
    let selection = Selection { config: arguments.config.clone(), topics: vec![arguments.topic.clone()] };
    let config = selection.load_shown(console)?;
    let chunk = match arguments.partition.zip(arguments.offset) {
        Some((partition, offset)) => fetch(&config, &arguments.topic, partition, offset)?,
        None => {
            let value = input(arguments.file.as_deref())?;
            chunk(&arguments.topic, arguments.key.as_deref().map(str::as_bytes), Some(&value), &arguments.headers)
        }
    };
    let mut is_rejected = false;
    for pipeline in config.pipelines_of(&arguments.topic) {
        let decoder = decoder(&pipeline.routes)?;
        let load_time_ms = jiff::Timestamp::now().as_millisecond();
        let surroundings = Surroundings { topic: &chunk.topic, load_time_ms };
        for record in chunk.iter() {
            let all = pipeline.routes.iter().enumerate();
            let routes: Vec<_> =
                all.filter_map(|(at, route)| Some((route, decoder.explain(at, &record, surroundings)?))).collect();
            is_rejected |= routes.iter().any(|(_, explained)| explained.outcome.is_err());
            let is_from_kafka = arguments.offset.is_some();
            let shown = Shown { topic: &chunk.topic, group: &pipeline.group, record, routes, is_from_kafka };
            if arguments.json {
                console.line(&shown.json(arguments.mask).to_string());
            } else {
                shown.lines(arguments.mask).iter().for_each(|line| console.line(line));
            }
        }
    }
    Ok(if is_rejected { Exit::NeedsPerson } else { Exit::Drained })
}

fn fetch(config: &Config, topic: &str, partition: Partition, offset: Offset) -> Result<Chunk, Failure> {
    let group = config
        .pipelines_of(topic)
        .next()
        .map_or_else(|| Arc::from("loadlock"), |Pipeline { group, .. }| Arc::clone(group));
    let failed = |error| {
        let what = format!("the record at offset {offset} of partition {partition} can't be read");
        Failure::new(exit_of_kafka(&error), "kafka", what).caused_by(&error)
    };
    let outside = Outside::new(&config.kafka, Arc::from(topic), group).map_err(failed)?;
    let missing = match outside.record_at(partition, offset).map_err(failed)? {
        Peeked::Record(chunk) => return Ok(chunk),
        Peeked::Gap(next) => format!(
            "is no record that a reader of committed records sees (a control record, of an aborted transaction, or \
             removed by compaction); the next one is at offset {next}"
        ),
        Peeked::End => "is nothing yet: the partition ends there".to_owned(),
        Peeked::Outside(log) => format!("is nothing: the partition holds the offsets {log}"),
    };
    let what = format!("topic {topic}, partition {partition}: at offset {offset} {missing}");
    Err(Failure::new(Exit::NeedsPerson, "no-record", what))
}
