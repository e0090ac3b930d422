//! `loadlock encrypt` and `loadlock decrypt`: single values, from plain text to what stands in Kafka and back.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::produce::{Wrapper, form, random_iv};
use super::report::{Console, Failure};
use super::{Exit, Selection, Stop};
use crate::config::{Config, Encoding, Pipeline, Route};
use crate::decode::{Decoder, Framing, Step, Surroundings};
use crate::record::{Chunk, RecordHead};

#[derive(Debug, Args)]
#[command(after_help = "Example: echo '{\"id\":1}' | loadlock encrypt -c loadlock.toml --topic orders")]
pub(super) struct Encrypt {
    /// Configuration file: how the topic's values are encrypted
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Topic whose form the value gets
    #[arg(long)]
    topic: String,
    /// Read the plain text from this file [default: standard input]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Put base64 or hexadecimal text between double quotes
    #[arg(long)]
    quoted: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: loadlock decrypt -c loadlock.toml --topic orders --file value.txt\n\n\
                        The plain text goes to standard output: mind who reads it.")]
pub(super) struct Decrypt {
    /// Configuration file: how the topic's values are encrypted
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Topic that the value comes from
    #[arg(long)]
    topic: String,
    /// Read the value from this file [default: standard input]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A header of the record, where one names the key; can be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
}

pub(super) fn encrypt(arguments: &Encrypt, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let config = load(&arguments.config, &arguments.topic, console)?;
    let form = form(&config, &arguments.topic)?;
    let is_text = matches!(form.encoding, Encoding::Base64 | Encoding::Hex);
    if arguments.quoted && !is_text {
        let what = "--quoted is for base64 or hexadecimal text, and the route of this topic takes none";
        return Err(Failure::new(Exit::Usage, "usage", what).into());
    }
    let plain = input(arguments.file.as_deref())?;
    // The line break that an editor or `echo` puts behind a text is none of the text.
    let plain = plain.strip_suffix(b"\n").unwrap_or(&plain);
    let wrapper = Wrapper { form: &form, quoted: arguments.quoted };
    let value = wrapper.wrap(plain, random_iv()?, false).map_err(|error| {
        Failure::new(Exit::Usage, "usage", "the text can't be written in the form of its route").caused_by(&error)
    })?;
    let _ = console.out.write_all(&value);
    if is_text || form.encoding == Encoding::JsonString {
        console.line("");
    }
    if let Some((name, id)) = wrapper.header() {
        console.note(&format!("the record needs the header {name}={id}"));
    }
    Ok(Exit::Drained)
}

pub(super) fn decrypt(arguments: &Decrypt, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let config = load(&arguments.config, &arguments.topic, console)?;
    form(&config, &arguments.topic)?;
    let value = input(arguments.file.as_deref())?;
    let pipeline = config.pipelines_of(&arguments.topic).next();
    let first = pipeline.and_then(|Pipeline { routes, .. }| routes.first());
    let route = first.ok_or_else(|| Failure::new(Exit::Bug, "bug", "the topic has no route"))?;
    let plain = plain(&arguments.topic, route, &value, &arguments.headers)?;
    let _ = console.out.write_all(&plain);
    if plain.last() != Some(&b'\n') {
        console.line("");
    }
    Ok(Exit::Drained)
}

/// The plain text of a value, in UTF-8.
fn plain(topic: &str, route: &Route, value: &[u8], headers: &[(String, String)]) -> Result<Vec<u8>, Failure> {
    let decoder = decoder(std::slice::from_ref(route))?;
    let chunk = chunk(topic, None, Some(value), headers);
    let explained =
        chunk.iter().next().and_then(|record| decoder.explain(0, &record, Surroundings { topic, load_time_ms: 0 }));
    let explained = explained.ok_or_else(|| Failure::new(Exit::Bug, "bug", "the topic has no route"))?;
    let plain = explained.steps.into_iter().rev().find(|(step, _)| *step != Step::Document);
    match explained.outcome {
        Err((stage @ (crate::decode::Stage::Unwrap | crate::decode::Stage::Decrypt), reason)) => {
            Err(Failure::new(Exit::NeedsPerson, "reject", format!("{stage}: {reason}"))
                .hint("`loadlock explain` shows each step"))
        }
        Ok(_) | Err(_) => Ok(plain.map_or_else(|| value.to_vec(), |(_, bytes)| bytes)),
    }
}

/// The routes, for a look at single records.
pub(super) fn decoder(routes: &[Route]) -> Result<Decoder, Failure> {
    Decoder::new(routes, Framing::Lines)
        .map_err(|error| Failure::new(Exit::Config, "config", "the routes can't be made ready").caused_by(&error))
}

/// A chunk of one record that was never in Kafka.
pub(super) fn chunk(topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[(String, String)]) -> Chunk {
    let mut chunk = Chunk::new(Arc::from(topic), 0);
    let head = RecordHead { partition: 0, offset: 0, leader_epoch: -1, timestamp_ms: None };
    chunk.push(head, key, value, headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_bytes()))));
    chunk
}

/// Everything that stands in a file, or comes from standard input.
pub(super) fn input(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let (name, read) = match file {
        Some(path) => (path.display().to_string(), std::fs::read(path).map(|read| bytes = read)),
        None => ("standard input".to_owned(), std::io::stdin().read_to_end(&mut bytes).map(drop)),
    };
    read.map_err(|error| Failure::new(Exit::Usage, "input", format!("{name} can't be read")).caused_by(&error))?;
    Ok(bytes)
}

/// Reads `NAME=VALUE`.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn load(file: &Path, topic: &str, console: &mut Console<'_>) -> Result<Config, Stop> {
    Selection { config: file.to_owned(), topics: vec![topic.to_owned()] }.load_shown(console)
}
