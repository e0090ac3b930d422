//! Which part of a row goes into which column, and what a row that doesn't fit becomes. Pure.

mod changes;
mod names;
mod ops;
mod row;

use std::collections::HashMap;
use std::sync::Arc;

use crate::cells::{Cell, Rules, convert};
use crate::expression::{Expression, Function, compile};
use crate::json_path::JsonPath;
use crate::options::{Format, LoadOptions};
use crate::table::{Column, ColumnType, DefaultValue, EngineKind, Table};
use crate::update::Update;
use names::Names;
use ops::OpSource;
pub(crate) use row::{Record, Refusal, Taken};

/// Where a value comes from.
#[derive(Clone, Debug)]
enum Source {
    /// A key of the JSON row.
    Key(String),
    /// A path into the JSON row.
    Path(JsonPath),
    /// A field of the CSV line.
    Field(usize),
    /// An expression over [`Plan::inputs`].
    Computed(Expression),
    /// The column isn't part of the load.
    Default,
}

/// How the rows of a load become rows of a table.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    table: Arc<Table>,
    rules: Rules,
    format: Format,
    /// Where the table's columns come from.
    sources: Vec<Source>,
    /// Where the names in expressions come from.
    inputs: Vec<Source>,
    /// Texts of the columns' defaults, already converted.
    defaults: Vec<Option<String>>,
    op: OpSource,
    /// The hidden sequence, as a column of its own.
    sequence: Option<(Source, Column)>,
    /// Header `where`, over the table's columns.
    filter: Option<Expression>,
    /// Partitions that the load is held to, by name.
    only_partitions: Option<Vec<String>>,
    update: Option<Arc<Update>>,
    /// Names in the order of the body's fields.
    names: Vec<String>,
    /// Column positions by key, when all sources are keys.
    by_key: Option<HashMap<String, usize>>,
    /// Header `jsonpaths` as it was written.
    jsonpaths: String,
    now: String,
}

impl Plan {
    /// Matches a table's columns with the headers of a load. `now` is what `CURRENT_TIMESTAMP` means for the load.
    ///
    /// # Errors
    /// The engine's text, when the headers don't match the table.
    pub(crate) fn new(kind: EngineKind, table: Arc<Table>, options: &LoadOptions, now: &str) -> Result<Self, String> {
        let rules = Rules { kind, strict: options.strict, zone: options.zone.clone() };
        let names = Names::of(kind, &table, options)?;
        let mut inputs = Vec::new();
        let mut sources = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let source = names.source(&column.name, &mut inputs)?;
            check_function(column, &source)?;
            sources.push(source);
        }
        let update = changes::update(kind, &table, options, &rules, now)?;
        check_defaults(&table, &sources, update.as_ref())?;
        let op = ops::source(kind, &table, options, &names, &mut inputs)?;
        let sequence = changes::sequence(&table, options, &sources, &names, &mut inputs)?;
        let filter = options.filter.as_ref().map(|filter| {
            let resolve = |name: &str| {
                table
                    .position(name)
                    .ok_or_else(|| format!("unknown column reference in where statement, reference={name}"))
            };
            compile(kind, filter, &resolve)
        });
        let defaults = table.columns.iter().map(|c| default_text(&rules, c, now)).collect::<Result<_, _>>()?;
        let by_key = sources
            .iter()
            .enumerate()
            .map(|(position, source)| match source {
                Source::Key(key) => Some((key.clone(), position)),
                Source::Path(_) | Source::Field(_) | Source::Computed(_) | Source::Default => None,
            })
            .collect();
        Ok(Self {
            filter: filter.transpose()?,
            only_partitions: changes::partitions(&table, options)?,
            format: options.format.clone(),
            jsonpaths: options.jsonpaths.as_ref().map(|(_, text)| text.clone()).unwrap_or_default(),
            names: names.listed.clone(),
            update: update.map(Arc::new),
            now: now.to_owned(),
            table,
            rules,
            sources,
            inputs,
            defaults,
            op,
            sequence,
            by_key,
        })
    }

    /// How the rows change their table, if not by replacing rows.
    #[must_use]
    pub(crate) fn update(&self) -> Option<Arc<Update>> {
        self.update.clone()
    }
}

/// The text of the clock that `CURRENT_TIMESTAMP` shows, `YYYY-MM-DD HH:MM:SS`.
#[must_use]
pub(crate) fn now_text(options: &LoadOptions, now_ms: i64) -> String {
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or_default();
    options.zone.to_datetime(now).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Columns that only functions fill.
fn check_function(column: &Column, source: &Source) -> Result<(), String> {
    let call = match source {
        Source::Computed(Expression::Call(function, _)) => Some(*function),
        Source::Default => return Ok(()),
        Source::Key(_) | Source::Path(_) | Source::Field(_) | Source::Computed(_) => None,
    };
    let name = &column.name;
    match (column.ty, call) {
        (ColumnType::Bitmap, Some(Function::ToBitmap | Function::EmptyBitmap))
        | (ColumnType::Hll, Some(Function::HllHash | Function::EmptyHll))
        | (ColumnType::Binary { .. }, Some(Function::ToBinary)) => Ok(()),
        (ColumnType::Bitmap, _) => Err(format!("bitmap column {name} require the function return type is BITMAP")),
        (ColumnType::Hll, _) => Err(format!("HLL column must use hll_hash function, like {name}=hll_hash(xxx)")),
        (ColumnType::Binary { .. }, _) => {
            Err(format!("the sandbox does not imitate VARBINARY without to_binary; column {name}"))
        }
        _ => Ok(()),
    }
}

fn check_defaults(table: &Table, sources: &[Source], update: Option<&Update>) -> Result<(), String> {
    for (position, (column, source)) in table.columns.iter().zip(sources).enumerate() {
        let is_left_out = update.is_some_and(|update| !update.carries(position));
        let has_none = matches!(source, Source::Default) && !column.nullable && column.default == DefaultValue::None;
        if has_none && !is_left_out {
            return Err(format!("Column has no default value. column: {}", column.name));
        }
    }
    Ok(())
}

/// The text of a column's default, in the form that the column keeps.
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
