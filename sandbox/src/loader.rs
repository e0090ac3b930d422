//! Turns the bodies of one load transaction into typed rows, counts and an error log.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::csv::{CsvForm, CsvReader};
use crate::json_path::{Fields, JsonPath};
use crate::json_rows::{Framing, FramingError, RowReader};
use crate::options::{Door, Format, LoadOptions};
use crate::plan::{Plan, Record, Refusal, Taken};
use crate::rows::RowChunk;
use crate::table::EngineKind;
use crate::transactions::Counts;

/// Rows that an error log holds.
const ERROR_LOG_ROWS: usize = 50;
/// Bytes of a row, and of what is wrong with it, that an error log shows.
const ERROR_LOG_ROW_BYTES: usize = 16 << 10;

/// Reads the bodies of one transaction; rows leave it in chunks.
#[derive(Debug)]
pub(crate) struct Loader {
    /// True if the CSV bodies of a label are one text (StarRocks' transaction interface).
    joins_bodies: bool,
    max_filter_ratio: f64,
    reader: Option<BodyReader>,
    unfolder: Unfolder,
    rows: Rows,
}

#[derive(Debug)]
enum BodyReader {
    Json(RowReader),
    Csv(CsvReader),
}

/// Makes records of what the reader cuts out of a body.
#[derive(Debug)]
struct Unfolder {
    kind: EngineKind,
    format: Format,
    /// `None` counts rows and keeps none.
    plan: Option<Plan>,
}

#[derive(Debug, Default)]
struct Rows {
    counts: Counts,
    chunk: RowChunk,
    error_log: Vec<String>,
    /// Why the load as a whole can't succeed.
    failure: Option<String>,
}

impl Loader {
    /// A loader for the rows of `plan`; without one rows are only counted.
    #[must_use]
    pub(crate) fn new(door: Door, options: &LoadOptions, plan: Option<Plan>) -> Self {
        let format = options.format.clone();
        let joins_bodies = door == Door::Transaction && matches!(format, Format::Csv(_));
        let chunk = RowChunk::of(plan.as_ref().and_then(Plan::update));
        Self {
            joins_bodies,
            max_filter_ratio: options.max_filter_ratio,
            reader: None,
            unfolder: Unfolder { kind: door.kind(), format, plan },
            rows: Rows { chunk, ..Rows::default() },
        }
    }

    /// Reads a piece of a body. Behind a failure the bytes are only counted, as an engine drains them.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.rows.counts.bytes += bytes.len() as u64;
        // A body without a byte is none, however it is framed.
        if bytes.is_empty() || self.rows.failure.is_some() {
            return;
        }
        let (unfolder, rows) = (&self.unfolder, &mut self.rows);
        let mut on_row = |row: &[u8]| unfolder.take(rows, row);
        let result = match self.reader.get_or_insert_with(|| BodyReader::new(&unfolder.format)) {
            BodyReader::Json(reader) => reader.push(bytes, &mut on_row),
            BodyReader::Csv(reader) => reader.push(bytes, &mut on_row),
        };
        self.note(result);
    }

    /// Ends a body. Each JSON body is a text of its own; CSV bodies may be parts of one.
    pub(crate) fn finish_body(&mut self) {
        if !self.joins_bodies {
            self.finish();
        }
    }

    /// Ends the last body.
    pub(crate) fn finish(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        if self.rows.failure.is_some() {
            return;
        }
        let (unfolder, rows) = (&self.unfolder, &mut self.rows);
        let mut on_row = |row: &[u8]| unfolder.take(rows, row);
        let result = match reader {
            BodyReader::Json(reader) => reader.finish(&mut on_row),
            BodyReader::Csv(reader) => {
                reader.finish(&mut on_row);
                Ok(())
            }
        };
        self.note(result);
    }

    fn note(&mut self, result: Result<(), FramingError>) {
        if let Err(error) = result {
            self.fail(framing_text(self.unfolder.kind, error));
        }
    }

    /// Makes the load fail, if it hasn't yet.
    pub(crate) fn fail(&mut self, message: String) {
        self.rows.failure.get_or_insert(message);
    }

    /// Rows that are ready for the store: a full chunk, or with `all` what there is.
    pub(crate) fn take_chunk(&mut self, all: bool) -> Option<RowChunk> {
        let is_due = self.rows.chunk.is_full() || (all && !self.rows.chunk.is_empty());
        let next = || RowChunk::of(self.unfolder.plan.as_ref().and_then(Plan::update));
        is_due.then(|| std::mem::replace(&mut self.rows.chunk, next()))
    }

    /// Rows and bytes so far.
    #[must_use]
    pub(crate) fn counts(&self) -> Counts {
        self.rows.counts
    }

    /// The error log's lines.
    #[must_use]
    pub(crate) fn error_log(&self) -> &[String] {
        &self.rows.error_log
    }

    /// Why the load fails, if it does: a broken body, or more filtered rows than allowed.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        if let Some(failure) = &self.rows.failure {
            return Err(failure.clone());
        }
        let Counts { total, filtered, unselected, .. } = self.rows.counts;
        let selected = total - unselected;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of row counts needs no more than 52 bits")]
        let ratio = if selected == 0 { 0.0 } else { filtered as f64 / selected as f64 };
        if ratio > self.max_filter_ratio { Err("too many filtered rows".to_owned()) } else { Ok(()) }
    }
}

impl BodyReader {
    fn new(format: &Format) -> Self {
        match format {
            Format::Json { framing, .. } => Self::Json(RowReader::new(*framing)),
            Format::Csv(form) => Self::Csv(CsvReader::new(form.clone())),
        }
    }
}

impl Unfolder {
    /// Takes what the reader cut out of the body: a row, or a document that holds rows.
    fn take(&self, rows: &mut Rows, text: &[u8]) {
        if rows.failure.is_some() {
            return;
        }
        match (&self.plan, &self.format) {
            (None, _) => rows.count(),
            (Some(plan), Format::Csv(form)) => self.take_line(plan, form, rows, text),
            (Some(plan), Format::Json { root: None, expands: false, .. }) => self.take_json(plan, rows, text),
            (Some(plan), Format::Json { root, expands, .. }) => {
                self.take_document(plan, root.as_ref(), *expands, rows, text);
            }
        }
    }

    fn take_line(&self, plan: &Plan, form: &CsvForm, rows: &mut Rows, line: &[u8]) {
        rows.counts.total += 1;
        if std::str::from_utf8(line).is_err() {
            let reason = match self.kind {
                EngineKind::StarRocks => "Invalid UTF-8 row",
                EngineKind::Doris => "Invalid file encoding: all CSV files must be UTF-8 encoded",
            };
            return rows.filter(self.kind, reason, line);
        }
        let text = |field: Cow<'_, [u8]>| Cow::Owned(String::from_utf8_lossy(&field).into_owned());
        let fields = form.split(line).into_iter().map(|field| match field {
            Some(Cow::Borrowed(bytes)) => Some(String::from_utf8_lossy(bytes)),
            other => other.map(text),
        });
        rows.append(self.kind, plan, &Record::Csv(fields.collect()), line);
    }

    fn take_json(&self, plan: &Plan, rows: &mut Rows, row: &[u8]) {
        let parsed = serde_json::from_slice(row).map(|fields: Fields<'_>| fields);
        match parsed {
            Ok(fields) => {
                rows.counts.total += 1;
                // What serde_json took is UTF-8.
                let whole = std::str::from_utf8(row).unwrap_or_default();
                rows.append(self.kind, plan, &Record::Json(fields, whole), row);
            }
            Err(error) => self.broken(rows, row, &error),
        }
    }

    /// The rows that a document holds at its root.
    fn take_document(&self, plan: &Plan, root: Option<&JsonPath>, expands: bool, rows: &mut Rows, document: &[u8]) {
        let parsed: Result<&RawValue, _> = serde_json::from_slice(document);
        let whole = match parsed {
            Ok(whole) => whole,
            Err(error) => return self.broken(rows, document, &error),
        };
        let found = match root {
            None => Some(whole),
            Some(root) if root.is_whole() => Some(whole),
            Some(root) => match serde_json::from_str::<Fields<'_>>(whole.get()) {
                Ok(fields) => root.find(&fields),
                Err(error) => return self.broken(rows, document, &error),
            },
        };
        let Some(found) = found else { return self.rootless(rows, document, "JSON Root not found.") };
        if !expands {
            return match found.get().starts_with('{') {
                true => self.take_json(plan, rows, found.get().as_bytes()),
                false => self.rootless(
                    rows,
                    document,
                    "the value should be object type in json document stream with json root",
                ),
            };
        }
        match serde_json::from_str::<Vec<&RawValue>>(found.get()) {
            Ok(items) => items.iter().for_each(|item| self.take_json(plan, rows, item.get().as_bytes())),
            Err(_) => self.rootless(rows, document, match self.kind {
                EngineKind::StarRocks => {
                    "the value under json root should be array type with strip_outer_array=true in json document stream"
                }
                EngineKind::Doris => "JSON data is not an array-object, `strip_outer_array` must be FALSE.",
            }),
        }
    }

    /// A document without rows where they should be: Doris filters it, StarRocks gives the load up.
    fn rootless(&self, rows: &mut Rows, document: &[u8], reason: &str) {
        match self.kind {
            EngineKind::StarRocks => rows.failure = Some(reason.to_owned()),
            EngineKind::Doris => {
                rows.counts.total += 1;
                rows.filter(self.kind, reason, document);
            }
        }
    }

    /// A row that isn't a JSON object: Doris filters a bad line, all else breaks the load.
    fn broken(&self, rows: &mut Rows, row: &[u8], error: &serde_json::Error) {
        let by_line = matches!(self.format, Format::Json { framing: Framing::Lines, .. });
        match (self.kind, by_line) {
            (EngineKind::Doris, true) if row.starts_with(b"[") => {
                rows.failure = Some(framing_text(self.kind, FramingError::IsAnArray));
            }
            (EngineKind::Doris, true) => {
                rows.counts.total += 1;
                rows.filter(self.kind, &format!("Parse json data failed. code: 3, error info: {error}"), row);
            }
            (EngineKind::Doris, false) => {
                rows.failure = Some(format!("Parse json data failed. code: 3, error info: {error}"));
            }
            (EngineKind::StarRocks, _) => rows.failure = Some(format!("parse error: invalid json row: {error}")),
        }
    }
}

impl Rows {
    fn count(&mut self) {
        self.counts.total += 1;
        self.counts.loaded += 1;
    }

    fn append(&mut self, kind: EngineKind, plan: &Plan, record: &Record<'_>, row: &[u8]) {
        match plan.append(record, &mut self.chunk) {
            Ok(Taken::Loaded) => self.counts.loaded += 1,
            Ok(Taken::Unselected) => self.counts.unselected += 1,
            Ok(Taken::Breaks(message)) => self.failure = Some(message),
            Err(Refusal { reason, row: None }) => self.filter(kind, &reason, row),
            Err(Refusal { reason, row: Some(shown) }) => self.filter(kind, &reason, shown.as_bytes()),
        }
    }

    fn filter(&mut self, kind: EngineKind, reason: &str, row: &[u8]) {
        self.counts.filtered += 1;
        if self.error_log.len() >= ERROR_LOG_ROWS {
            return;
        }
        let beginning =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(ERROR_LOG_ROW_BYTES)]).into_owned();
        let (reason, row) = (beginning(reason.as_bytes()), beginning(row));
        self.error_log.push(match kind {
            EngineKind::StarRocks => format!("Error: {reason}. Row: {row}"),
            EngineKind::Doris => format!("Reason: {reason}. src line [{row}]; "),
        });
    }
}

fn framing_text(kind: EngineKind, error: FramingError) -> String {
    match (kind, error) {
        (EngineKind::StarRocks, FramingError::NotAnArray) => {
            "the value should be array type with strip_outer_array=true".to_owned()
        }
        (EngineKind::StarRocks, FramingError::IsAnArray) => {
            "The value is array type in json document stream, you can set strip_outer_array=true to parse each element \
             of the array as individual rows"
                .to_owned()
        }
        (EngineKind::Doris, FramingError::NotAnArray) => {
            "JSON data is not an array-object, `strip_outer_array` must be FALSE.".to_owned()
        }
        (EngineKind::Doris, FramingError::IsAnArray) => {
            "JSON data is array-object, `strip_outer_array` must be TRUE.".to_owned()
        }
        (EngineKind::StarRocks, error) => format!("parse error: {}", broken_text(error)),
        (EngineKind::Doris, error) => format!("Parse json data failed. code: 3, error info: {}", broken_text(error)),
    }
}

fn broken_text(error: FramingError) -> String {
    match error {
        FramingError::Unexpected(byte) => format!("unexpected '{}' between rows", byte.escape_ascii()),
        FramingError::Truncated => "the body ends inside a row or before the end of the array".to_owned(),
        FramingError::RowTooLong => "a row is too long".to_owned(),
        FramingError::NotAnArray | FramingError::IsAnArray => "wrong outer value".to_owned(),
    }
}
