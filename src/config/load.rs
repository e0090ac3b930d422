//! From a file to a [`Config`], or to everything that is wrong with it.

use std::collections::BTreeSet;
use std::path::Path;

use toml::de::DeTable;

use super::problem::{Problem, Problems, Severity, Warning};
use super::reader::{Environment, Item, Reading, Section};
use super::{Config, Pipeline, Start, batch, engine, kafka, pipelines, route};

/// Longest file that is read: some thousand routes take a tenth of it.
const FILE_MAX: u64 = 16 << 20;

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// Everything that is wrong with the file, at once.
    pub fn load(path: &Path) -> Result<(Self, Vec<Warning>), Problems> {
        let text = read_file(path)?;
        Self::parse(&text, path, &|name| std::env::var(name).ok())
    }

    /// Checks the text of a configuration file. `path` is its place, for messages and for relative paths.
    ///
    /// # Errors
    /// Everything that is wrong with the text, at once.
    pub fn parse(text: &str, path: &Path, environment: Environment<'_>) -> Result<(Self, Vec<Warning>), Problems> {
        let (config, problems, _) = read(text, path, environment);
        let clean = problems.iter().all(|problem| problem.severity == Severity::Warning);
        match config {
            Some(config) if clean => Ok((config, problems)),
            Some(_) | None => Err(Problems { file: path.to_owned(), all: problems }),
        }
    }

    /// Paths of all keys that a reading of this text asks for.
    pub fn keys_asked_for(text: &str, path: &Path, environment: Environment<'_>) -> BTreeSet<String> {
        read(text, path, environment).2
    }
}

fn read_file(path: &Path) -> Result<String, Problems> {
    let failed = |what: String| Problems::whole_file(path, what, Some("give the file with -c FILE".to_owned()));
    let metadata = std::fs::metadata(path).map_err(|error| failed(format!("can't be read: {error}")))?;
    if !metadata.is_file() {
        return Err(failed("is not a file".to_owned()));
    }
    if metadata.len() > FILE_MAX {
        return Err(failed(format!("has {} bytes; a configuration has at most {FILE_MAX}", metadata.len())));
    }
    let bytes = std::fs::read(path).map_err(|error| failed(format!("can't be read: {error}")))?;
    let text = String::from_utf8(bytes);
    text.map_err(|error| failed(format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to())))
}

fn read(text: &str, path: &Path, environment: Environment<'_>) -> (Option<Config>, Vec<Problem>, BTreeSet<String>) {
    let reading = Reading::new(text, path, environment);
    let (tree, errors) = DeTable::parse_recoverable(text);
    let mut lines = BTreeSet::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        // A parser that goes on after a mistake stumbles over the rest of the line.
        if lines.insert(reading.line(&span)) {
            reading.note_syntax(&span, error.message());
        }
    }
    // What could be read of a broken tree would only repeat the same errors in other words.
    let config = if errors.is_empty() { root(Section::root(&reading, &tree)) } else { None };
    let (problems, asked) = reading.finish();
    (config, problems, asked)
}

fn root(mut root: Section<'_>) -> Option<Config> {
    let kafka = root.require("kafka", "[kafka] with `brokers`").and_then(|item| item.section("the table [kafka]"));
    let kafka = kafka.map(kafka::read);
    let engine = root.require("engine", "[engine] with `kind`, `frontends`, `user` and `password`");
    let engine = engine.and_then(|item| item.section("the table [engine]")).map(engine::read);
    let transaction = engine.as_ref().map_or(engine::DEFAULT_TIMEOUTS.transaction, |engine| engine.transaction);
    let batch = root.take("batch").map_or(Some(batch::DEFAULT_BATCH), |item| {
        item.section("the table [batch]").and_then(|section| batch::read_batch(section, transaction))
    });
    let run = root
        .take("run")
        .map_or(Some(batch::DEFAULT_RUN), |item| item.section("the table [run]").and_then(batch::read_run));
    let routes = root.require("topic2table", "at least one [[topic2table]] with `topic`, `table` and `columns`");
    let database = engine.as_ref().and_then(|engine| engine.database.as_deref());
    let (prefix, start) = match &kafka {
        Some(read) => (read.group.as_str(), &read.start),
        None => (kafka::GROUP, &Start::Committed),
    };
    let pipelines = routes.and_then(|item| self::routes(&item, database, prefix, start));
    root.finish();
    Some(Config { kafka: kafka?.kafka?, engine: engine?.engine?, batch: batch?, run: run?, pipelines: pipelines? })
}

/// All routes are read before any is judged against another.
fn routes(item: &Item<'_>, database: Option<&str>, prefix: &str, start: &Start) -> Option<Vec<Pipeline>> {
    let items = item.list("a list of tables: [[topic2table]]")?;
    if items.is_empty() {
        item.problem("there is no route", "add a [[topic2table]] with `topic`, `table` and `columns`");
        return None;
    }
    let count = items.len();
    let sections = items.iter().filter_map(|item| item.section("a table: [[topic2table]]"));
    let entries: Vec<_> = sections.filter_map(|section| route::read(section, database)).collect();
    let complete = entries.len() == count;
    let pipelines = pipelines::build(entries, prefix, start);
    complete.then_some(pipelines)
}
