//! Turns the bodies of one load transaction into typed rows, counts and an error log.

use crate::json_path::Fields;
use crate::json_rows::{Framing, FramingError, RowReader};
use crate::plan::Plan;
use crate::rows::RowChunk;
use crate::table::EngineKind;
use crate::transactions::Counts;

/// Rows that an error log holds.
const ERROR_LOG_ROWS: usize = 50;
/// Bytes of a row that an error log shows.
const ERROR_LOG_ROW_BYTES: usize = 16 << 10;

/// Reads the bodies of one transaction; rows leave it in chunks.
#[derive(Debug)]
pub(crate) struct Loader {
    kind: EngineKind,
    framing: Framing,
    /// `None` counts rows and keeps none.
    plan: Option<Plan>,
    max_filter_ratio: f64,
    reader: Option<RowReader>,
    rows: Rows,
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
    pub(crate) fn new(kind: EngineKind, framing: Framing, max_filter_ratio: f64, plan: Option<Plan>) -> Self {
        Self { kind, framing, plan, max_filter_ratio, reader: None, rows: Rows::default() }
    }

    /// Reads a piece of a body. Behind a failure the bytes are only counted, as an engine drains them.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.rows.counts.bytes += bytes.len() as u64;
        if self.rows.failure.is_some() {
            return;
        }
        let reader = self.reader.get_or_insert_with(|| RowReader::new(self.framing));
        let (kind, framing, plan, rows) = (self.kind, self.framing, self.plan.as_ref(), &mut self.rows);
        let result = reader.push(bytes, &mut |row| rows.take(kind, framing, plan, row));
        self.note(result);
    }

    /// Ends a body; each is a JSON text of its own.
    pub(crate) fn finish_body(&mut self) {
        let Some(reader) = self.reader.take() else { return };
        if self.rows.failure.is_some() {
            return;
        }
        let (kind, framing, plan, rows) = (self.kind, self.framing, self.plan.as_ref(), &mut self.rows);
        let result = reader.finish(&mut |row| rows.take(kind, framing, plan, row));
        self.note(result);
    }

    fn note(&mut self, result: Result<(), FramingError>) {
        if let Err(error) = result {
            self.fail(framing_text(self.kind, error));
        }
    }

    /// Makes the load fail, if it hasn't yet.
    pub(crate) fn fail(&mut self, message: String) {
        self.rows.failure.get_or_insert(message);
    }

    /// Rows that are ready for the store: a full chunk, or with `all` what there is.
    pub(crate) fn take_chunk(&mut self, all: bool) -> Option<RowChunk> {
        let is_due = self.rows.chunk.is_full() || (all && !self.rows.chunk.is_empty());
        is_due.then(|| std::mem::take(&mut self.rows.chunk))
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
        let Counts { total, filtered, .. } = self.rows.counts;
        #[expect(clippy::cast_precision_loss, reason = "a ratio of row counts needs no more than 52 bits")]
        let ratio = if total == 0 { 0.0 } else { filtered as f64 / total as f64 };
        if ratio > self.max_filter_ratio { Err("too many filtered rows".to_owned()) } else { Ok(()) }
    }
}

impl Rows {
    fn take(&mut self, kind: EngineKind, framing: Framing, plan: Option<&Plan>, row: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let Some(plan) = plan else {
            self.counts.total += 1;
            self.counts.loaded += 1;
            return;
        };
        let fields: Fields<'_> = match serde_json::from_slice(row) {
            Ok(fields) => fields,
            Err(error) => return self.broken(kind, framing, row, &error),
        };
        self.counts.total += 1;
        match plan.append(&fields, &mut self.chunk) {
            Ok(()) => self.counts.loaded += 1,
            Err(reason) => self.filter(kind, &reason, row),
        }
    }

    /// A row that isn't a JSON object: Doris filters a bad line, all else breaks the load.
    fn broken(&mut self, kind: EngineKind, framing: Framing, row: &[u8], error: &serde_json::Error) {
        match (kind, framing) {
            (EngineKind::Doris, Framing::Lines) if row.starts_with(b"[") => {
                self.failure = Some(framing_text(kind, FramingError::IsAnArray));
            }
            (EngineKind::Doris, Framing::Lines) => {
                self.counts.total += 1;
                self.filter(kind, &format!("Parse json data failed. code: 3, error info: {error}"), row);
            }
            (EngineKind::Doris, _) => {
                self.failure = Some(format!("Parse json data failed. code: 3, error info: {error}"));
            }
            (EngineKind::StarRocks, _) => self.failure = Some(format!("parse error: invalid json row: {error}")),
        }
    }

    fn filter(&mut self, kind: EngineKind, reason: &str, row: &[u8]) {
        self.counts.filtered += 1;
        if self.error_log.len() >= ERROR_LOG_ROWS {
            return;
        }
        let row = String::from_utf8_lossy(&row[..row.len().min(ERROR_LOG_ROW_BYTES)]);
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
