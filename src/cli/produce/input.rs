//! Where the records come from: lines of JSON, or the generator.

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, stdin};
use std::path::Path;

use serde_json::Value;
use serde_json_path::JsonPath;

use super::generate::device;
use crate::cli::Exit;
use crate::cli::report::Failure;

/// One record before encryption.
pub(super) struct Plain {
    pub(super) json: String,
    pub(super) key: Option<String>,
}

/// A source of records.
pub(super) enum Input {
    /// One JSON text per line; empty lines are left out.
    Lines { name: String, lines: Lines<Box<dyn BufRead>>, number: u64, key: Option<JsonPath> },
    /// Generated devices, keyed by their id.
    Devices { seed: u64, next: u64, end: u64, size: Option<usize> },
}

impl Input {
    /// Reads a file, or standard input.
    pub(super) fn lines(file: Option<&Path>, key: Option<&str>) -> Result<Self, Failure> {
        let key = key
            .map(JsonPath::parse)
            .transpose()
            .map_err(|error| Failure::new(Exit::Usage, "usage", "--key is no JSONPath").caused_by(&error))?;
        let (name, reader): (String, Box<dyn BufRead>) = match file {
            None => ("standard input".to_owned(), Box::new(BufReader::new(stdin()))),
            Some(path) => {
                let file = File::open(path).map_err(|error| {
                    Failure::new(Exit::Usage, "input", format!("{} can't be read", path.display())).caused_by(&error)
                })?;
                (path.display().to_string(), Box::new(BufReader::new(file)))
            }
        };
        Ok(Self::Lines { name, lines: reader.lines(), number: 0, key })
    }

    /// Number of records, if it is known beforehand.
    pub(super) fn total(&self) -> Option<u64> {
        match self {
            Self::Lines { .. } => None,
            Self::Devices { end, .. } => Some(*end),
        }
    }
}

impl Iterator for Input {
    type Item = Result<Plain, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Devices { seed, next, end, size } => {
                let index = *next;
                (index < *end).then(|| {
                    *next += 1;
                    let device = device(*seed, index);
                    Ok(Plain { json: device.json(*size), key: Some(device.id.to_string()) })
                })
            }
            Self::Lines { name, lines, number, key } => loop {
                *number += 1;
                match lines.next()? {
                    Ok(line) if line.trim().is_empty() => {}
                    Ok(line) => return Some(plain(line, key.as_ref(), name, *number)),
                    Err(error) => {
                        let what = format!("{name} can't be read at line {number}");
                        return Some(Err(Failure::new(Exit::NeedsPerson, "input", what).caused_by(&error)));
                    }
                }
            },
        }
    }
}

fn plain(json: String, key: Option<&JsonPath>, name: &str, number: u64) -> Result<Plain, Failure> {
    let Some(path) = key else {
        return Ok(Plain { json, key: None });
    };
    let value: Value = serde_json::from_str(&json).map_err(|error| {
        let what = format!("line {number} of {name} is not JSON, so it has no key");
        Failure::new(Exit::NeedsPerson, "input", what).caused_by(&error)
    })?;
    let key = path.query(&value).first().and_then(|found| match found {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(found.to_string()),
    });
    Ok(Plain { json, key })
}
