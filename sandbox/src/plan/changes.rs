//! What a load changes besides replacing rows: conditions, partial updates, sequences, partitions.

use super::names::Names;
use super::{Source, default_text};
use crate::cells::Rules;
use crate::options::LoadOptions;
use crate::table::{Column, ColumnType, DefaultValue, EngineKind, Sequence, Table};
use crate::update::Update;

/// What the headers ask for besides replacing rows.
pub(super) fn update(
    kind: EngineKind,
    table: &Table,
    options: &LoadOptions,
    rules: &Rules,
    now: &str,
) -> Result<Option<Update>, String> {
    let mut update = Update::default();
    if let Some(name) = options.merge_condition.as_deref().filter(|name| !name.is_empty()) {
        update.condition = Some(merge_condition(table, name)?);
    }
    if options.is_partial {
        update = partial(kind, table, options, update)?;
    }
    if update.partial.is_some() {
        for (position, column) in table.columns.iter().enumerate() {
            let is_left_out = !update.carries(position);
            update.fill.push(if is_left_out { fill(kind, rules, column, now)? } else { None });
        }
    }
    Ok((update != Update::default()).then_some(update))
}

/// `Load.checkMergeCondition`.
fn merge_condition(table: &Table, name: &str) -> Result<usize, String> {
    if !table.primary {
        return Err(format!("Conditional update only support primary key table {}", table.name));
    }
    let Some(position) = table.position(name) else {
        return Err(format!("Merge condition column {name} should be a column of the table {}", table.name));
    };
    if table.keys.contains(&position) {
        return Err(format!("Merge condition column {name} should not be primary key!"));
    }
    let ty = table.columns[position].ty;
    if ty.is_numeric() || matches!(ty, ColumnType::Date | ColumnType::DateTime { .. }) {
        return Ok(position);
    }
    Err("Merge condition column has invalid type maybe bitmap/hll/percentile/json/varchar!".to_owned())
}

/// StarRocks `StreamLoadPlanner` and `Load.getPartialUpateColumns`, Doris `NereidsStreamLoadPlanner`.
fn partial(kind: EngineKind, table: &Table, options: &LoadOptions, update: Update) -> Result<Update, String> {
    match (kind, &options.columns) {
        (EngineKind::StarRocks, _) if !table.primary => {
            return Err("Only primary key table support partial update".to_owned());
        }
        (EngineKind::Doris, _) if !table.merge_on_write => {
            return Err("Only unique key merge on write support partial update".to_owned());
        }
        // Without a list of columns Doris takes the load for an upsert.
        (EngineKind::Doris, None) => return Ok(update),
        _ => {}
    }
    let is_given = |position: &usize| {
        let name = &table.columns[*position].name;
        options.columns.iter().flatten().any(|item| item.name.eq_ignore_ascii_case(name))
    };
    let (given, left_out): (Vec<usize>, Vec<usize>) = (0..table.columns.len()).partition(is_given);
    if let Some(key) = table.keys.iter().find(|key| !given.contains(key)) {
        let name = &table.columns[*key].name;
        return Err(match kind {
            EngineKind::StarRocks => format!("key column {name} not in partial update columns"),
            EngineKind::Doris => format!("Partial update should include all key columns, missing: {name}"),
        });
    }
    if left_out.is_empty() {
        return Ok(update);
    }
    // Doris' `PartialUpdateInfo`: a new key needs every column that is left out.
    let missing = left_out.iter().map(|position| &table.columns[*position]);
    let missing = missing.into_iter().find(|column| !column.nullable && column.default == DefaultValue::None);
    let needs_held = match (kind, missing) {
        (EngineKind::StarRocks, _) => None,
        (EngineKind::Doris, _) if options.refuses_new_keys => Some(
            "[E-7003]Can't append new rows in partial update when partial_update_new_key_behavior is ERROR.".to_owned(),
        ),
        (EngineKind::Doris, None) => None,
        (EngineKind::Doris, Some(column)) => Some(format!(
            "the unmentioned column `{}` should have default value or be nullable for newly inserted rows in \
             non-strict mode partial update",
            column.name
        )),
    };
    Ok(Update { partial: Some(given), needs_held, ..update })
}

/// What a new key gets in a column that the load leaves out. StarRocks fills a NOT NULL column without default with its
/// type's zero (`be/src/storage/rowset_update_state.cpp`).
fn fill(kind: EngineKind, rules: &Rules, column: &Column, now: &str) -> Result<Option<String>, String> {
    if let Some(text) = default_text(rules, column, now)? {
        return Ok(Some(text));
    }
    match (kind, column.ty) {
        _ if column.nullable => Ok(None),
        (EngineKind::Doris, _) => Ok(None),
        (EngineKind::StarRocks, ColumnType::Text { .. }) => Ok(Some(String::new())),
        (EngineKind::StarRocks, ColumnType::Decimal { scale, .. }) if scale > 0 => {
            Ok(Some(format!("0.{}", "0".repeat(usize::from(scale)))))
        }
        (EngineKind::StarRocks, ty) if ty.is_numeric() => Ok(Some("0".to_owned())),
        (EngineKind::StarRocks, ty) => Err(format!(
            "the sandbox does not imitate a partial update that leaves out the NOT NULL column {} of type {ty}",
            column.name
        )),
    }
}

/// Where the hidden sequence comes from (Doris `NereidsLoadScanProvider.handleSequenceColumn`).
pub(super) fn sequence(
    table: &Table,
    options: &LoadOptions,
    sources: &[Source],
    names: &Names<'_>,
    inputs: &mut Vec<Source>,
) -> Result<Option<(Source, Column)>, String> {
    let missing = || format!("Table {} has sequence column, need to specify the sequence column", table.name);
    match (table.sequence, &options.sequence) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(format!("There is no sequence column in the table {}", table.name)),
        (Some(Sequence::Column(position)), _) => {
            let is_left_out = matches!(sources[position], Source::Default) && !options.is_partial;
            if is_left_out && table.columns[position].default != DefaultValue::Now { Err(missing()) } else { Ok(None) }
        }
        (Some(Sequence::Hidden(_)), None) => Err(missing()),
        (Some(Sequence::Hidden(ty)), Some(name)) => {
            let source = names.source(name, inputs)?;
            if matches!(source, Source::Default) {
                return Err(format!("unknown reference column, column=__DORIS_SEQUENCE_COL__, reference={name}"));
            }
            let column = Column {
                name: "__DORIS_SEQUENCE_COL__".to_owned(),
                ty,
                elements: Vec::new(),
                nullable: true,
                default: DefaultValue::None,
                aggregate: None,
            };
            Ok(Some((source, column)))
        }
    }
}

/// Header `partitions`, checked against the table.
pub(super) fn partitions(table: &Table, options: &LoadOptions) -> Result<Option<Vec<String>>, String> {
    let declared = table.partitions.as_ref();
    if declared.is_some_and(|declared| declared.parts.is_empty()) {
        return Err(format!(
            "data cannot be inserted into table with empty partition. Use `SHOW PARTITIONS FROM {}` to see the \
             currently partitions of this table.",
            table.name
        ));
    }
    let Some(asked) = &options.partitions else { return Ok(None) };
    let is_known = |name: &String| match declared {
        Some(declared) => declared.parts.iter().any(|part| part.name == *name),
        // A table without partitions is one partition of its own name.
        None => *name == table.name,
    };
    match asked.iter().find(|name| !is_known(name)) {
        Some(name) => Err(format!("Unknown partition '{name}' in table '{}'", table.name)),
        None => Ok(declared.map(|_| asked.clone())),
    }
}
