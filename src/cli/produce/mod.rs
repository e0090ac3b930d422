//! `loadlock produce`: writes records as a route expects them, for tests, trials and fixtures.

pub mod encrypt;
pub mod generate;
mod input;
mod kafka;
mod random;
mod summary;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use super::report::{Console, Failure};
use super::{Exit, Selection, Stop};
use crate::config::{Config, Encoding, Format, ValueForm};
use crate::telemetry::{self, LogFormat};
pub(super) use encrypt::Wrapper;
use input::{Input, Plain};
use kafka::Topic;
use summary::Summary;

/// How often progress is shown to a person.
const PROGRESS: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configuration file: brokers, and how the topic's values are encrypted
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Topic to write to; a route of the file reads it
    #[arg(long)]
    topic: String,
    /// Read one JSON text per line from this file [default: standard input]
    #[arg(long, value_name = "NDJSON", conflicts_with = "generate")]
    file: Option<PathBuf>,
    /// Make up records instead of reading them
    #[arg(long, value_enum, value_name = "SHAPE", requires = "records")]
    generate: Option<Shape>,
    /// Number of records to make up
    #[arg(long, value_name = "N", requires = "generate")]
    records: Option<u64>,
    /// The same seed makes up the same records
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Pad made-up records to this many bytes of JSON
    #[arg(long, value_name = "BYTES", requires = "generate")]
    size: Option<usize>,
    /// JSONPath of the record's key in what is read; made-up records have their id as key
    #[arg(long, value_name = "JSONPATH", conflicts_with = "generate")]
    key: Option<String>,
    /// Send the JSON as it is, neither encrypted nor in base64
    #[arg(long)]
    plain: bool,
    /// Put the base64 text between double quotes, as producers do that serialise it as JSON
    #[arg(long, conflicts_with = "plain")]
    quoted: bool,
    /// Choose the partition by the key, as Java's producer does [default: one after the other]
    #[arg(long)]
    by_key: bool,
    /// At most this many records per second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Create the topic with this many partitions first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    create_partitions: Option<i32>,
    /// Make every N-th record one that can't be decrypted or parsed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    corrupt_every: Option<u64>,
    /// Fail if the topic dropped old records meanwhile
    #[arg(long)]
    check_retained: bool,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

/// What can be made up.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shape {
    /// Devices of companies: long numbers, decimals, Chinese text, nested objects
    Device,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<Exit, Stop> {
    telemetry::init(Some(LogFormat::Text))
        .map_err(|error| Failure::new(Exit::Usage, "usage", "the log can't be set up").caused_by(&error))?;
    let selection = Selection { config: arguments.config.clone(), topics: vec![arguments.topic.clone()] };
    let config = selection.load_shown(console)?;
    let form = if arguments.plain { ValueForm::default() } else { form(&config, &arguments.topic)? };
    if arguments.quoted && !matches!(form.encoding, Encoding::Base64 | Encoding::Hex) {
        let what = "--quoted is for base64 or hexadecimal text, and the route of this topic takes none";
        return Err(Failure::new(Exit::Usage, "usage", what).into());
    }
    if form.format != Format::Json && arguments.generate.is_some() {
        let what = format!("the route of this topic takes {} text, and JSON is what is made up", form.format.name());
        return Err(Failure::new(Exit::Usage, "usage", what).hint("--file sends each line of a file as it is").into());
    }
    let wrapper = Wrapper { form: &form, quoted: arguments.quoted };
    let input = match (arguments.generate, arguments.records) {
        (Some(Shape::Device), Some(end)) => Input::Devices { seed: arguments.seed, next: 0, end, size: arguments.size },
        _ => Input::lines(arguments.file.as_deref(), arguments.key.as_deref())?,
    };
    let topic = Topic::open(&config.kafka, &arguments.topic, arguments.create_partitions, arguments.by_key)?;
    let summary = produce(arguments, console, &topic, &wrapper, input)?;
    if arguments.json {
        console.line(&summary.json());
    } else {
        summary.lines().iter().for_each(|line| console.line(line));
    }
    summary.verdict()?;
    Ok(Exit::Drained)
}

/// The one form in which all routes of the topic expect its values.
pub(super) fn form(config: &Config, topic: &str) -> Result<ValueForm, Failure> {
    let mut forms = config.pipelines_of(topic).flat_map(|pipeline| &pipeline.routes).map(|route| &route.value);
    let missing = || Failure::new(Exit::Usage, "usage", format!("no route reads the topic {topic}"));
    let first = forms.next().ok_or_else(missing)?;
    if forms.any(|other| other != first) {
        let what = format!("the routes of {topic} do not agree on `encoding`, `decrypt` and the like");
        return Err(Failure::new(Exit::Usage, "usage", what).hint("a record can be written in one form only"));
    }
    Ok(first.clone())
}

fn produce(
    arguments: &Arguments,
    console: &mut Console<'_>,
    topic: &Topic,
    wrapper: &Wrapper<'_>,
    input: Input,
) -> Result<Summary, Failure> {
    let starts = if arguments.check_retained { Some(topic.starts()?) } else { None };
    let started = Instant::now();
    let mut shown = started;
    let (total, mut corrupt) = (input.total(), 0);
    let mut sent = 0;
    for record in input {
        let Plain { json, key } = record?;
        let spoil = arguments.corrupt_every.is_some_and(|every| sent % every == every - 1);
        let iv = random_iv()?;
        let value = wrapper.wrap(json.as_bytes(), iv, spoil);
        let value = value.map_err(|error| {
            let what = format!("record {} can't be written in the form of its route", sent + 1);
            Failure::new(Exit::Usage, "usage", what).caused_by(&error)
        })?;
        pace(arguments.rate, started, sent, topic);
        topic.send(sent, key.as_deref().map(str::as_bytes), wrapper.header(), &value)?;
        sent += 1;
        corrupt += u64::from(spoil);
        if shown.elapsed() >= PROGRESS {
            shown = Instant::now();
            console.progress(&progress(sent, total, started.elapsed()));
        }
    }
    let delivered = topic.finish()?;
    console.progress("");
    let seconds = started.elapsed().as_secs_f64();
    let ends = starts.is_some().then(|| topic.starts()).transpose()?;
    Ok(Summary { topic: arguments.topic.clone(), sent, corrupt, delivered, seconds, starts: starts.zip(ends) })
}

pub(super) fn random_iv() -> Result<[u8; 16], Failure> {
    let mut iv = [0; 16];
    getrandom::fill(&mut iv).map_err(|error| {
        Failure::new(Exit::GaveUp, "system", "the operating system gives no random numbers").caused_by(&error)
    })?;
    Ok(iv)
}

/// Waits until record number `sent` is due, serving acknowledgements meanwhile.
fn pace(rate: Option<u32>, started: Instant, sent: u64, topic: &Topic) {
    let Some(rate) = rate else { return };
    let due = Duration::from_secs_f64(sent as f64 / f64::from(rate));
    while let Some(left) = due.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
        topic.wait(left.min(PROGRESS));
    }
}

fn progress(sent: u64, total: Option<u64>, elapsed: Duration) -> String {
    let rate = sent as f64 / elapsed.as_secs_f64();
    match total {
        Some(total) => format!("{sent} of {total} records, {rate:.0}/s"),
        None => format!("{sent} records, {rate:.0}/s"),
    }
}
