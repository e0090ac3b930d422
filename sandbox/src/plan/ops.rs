//! Which rows delete.

use sqlparser::ast::{Expr, Value as Literal};

use super::Source;
use super::names::Names;
use crate::cells::Cell;
use crate::options::{Deletes, LoadOptions, Op};
use crate::table::{EngineKind, Model, Table};

/// StarRocks' operation of a row.
const LOAD_OP: &str = "__op";
/// Doris' hidden delete column.
const DELETE_SIGN: &str = "__DORIS_DELETE_SIGN__";

/// Where a row's operation comes from.
#[derive(Clone, Debug)]
pub(super) enum OpSource {
    Constant(Op),
    From(Source),
    /// What this computes is true for rows that delete.
    Condition(Source),
}

/// True if a name stands for the operation of a row or its order, not for a column.
pub(super) fn is_op(kind: EngineKind, name: &str) -> bool {
    match kind {
        EngineKind::StarRocks => name == LOAD_OP,
        EngineKind::Doris => name == DELETE_SIGN,
    }
}

/// Finds out which rows of a load delete.
pub(super) fn source(
    kind: EngineKind,
    table: &Table,
    options: &LoadOptions,
    names: &Names<'_>,
    inputs: &mut Vec<Source>,
) -> Result<OpSource, String> {
    match kind {
        EngineKind::StarRocks => starrocks(table, options, names, inputs),
        EngineKind::Doris => doris(table, options, names, inputs),
    }
}

/// `Load.initColumns`.
fn starrocks(
    table: &Table,
    options: &LoadOptions,
    names: &Names<'_>,
    inputs: &mut Vec<Source>,
) -> Result<OpSource, String> {
    let computed = names.item(LOAD_OP).and_then(|item| item.expression.as_deref());
    let is_listed = names.listed.iter().any(|name| name == LOAD_OP);
    if (computed.is_some() || is_listed) && !table.primary {
        return Err(format!("{LOAD_OP} is for primary key tables, and {} is none", table.full_name()));
    }
    if let Some(expression) = computed {
        if let Some(op) = constant(expression)? {
            return Ok(OpSource::Constant(op));
        }
        return names.computed(expression, None, inputs).map(OpSource::From);
    }
    if is_listed {
        return Ok(OpSource::From(names.plain(LOAD_OP)));
    }
    // JSON rows may carry it by its name, unless paths say what is read.
    let by_itself = table.primary && options.is_json() && options.jsonpaths.is_none();
    Ok(if by_itself { OpSource::From(Source::Key(LOAD_OP.to_owned())) } else { OpSource::Constant(Op::Upsert) })
}

fn constant(expression: &Expr) -> Result<Option<Op>, String> {
    let Expr::Value(value) = expression else { return Ok(None) };
    if let Literal::SingleQuotedString(text) | Literal::DoubleQuotedString(text) = &value.value {
        return match text.to_lowercase().as_str() {
            "upsert" => Ok(Some(Op::Upsert)),
            "delete" => Ok(Some(Op::Delete)),
            other => Err(format!("load op type string not supported: {other}")),
        };
    }
    match value.value.to_string().as_str() {
        "0" => Ok(Some(Op::Upsert)),
        "1" => Ok(Some(Op::Delete)),
        _ => Err("const load op type column should only be upsert(0)/delete(1)".to_owned()),
    }
}

/// `NereidsLoadScanProvider`: a condition or `merge_type: DELETE` first, then the hidden column if it is named.
fn doris(
    table: &Table,
    options: &LoadOptions,
    names: &Names<'_>,
    inputs: &mut Vec<Source>,
) -> Result<OpSource, String> {
    let is_unique = table.model == Model::Unique;
    match &options.deletes {
        Deletes::All | Deletes::Where(_) if !is_unique => {
            return Err("load by MERGE or DELETE is only supported in unique tables.".to_owned());
        }
        Deletes::All => return Ok(OpSource::Constant(Op::Delete)),
        Deletes::Where(condition) => return names.computed(condition, None, inputs).map(OpSource::Condition),
        Deletes::AsSaid => {}
    }
    // A table of another kind has no such column, and what isn't there is passed over.
    if !is_unique {
        return Ok(OpSource::Constant(Op::Upsert));
    }
    let source = names.source(DELETE_SIGN, inputs)?;
    let is_named = !matches!(source, Source::Default);
    Ok(if is_named { OpSource::From(source) } else { OpSource::Constant(Op::Upsert) })
}

/// The operation that a cell names.
pub(super) fn op_of(kind: EngineKind, cell: &Cell<'_>) -> Result<Op, String> {
    let text = match cell {
        Cell::Null => return Ok(Op::Upsert),
        Cell::Bool(value) => return Ok(if *value { Op::Delete } else { Op::Upsert }),
        Cell::Number(text) | Cell::Nested(text) => text,
        Cell::Text(text) => text.as_ref(),
    };
    match (kind, text) {
        (_, "0") | (EngineKind::StarRocks, "upsert") => Ok(Op::Upsert),
        (_, "1") | (EngineKind::StarRocks, "delete") => Ok(Op::Delete),
        _ => Err("load op type column should only be upsert(0)/delete(1)".to_owned()),
    }
}
