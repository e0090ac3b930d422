//! Rows as JSON text: columns in order, names written once at the start, values copied from the document.

use super::document::{Document, Reader, Wanted};
use super::elements::Elements;
use super::expr::{Compiled, Places, Scene};
use super::reject::{Failure, Stage};
use super::scan::Scanner;
use super::text::{compact, lone_surrogate, quote, quote_json};
use super::{CompileError, Framing};
use crate::config::{Column, ColumnKind, ColumnSource, Route};
use crate::record::Record;

/// Longest row, bytes: below the 100 MB that StarRocks takes as one JSON body. A longer one would fail for ever.
pub(super) const MAX_ROW: usize = 64 << 20;

/// How records become rows of one table.
pub(super) struct RowPlan {
    cells: Vec<Cell>,
    /// Whose elements become rows; `None`: the record becomes one.
    elements: Option<Elements>,
    /// Which records become rows; `None`: all.
    filter: Option<Compiled>,
    /// Text behind the last value.
    end: &'static [u8],
    /// True if a column comes from the record's value.
    pub(super) reads_value: bool,
}

struct Cell {
    /// Text before the value: punctuation and the column's name.
    start: Vec<u8>,
    content: Content,
    kind: ColumnKind,
    /// What stands in for a missing path, ready to be copied; `None` if the route gives no default.
    default: Option<Vec<u8>>,
    /// Whose value it is, for reasons: `column "a", path $.b`.
    label: String,
}

/// What a row is made of besides its record.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Topic of the record.
    pub topic: &'a str,
    /// When the record is loaded, milliseconds since the Unix epoch.
    pub load_time_ms: i64,
}

enum Content {
    Path(Wanted),
    /// JSON text, ready to be copied.
    Constant(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Header(String),
    Expression(Box<Compiled>),
}

impl RowPlan {
    /// Plans the rows of a route and tells the reader which paths it wants.
    pub(super) fn new(route: &Route, framing: Framing, reader: &mut Reader) -> Result<Self, CompileError> {
        if route.columns.is_empty() {
            return Err(CompileError { table: route.table.clone(), reason: "there are no columns".into() });
        }
        let (open, end): (&[u8], &[u8]) = match framing {
            Framing::Array => (b",{", b"}"),
            Framing::Lines => (b"{", b"}\n"),
        };
        let failed = |reason| CompileError { table: route.table.clone(), reason };
        let elements = route.rows.as_deref().map(|rows| Elements::new(rows, &mut reader.paths));
        let mut elements = elements.transpose().map_err(failed)?;
        let mut cells = Vec::with_capacity(route.columns.len());
        for column in &route.columns {
            let mut start = if cells.is_empty() { open.to_vec() } else { b",".to_vec() };
            quote(&column.name, &mut start);
            start.push(b':');
            let cell = Cell::new(column, start, places(&mut elements, reader));
            cells.push(cell.map_err(failed)?);
        }
        let filter = match &route.filter {
            Some(text) => {
                let compiled = Compiled::condition(text, places(&mut elements, reader));
                Some(compiled.map_err(|mistake| failed(format!("where: {}", mistake.what)))?)
            }
            None => None,
        };
        let filter_reads_value = filter.as_ref().is_some_and(|filter| filter.reads_value);
        let reads_value = elements.is_some() || filter_reads_value || cells.iter().any(|cell| cell.reads_value());
        Ok(Self { cells, elements, filter, end, reads_value })
    }

    /// True if the record's metadata alone tell that the route leaves it out.
    pub(super) fn leaves_out_unread(
        &self,
        record: &Record<'_>,
        surroundings: Surroundings<'_>,
    ) -> Result<bool, Failure> {
        match &self.filter {
            Some(filter) if !filter.reads_value => left_out(filter, &scene(record, surroundings, None, None)),
            Some(_) | None => Ok(false),
        }
    }

    /// Appends the rows of a record and counts them; none if the route leaves the record out. On failure `out` is as it was
    /// before.
    pub(super) fn encode(
        &self,
        record: &Record<'_>,
        surroundings: Surroundings<'_>,
        document: Option<&Document<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<u64, Failure> {
        let start = out.len();
        let limit = start + MAX_ROW;
        let written = match (&self.elements, document) {
            (Some(elements), Some(whole)) => self.encode_all(elements, record, surroundings, whole, limit, out),
            _ => self.encode_one(&scene(record, surroundings, document, document), limit, out),
        };
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    fn encode_all(
        &self,
        elements: &Elements,
        record: &Record<'_>,
        surroundings: Surroundings<'_>,
        whole: &Document<'_>,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<u64, Failure> {
        let mut spans = Vec::new();
        let mut rows = 0;
        for (number, json) in (1..).zip(elements.of(whole)?) {
            let element = elements.document(json, &mut spans)?;
            let scene = scene(record, surroundings, Some(&element), Some(whole));
            let place = |failure: Failure| Failure::new(failure.stage, format!("element {number}: {}", failure.reason));
            rows += self.encode_one(&scene, limit, out).map_err(place)?;
        }
        Ok(rows)
    }

    /// Appends one row, unless the condition leaves it out.
    fn encode_one(&self, scene: &Scene<'_>, limit: usize, out: &mut Vec<u8>) -> Result<u64, Failure> {
        if let Some(filter) = self.filter.as_ref().filter(|filter| filter.reads_value)
            && left_out(filter, scene)?
        {
            return Ok(0);
        }
        self.append(scene, limit, out).map_err(|reason| Failure::new(Stage::Map, reason))?;
        Ok(1)
    }

    fn append(&self, scene: &Scene<'_>, limit: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let Scene { record, topic, element: document, .. } = *scene;
        for cell in &self.cells {
            out.extend_from_slice(&cell.start);
            match &cell.content {
                Content::Path(wanted) => cell.path(*wanted, document, out)?,
                Content::Constant(json) => out.extend_from_slice(json),
                Content::Topic => quote(topic, out),
                Content::Partition => cell.number(Some(record.partition.into()), out),
                Content::Offset => cell.number(Some(record.offset), out),
                Content::Timestamp => cell.number(record.timestamp_ms, out),
                Content::Key => cell.bytes(record.key, out)?,
                Content::Header(name) => cell.bytes(record.headers.last(name), out)?,
                Content::Expression(expression) => {
                    let written = expression.write(scene, cell.kind == ColumnKind::Text, out);
                    written.map_err(|reason| format!("{}, {reason}", cell.label))?;
                }
            }
            if out.len() > limit {
                return Err(format!("{}: with this value the row is longer than {MAX_ROW} bytes", cell.label));
            }
        }
        out.extend_from_slice(self.end);
        Ok(())
    }
}

fn left_out(filter: &Compiled, scene: &Scene<'_>) -> Result<bool, Failure> {
    let holds = filter.holds(scene).map_err(|reason| Failure::new(Stage::Map, format!("where: {reason}")))?;
    Ok(!holds)
}

fn scene<'a>(
    record: &'a Record<'a>,
    surroundings: Surroundings<'a>,
    element: Option<&'a Document<'a>>,
    whole: Option<&'a Document<'a>>,
) -> Scene<'a> {
    let Surroundings { topic, load_time_ms } = surroundings;
    Scene { record, topic, load_time_ms, element, whole }
}

/// What `$` and `$$` mean.
fn places<'p>(elements: &'p mut Option<Elements>, reader: &'p mut Reader) -> Places<'p> {
    match elements {
        Some(elements) => Places { element: &mut elements.paths, record: Some(&mut reader.paths) },
        None => Places { element: &mut reader.paths, record: None },
    }
}

impl Cell {
    fn new(column: &Column, start: Vec<u8>, places: Places<'_>) -> Result<Self, String> {
        let Column { name, from, default, kind } = column;
        let mut label = format!("column {name:?}");
        let content = match from {
            ColumnSource::Path(path) => {
                label = format!("{label}, path {path}");
                Content::Path(places.element.want(path).map_err(|error| format!("{label}: {error}"))?)
            }
            ColumnSource::Constant(json) => {
                Content::Constant(fixed(json, *kind).map_err(|error| format!("{label}, constant: {error}"))?)
            }
            ColumnSource::Topic => Content::Topic,
            ColumnSource::Partition => Content::Partition,
            ColumnSource::Offset => Content::Offset,
            ColumnSource::Timestamp => Content::Timestamp,
            ColumnSource::Key => {
                label.push_str(", the record's key");
                Content::Key
            }
            ColumnSource::Header(header) => {
                label = format!("{label}, header {header:?}");
                Content::Header(header.clone())
            }
            ColumnSource::Expression(text) => {
                let compiled = Compiled::value(text, places);
                Content::Expression(Box::new(compiled.map_err(|mistake| format!("{label}: {}", mistake.what))?))
            }
        };
        let default = match default {
            Some(json) => Some(fixed(json, *kind).map_err(|error| format!("{label}, default: {error}"))?),
            None => None,
        };
        Ok(Self { start, content, kind: *kind, default, label })
    }

    fn reads_value(&self) -> bool {
        let of_expression = matches!(&self.content, Content::Expression(expression) if expression.reads_value);
        of_expression || matches!(self.content, Content::Path(_))
    }

    #[inline]
    fn path(&self, wanted: Wanted, document: Option<&Document<'_>>, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(document) = document else {
            return Err(format!("{}: the value was not read", self.label));
        };
        match wanted {
            Wanted::Place(place) => match document.at(place) {
                Some(json) => {
                    if document.surrogates && lone_surrogate(json).is_some() {
                        return Err(format!("{}: an escaped half of a surrogate pair, which is no text", self.label));
                    }
                    value(json, self.kind, document.spaced, out);
                }
                None => out.extend_from_slice(self.default.as_deref().unwrap_or(b"null")),
            },
            Wanted::Query(query) => {
                let (json, count) = document.matches(query).map_err(|reason| format!("{}: {reason}", self.label))?;
                match &self.default {
                    Some(default) if count == 0 => out.extend_from_slice(default),
                    Some(_) | None => value(&json, self.kind, document.spaced, out),
                }
            }
        }
        Ok(())
    }

    fn number(&self, number: Option<i64>, out: &mut Vec<u8>) {
        match number {
            Some(number) => value(number.to_string().as_bytes(), self.kind, false, out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn bytes(&self, bytes: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(bytes) = bytes else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        match std::str::from_utf8(bytes) {
            Ok(text) => quote(text, out),
            Err(error) => {
                let (at, len) = (error.valid_up_to(), bytes.len());
                return Err(format!("{}: not UTF-8 at byte {at} of {len}", self.label));
            }
        }
        Ok(())
    }
}

/// Appends valid JSON text as a column's value. `spaced`: white space may stand between its tokens.
#[inline]
fn value(json: &[u8], kind: ColumnKind, spaced: bool, out: &mut Vec<u8>) {
    match (kind, json.first()) {
        (ColumnKind::AsIs, Some(b'{' | b'[')) if spaced => compact(json, out),
        (ColumnKind::Text, Some(b'{' | b'[')) => quote_json(json, out),
        (ColumnKind::Text, Some(b'-' | b'0'..=b'9' | b't' | b'f')) => {
            out.push(b'"');
            out.extend_from_slice(json);
            out.push(b'"');
        }
        (ColumnKind::AsIs | ColumnKind::Text, _) => out.extend_from_slice(json),
    }
}

/// Turns JSON text of the configuration into a column's value.
fn fixed(json: &str, kind: ColumnKind) -> Result<Vec<u8>, String> {
    let json = json.trim_matches([' ', '\t', '\r', '\n']);
    let mut scanner = Scanner::new(json.as_bytes());
    if let Err(fault) = scanner.skip(0).and_then(|end| scanner.end(end)) {
        return Err(format!("not JSON at byte {} of {}: {fault}", scanner.fault_at(), json.len()));
    }
    if lone_surrogate(json.as_bytes()).is_some() {
        return Err("an escaped half of a surrogate pair, which is no text".into());
    }
    let mut out = Vec::new();
    value(json.as_bytes(), kind, true, &mut out);
    Ok(out)
}
