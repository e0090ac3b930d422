//! Which part of a row goes into which column, and what a row that doesn't fit becomes. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::cells::{Cell, Misfit, Rules, convert};
use crate::json_path::{Fields, JsonPath};
use crate::options::{ColumnItem, LoadOptions, Op};
use crate::rows::RowChunk;
use crate::table::{Column, ColumnType, DefaultValue, EngineKind, Model, Table};

/// Doris' hidden delete column.
const DELETE_SIGN: &str = "__DORIS_DELETE_SIGN__";

/// Where a column's value comes from.
#[derive(Clone, Debug)]
enum Source {
    Key(String),
    Path(JsonPath),
    /// The column isn't part of the load.
    Default,
}

/// Where a row's operation comes from.
#[derive(Clone, Debug)]
enum OpSource {
    Constant(Op),
    From(Source),
}

/// How the rows of a load become rows of a table.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    table: Arc<Table>,
    rules: Rules,
    sources: Vec<Source>,
    /// Texts of the columns' defaults, already converted.
    defaults: Vec<Option<String>>,
    op: OpSource,
    /// Column positions by key, when all sources are keys.
    by_key: Option<HashMap<String, usize>>,
}

impl Plan {
    /// Matches a table's columns with the headers of a load. `now` is what `CURRENT_TIMESTAMP` means for the load.
    ///
    /// # Errors
    /// The engine's text, when the headers don't match the table.
    pub(crate) fn new(kind: EngineKind, table: Arc<Table>, options: &LoadOptions, now: &str) -> Result<Self, String> {
        let rules = Rules { kind, strict: options.strict, zone: options.zone.clone() };
        let named = named_sources(&table, options)?;
        let mut sources = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let source = match &named {
                None => Source::Key(column.name.clone()),
                Some(named) => named.get(&column.name).cloned().unwrap_or(Source::Default),
            };
            if matches!(source, Source::Default) && !column.nullable && column.default == DefaultValue::None {
                return Err(format!("Column has no default value. column: {}", column.name));
            }
            sources.push(source);
        }
        let op = op_source(kind, &table, options, named.as_ref())?;
        let defaults = table.columns.iter().map(|c| default_text(&rules, c, now)).collect::<Result<_, _>>()?;
        let by_key = sources
            .iter()
            .enumerate()
            .map(|(position, source)| match source {
                Source::Key(key) => Some((key.clone(), position)),
                Source::Path(_) | Source::Default => None,
            })
            .collect();
        Ok(Self { table, rules, sources, defaults, op, by_key })
    }

    /// Appends a row to a chunk.
    ///
    /// # Errors
    /// The reason that the engine's error log gives; the chunk is then as before.
    pub(crate) fn append(&self, row: &Fields<'_>, chunk: &mut RowChunk) -> Result<(), String> {
        let op = self.op_of(row)?;
        let mark = chunk.mark();
        let values = self.values(row);
        for (position, column) in self.table.columns.iter().enumerate() {
            let is_key = self.table.keys.contains(&position);
            if op == Op::Delete && !is_key {
                chunk.push_null();
                continue;
            }
            if let Err(reason) = self.append_cell(position, column, values[position], chunk) {
                chunk.roll_back(mark);
                return Err(reason);
            }
        }
        chunk.end_row(op);
        Ok(())
    }

    fn values<'a>(&self, row: &Fields<'a>) -> Vec<Option<&'a RawValue>> {
        let mut values = vec![None; self.sources.len()];
        if let Some(by_key) = &self.by_key {
            for (key, value) in &row.0 {
                if let Some(position) = by_key.get(key.as_ref()) {
                    // Of duplicate keys the first wins.
                    values[*position].get_or_insert(*value);
                }
            }
        } else {
            for (value, source) in values.iter_mut().zip(&self.sources) {
                *value = find(source, row);
            }
        }
        values
    }

    fn append_cell(
        &self,
        position: usize,
        column: &Column,
        value: Option<&RawValue>,
        chunk: &mut RowChunk,
    ) -> Result<(), String> {
        let kind = self.rules.kind;
        let takes_default = match (&self.sources[position], kind) {
            (Source::Default, _) => true,
            (Source::Key(_) | Source::Path(_), EngineKind::Doris) => value.is_none(),
            (Source::Key(_) | Source::Path(_), EngineKind::StarRocks) => false,
        };
        if takes_default && let Some(text) = &self.defaults[position] {
            chunk.push_text(text);
            return Ok(());
        }
        let cell = value.map_or(Cell::Null, Cell::of);
        if cell == Cell::Null {
            return push_null(kind, column, chunk);
        }
        match chunk.push_with(|out| convert(&self.rules, column, &cell, out)) {
            Ok(()) => Ok(()),
            Err(misfit @ Misfit::TooLong { .. }) => Err(reason(kind, column, &cell, &misfit)),
            Err(misfit) if self.rules.strict => Err(reason(kind, column, &cell, &misfit)),
            Err(Misfit::Unparsable | Misfit::OutOfRange) => push_null(kind, column, chunk),
        }
    }

    fn op_of(&self, row: &Fields<'_>) -> Result<Op, String> {
        let source = match &self.op {
            OpSource::Constant(op) => return Ok(*op),
            OpSource::From(source) => source,
        };
        match find(source, row).map_or(Cell::Null, Cell::of) {
            Cell::Null | Cell::Number("0") | Cell::Bool(false) => Ok(Op::Upsert),
            Cell::Number("1") | Cell::Bool(true) => Ok(Op::Delete),
            Cell::Text(text) if matches!(text.as_ref(), "0" | "upsert") => Ok(Op::Upsert),
            Cell::Text(text) if matches!(text.as_ref(), "1" | "delete") => Ok(Op::Delete),
            Cell::Text(_) | Cell::Number(_) | Cell::Nested(_) => {
                Err("load op type column should only be upsert(0)/delete(1)".to_owned())
            }
        }
    }
}

/// The text of the clock that `CURRENT_TIMESTAMP` shows, `YYYY-MM-DD HH:MM:SS`.
#[must_use]
pub(crate) fn now_text(options: &LoadOptions, now_ms: i64) -> String {
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    options.zone.to_datetime(now).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Sources by column name if the headers name columns; `None` if every column is matched by its own name.
fn named_sources(table: &Table, options: &LoadOptions) -> Result<Option<HashMap<String, Source>>, String> {
    let names: Vec<String> = match (&options.columns, &options.jsonpaths) {
        (None, None) => return Ok(None),
        (None, Some(_)) => table.columns.iter().map(|c| c.name.clone()).collect(),
        (Some(items), _) => items
            .iter()
            .filter_map(|item| match item {
                ColumnItem::Name(name) => Some(name.clone()),
                ColumnItem::ConstantOp(_) => None,
            })
            .collect(),
    };
    let Some(paths) = &options.jsonpaths else {
        return Ok(Some(names.into_iter().map(|name| (name.clone(), Source::Key(name))).collect()));
    };
    if paths.len() != names.len() {
        return Err(format!("jsonpaths has {} entries for {} columns", paths.len(), names.len()));
    }
    Ok(Some(names.into_iter().zip(paths.iter().cloned().map(Source::Path)).collect()))
}

fn op_source(
    kind: EngineKind,
    table: &Table,
    options: &LoadOptions,
    named: Option<&HashMap<String, Source>>,
) -> Result<OpSource, String> {
    let constant = options.columns.iter().flatten().find_map(|item| match item {
        ColumnItem::ConstantOp(op) => Some(*op),
        ColumnItem::Name(_) => None,
    });
    let (name, takes_ops) = match kind {
        EngineKind::StarRocks => ("__op", table.primary),
        EngineKind::Doris => (DELETE_SIGN, table.model == Model::Unique),
    };
    let listed = named.and_then(|named| named.get(name)).cloned();
    let hidden = options.hidden_columns.iter().any(|c| c == DELETE_SIGN);
    let wants_ops = constant.is_some() || listed.is_some() || hidden || options.deletes_all;
    if wants_ops && !takes_ops {
        return Err(format!("{name} is for primary or unique key tables, and {} is none", table.full_name()));
    }
    if options.deletes_all {
        return Ok(OpSource::Constant(Op::Delete));
    }
    let by_itself = (kind == EngineKind::StarRocks && takes_ops) || hidden;
    Ok(match (constant, listed) {
        (Some(op), _) => OpSource::Constant(op),
        (None, Some(source)) => OpSource::From(source),
        (None, None) if by_itself => OpSource::From(Source::Key(name.to_owned())),
        (None, None) => OpSource::Constant(Op::Upsert),
    })
}

fn default_text(rules: &Rules, column: &Column, now: &str) -> Result<Option<String>, String> {
    let text = match &column.default {
        DefaultValue::None | DefaultValue::Null => return Ok(None),
        DefaultValue::Text(text) => text.as_str(),
        DefaultValue::Now => now,
    };
    let mut out = String::new();
    match convert(rules, column, &Cell::Text(text.into()), &mut out) {
        Ok(()) => Ok(Some(out)),
        Err(_) => Err(format!("default value '{text}' of column {} is no {}", column.name, column.ty)),
    }
}

fn find<'a>(source: &Source, row: &Fields<'a>) -> Option<&'a RawValue> {
    match source {
        Source::Key(key) => row.get(key),
        Source::Path(path) => path.find(row),
        Source::Default => None,
    }
}

fn push_null(kind: EngineKind, column: &Column, chunk: &mut RowChunk) -> Result<(), String> {
    if column.nullable {
        chunk.push_null();
        return Ok(());
    }
    Err(match kind {
        EngineKind::StarRocks => format!("NULL value in non-nullable column '{}'", column.name),
        EngineKind::Doris => format!("Json value is null, but the column `{}` is not nullable.", column.name),
    })
}

/// The error log's words for a value that doesn't fit.
fn reason(kind: EngineKind, column: &Column, cell: &Cell<'_>, misfit: &Misfit) -> String {
    let name = &column.name;
    let value = match cell {
        Cell::Null => "NULL",
        Cell::Bool(true) => "1",
        Cell::Bool(false) => "0",
        Cell::Number(token) | Cell::Nested(token) => token,
        Cell::Text(text) => text,
    };
    match (kind, misfit, column.ty) {
        (EngineKind::StarRocks, Misfit::TooLong { bytes, max }, _) => {
            format!("String '{value}'(length={bytes}) is too long. The max length of '{name}' is {max}")
        }
        (EngineKind::StarRocks, Misfit::OutOfRange, ColumnType::Decimal { .. }) => {
            format!("Decimal '{value}' is out of range. The type of '{name}' is {}", column.ty)
        }
        (EngineKind::StarRocks, Misfit::OutOfRange | Misfit::Unparsable, _) => {
            format!("Value '{value}' is out of range. The type of '{name}' is {}", column.ty)
        }
        (EngineKind::Doris, Misfit::TooLong { bytes, max }, _) => format!(
            "column_name[{name}], the length of input is too long than schema. schema length: {max}; \
             actual length: {bytes}"
        ),
        (EngineKind::Doris, Misfit::OutOfRange, ColumnType::Decimal { precision, scale }) => format!(
            "column_name[{name}], decimal value is not valid for definition, value={value}, \
             precision={precision}, scale={scale}"
        ),
        (EngineKind::Doris, Misfit::OutOfRange | Misfit::Unparsable, _) => {
            format!("column({name}) value is incorrect while strict mode is true, src value is {value}")
        }
    }
}
