//! One row: from a record of the body to typed cells, or to the reason why not.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::ops::{OpSource, op_of};
use super::{Plan, Source};
use crate::cells::{Cell, Misfit, convert};
use crate::expression::{Scope, Value};
use crate::json_path::Fields;
use crate::options::{Format, Op};
use crate::rows::{Mark, RowChunk};
use crate::table::{Column, ColumnType, EngineKind};

/// A record of a body, taken apart.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    /// The keys of a JSON object, and the object as it was written.
    Json(Fields<'a>, &'a str),
    /// The fields of a CSV line; `None` for NULL.
    Csv(Vec<Option<Cow<'a, str>>>),
}

/// A row that is refused, as the engine's error log tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Why.
    pub(crate) reason: String,
    /// What the log shows for the row; `None` shows it as it was written.
    pub(crate) row: Option<String>,
}

/// What an error log shows for a row. Readers show it as written; the table's checks come behind the conversion, and
/// know only typed cells (StarRocks `OlapTableSink`) or show nothing (Doris `OlapTableBlockConvertor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    Written,
    Cells,
    Nothing,
}

/// Why the table refuses a row.
type Objection = (String, Shows);

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is a row of the load.
    Loaded,
    /// Header `where` doesn't select it.
    Unselected,
    /// The load as a whole can't succeed with such a row.
    Breaks(String),
}

impl Plan {
    /// Appends a record's row to a chunk.
    ///
    /// # Errors
    /// The reason that the engine's error log gives; the chunk is then as before.
    pub(crate) fn append(&self, record: &Record<'_>, chunk: &mut RowChunk) -> Result<Taken, Refusal> {
        let as_written = |reason| Refusal { reason, row: None };
        self.check_shape(record).map_err(as_written)?;
        let op = self.op_of(record).map_err(as_written)?;
        let mark = chunk.mark();
        let taken = self.append_cells(record, op, mark, chunk);
        if taken != Ok(Taken::Loaded) {
            chunk.roll_back(mark);
        }
        taken
    }

    fn append_cells(&self, record: &Record<'_>, op: Op, mark: Mark, chunk: &mut RowChunk) -> Result<Taken, Refusal> {
        let as_written = |reason| Refusal { reason, row: None };
        let values = self.values(record);
        // What the table refuses counts only for rows that are selected.
        let mut refused = None;
        for (position, column) in self.table.columns.iter().enumerate() {
            let source = &self.sources[position];
            let cell = match (source, &values) {
                (Source::Key(_), Some(values)) => values[position].map(Cell::of),
                _ => self.cell(source, record),
            };
            let is_left_out = self.update.as_ref().is_some_and(|update| !update.carries(position));
            let default = self.defaults[position].as_deref();
            let reason = if is_left_out {
                chunk.push_null();
                None
            } else {
                self.append_cell(column, source, default, cell, chunk).map_err(as_written)?
            };
            refused = refused.or(reason);
        }
        if let Some((source, column)) = &self.sequence {
            let cell = self.cell(source, record);
            refused = self.append_cell(column, source, None, cell, chunk).map_err(as_written)?.or(refused);
        }
        if !self.selects(mark, chunk) {
            return Ok(Taken::Unselected);
        }
        match refused.or_else(|| self.homeless(mark, chunk)) {
            Some((reason, shows)) => Err(Refusal { reason, row: self.shown_row(shows, mark, chunk) }),
            None => {
                if let (Op::Delete, Some(condition)) = (op, self.update.as_ref().and_then(|u| u.condition)) {
                    let name = &self.table.columns[condition].name;
                    // `MemTable::_split_upserts_deletes`
                    return Ok(Taken::Breaks(format!("memtable of tablet 10001 delete with condition column {name}")));
                }
                chunk.end_row(op);
                Ok(Taken::Loaded)
            }
        }
    }

    /// A CSV line must have all fields; a JSON row in Doris at least one.
    fn check_shape(&self, record: &Record<'_>) -> Result<(), String> {
        match (record, &self.format) {
            (Record::Csv(fields), Format::Csv(form)) if fields.len() != self.names.len() => {
                let (want, got) = (self.names.len(), fields.len());
                let (separator, delimiter) = (shown(&form.column_separator), shown(&form.line_delimiter));
                Err(match self.rules.kind {
                    EngineKind::StarRocks => format!(
                        "Target column count: {want} doesn't match source value column count: {got}. Column separator: \
                         '{separator}', Row delimiter: '{delimiter}'"
                    ),
                    EngineKind::Doris => {
                        let enclose = form.enclose.map(|b| format!(" encl:{}", char::from(b))).unwrap_or_default();
                        let escape = form.escape.map(|b| format!(" esc:{}", char::from(b))).unwrap_or_default();
                        format!(
                            "Column count mismatch: expected {want}, but found {got} (sep:{separator} \
                             delim:{delimiter}{enclose}{escape})"
                        )
                    }
                })
            }
            (Record::Json(..), _) if self.rules.kind == EngineKind::Doris && !self.finds_any(record) => {
                let columns: String = self.names.iter().map(|name| format!("{name}, ")).collect();
                Err(format!(
                    "There is no column matching jsonpaths in the json file, columns:[{columns}], please check columns \
                     and jsonpaths:{}",
                    self.jsonpaths
                ))
            }
            (Record::Csv(_) | Record::Json(..), _) => Ok(()),
        }
    }

    fn finds_any(&self, record: &Record<'_>) -> bool {
        let sources = self.sources.iter().chain(&self.inputs).chain(self.sequence.iter().map(|(source, _)| source));
        let mut sources = sources.chain(match &self.op {
            OpSource::From(source) | OpSource::Condition(source) => Some(source),
            OpSource::Constant(_) => None,
        });
        sources.any(|source| match source {
            Source::Key(_) | Source::Path(_) => self.cell(source, record).is_some(),
            Source::Field(_) => true,
            Source::Computed(_) | Source::Default => false,
        })
    }

    /// The values of all columns in one pass over the keys, when all sources are keys.
    fn values<'a>(&self, record: &Record<'a>) -> Option<Vec<Option<&'a RawValue>>> {
        let (Some(by_key), Record::Json(fields, _)) = (&self.by_key, record) else { return None };
        let mut values = vec![None; self.sources.len()];
        for (key, value) in &fields.0 {
            if let Some(position) = by_key.get(key.as_ref()) {
                // Of duplicate keys the first wins.
                values[*position].get_or_insert(*value);
            }
        }
        Some(values)
    }

    /// The value of a source; `None` if the record has none.
    fn cell<'a>(&self, source: &Source, record: &'a Record<'_>) -> Option<Cell<'a>> {
        match (source, record) {
            (Source::Key(key), Record::Json(fields, _)) => fields.get(key).map(Cell::of),
            (Source::Path(path), Record::Json(_, whole)) if path.is_whole() => Some(Cell::Nested(whole)),
            (Source::Path(path), Record::Json(fields, _)) => path.find(fields).map(Cell::of),
            (Source::Field(position), Record::Csv(fields)) => {
                let field = fields.get(*position)?.as_deref();
                Some(field.map_or(Cell::Null, |field| Cell::Text(field.into())))
            }
            (Source::Computed(expression), _) => {
                let column = |input: usize| self.input(input, record);
                let scope = Scope { column: &column, rules: &self.rules, now: &self.now };
                let text = expression.value(&scope).text();
                Some(text.map_or(Cell::Null, |text| Cell::Text(text.into())))
            }
            (Source::Key(_) | Source::Path(_) | Source::Field(_) | Source::Default, _) => None,
        }
    }

    /// A name in an expression: text, whatever the body wrote.
    fn input(&self, input: usize, record: &Record<'_>) -> Value {
        match self.cell(&self.inputs[input], record) {
            None | Some(Cell::Null) => Value::Null,
            Some(Cell::Bool(value)) => Value::Text(if value { "1" } else { "0" }.to_owned()),
            Some(Cell::Number(text) | Cell::Nested(text)) => Value::Text(text.to_owned()),
            Some(Cell::Text(text)) => Value::Text(text.into_owned()),
        }
    }

    /// The row as StarRocks' `Chunk::debug_row` shows it.
    fn shown_row(&self, shows: Shows, mark: Mark, chunk: &RowChunk) -> Option<String> {
        let cell = |(position, column): (usize, &Column)| match (chunk.cell(mark, position), column.ty) {
            (None, _) => "NULL".to_owned(),
            (Some(text), ColumnType::Text { .. }) => format!("'{text}'"),
            (Some(text), _) => text.to_owned(),
        };
        match shows {
            Shows::Written => None,
            Shows::Nothing => Some(String::new()),
            Shows::Cells => {
                let cells = self.table.columns.iter().enumerate().map(cell).collect::<Vec<_>>();
                Some(format!("[{}]", cells.join(", ")))
            }
        }
    }

    /// Appends one cell. What comes back says why the table refuses it.
    ///
    /// # Errors
    /// When the value can't be read.
    fn append_cell(
        &self,
        column: &Column,
        source: &Source,
        default: Option<&str>,
        cell: Option<Cell<'_>>,
        chunk: &mut RowChunk,
    ) -> Result<Option<Objection>, String> {
        let kind = self.rules.kind;
        let is_missing = cell.is_none() && (kind == EngineKind::Doris || matches!(source, Source::Default));
        if let (true, Some(text)) = (is_missing, default) {
            chunk.push_text(text);
            return Ok(None);
        }
        let cell = cell.unwrap_or(Cell::Null);
        if cell == Cell::Null {
            return Ok(self.push_null(column, chunk));
        }
        let is_csv = matches!(source, Source::Field(_)) && kind == EngineKind::StarRocks;
        match chunk.push_with(|out| convert(&self.rules, column, &cell, out)) {
            Ok(()) => Ok(None),
            // StarRocks' CSV reader is the only one that looks at lengths before the table does.
            Err(Misfit::TooLong { .. }) if is_csv && !self.rules.strict => Ok(self.push_null(column, chunk)),
            Err(misfit @ Misfit::TooLong { .. }) if !is_csv => {
                chunk.push_text(&text_of(&cell));
                Ok(Some((reason(kind, column, &cell, &misfit), Shows::Nothing)))
            }
            Err(_) if !self.rules.strict => Ok(self.push_null(column, chunk)),
            Err(misfit) => Err(match (source, is_csv) {
                (Source::Field(position), true) => {
                    let (text, name) = (text_of(&cell), &column.name);
                    format!(
                        "The field (name = {name}, pos = {position}) is out of range. Type: {}, Value length: {}, \
                         Value: {text}",
                        column.ty,
                        text.len()
                    )
                }
                _ => reason(kind, column, &cell, &misfit),
            }),
        }
    }

    fn push_null(&self, column: &Column, chunk: &mut RowChunk) -> Option<Objection> {
        if column.ty == ColumnType::Bitmap && self.rules.kind == EngineKind::Doris {
            chunk.push_text("");
            return None;
        }
        chunk.push_null();
        if column.nullable {
            return None;
        }
        Some(match (self.rules.kind, &self.format) {
            (EngineKind::StarRocks, _) => {
                (format!("NULL value in non-nullable column '{}'", column.name), Shows::Cells)
            }
            (EngineKind::Doris, Format::Json { .. }) => {
                (format!("Json value is null, but the column `{}` is not nullable.", column.name), Shows::Written)
            }
            (EngineKind::Doris, Format::Csv(_)) => (
                format!("column_name[{}], null value for not null column, type={}", column.name, column.ty),
                Shows::Nothing,
            ),
        })
    }

    fn selects(&self, mark: Mark, chunk: &RowChunk) -> bool {
        let Some(filter) = &self.filter else { return true };
        let column = |position: usize| match chunk.cell(mark, position) {
            Some(text) => Value::of_column(self.table.columns[position].ty, text.to_owned()),
            None => Value::Null,
        };
        let scope = Scope { column: &column, rules: &self.rules, now: &self.now };
        filter.value(&scope).truth() == Some(true)
    }

    /// Why no partition takes a row, if none does.
    fn homeless(&self, mark: Mark, chunk: &RowChunk) -> Option<Objection> {
        let partitions = self.table.partitions.as_ref()?;
        let types: Vec<ColumnType> = partitions.columns.iter().map(|p| self.table.columns[*p].ty).collect();
        let values: Vec<Option<&str>> = partitions.columns.iter().map(|p| chunk.cell(mark, *p)).collect();
        let found = partitions.find(&types, &values);
        if found.is_some_and(|name| self.only_partitions.as_ref().is_none_or(|only| only.iter().any(|o| o == name))) {
            return None;
        }
        Some(match self.rules.kind {
            EngineKind::StarRocks => {
                ("The row is out of partition ranges. Please add a new partition.".to_owned(), Shows::Cells)
            }
            EngineKind::Doris => {
                let cells = (0..self.table.columns.len()).map(|p| chunk.cell(mark, p).unwrap_or("NULL"));
                let tuple = cells.collect::<Vec<_>>().join(", ");
                (format!("no partition for this tuple. tuple={tuple}"), Shows::Nothing)
            }
        })
    }

    fn op_of(&self, record: &Record<'_>) -> Result<Op, String> {
        match &self.op {
            OpSource::Constant(op) => Ok(*op),
            OpSource::From(source) => op_of(self.rules.kind, &self.cell(source, record).unwrap_or(Cell::Null)),
            OpSource::Condition(source) => {
                let deletes = matches!(self.cell(source, record), Some(Cell::Text(text)) if text == "1");
                Ok(if deletes { Op::Delete } else { Op::Upsert })
            }
        }
    }
}

/// A separator in the words of an error log.
fn shown(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| match byte {
            b'\n' => "\\n".to_owned(),
            b'\t' => "\\t".to_owned(),
            byte if byte.is_ascii_graphic() || *byte == b' ' => char::from(*byte).to_string(),
            byte => format!("0x{byte:x}"),
        })
        .collect()
}

fn text_of<'a>(cell: &'a Cell<'_>) -> Cow<'a, str> {
    match cell {
        Cell::Null => "NULL".into(),
        Cell::Bool(true) => "1".into(),
        Cell::Bool(false) => "0".into(),
        Cell::Number(token) | Cell::Nested(token) => (*token).into(),
        Cell::Text(text) => text.as_ref().into(),
    }
}

/// At most so many bytes from the beginning of a text.
fn beginning(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// The error log's words for a value that doesn't fit.
fn reason(kind: EngineKind, column: &Column, cell: &Cell<'_>, misfit: &Misfit) -> String {
    let (name, value) = (&column.name, text_of(cell));
    match (kind, misfit, column.ty) {
        (EngineKind::StarRocks, Misfit::TooLong { bytes, max }, _) => {
            let more = if value.len() > 100 { "..." } else { "" };
            let value = beginning(&value, 100);
            format!("String '{value}{more}'(length={bytes}) is too long. The max length of '{name}' is {max}")
        }
        (EngineKind::StarRocks, Misfit::OutOfRange, ColumnType::Decimal { .. }) => {
            format!("Decimal '{value}' is out of range. The type of '{name}' is {}", column.ty)
        }
        (EngineKind::StarRocks, Misfit::OutOfRange | Misfit::Unparsable, _) => {
            format!("Value '{value}' is out of range. The type of '{name}' is {}", column.ty)
        }
        (EngineKind::Doris, Misfit::TooLong { bytes, max }, _) => {
            let first = beginning(&value, 32);
            format!(
                "column_name[{name}], the length of input is too long than schema. first 32 bytes of input str: \
                 [{first}] schema length: {max}; actual length: {bytes}; "
            )
        }
        (EngineKind::Doris, Misfit::OutOfRange, ColumnType::Decimal { precision, scale }) => format!(
            "column_name[{name}], decimal value is not valid for definition, value={value}, \
             precision={precision}, scale={scale}"
        ),
        (EngineKind::Doris, Misfit::OutOfRange | Misfit::Unparsable, _) => {
            format!("column({name}) value is incorrect while strict mode is true, src value is {value}")
        }
    }
}
