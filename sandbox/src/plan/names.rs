//! The names of a load: which are in the body, which are computed.

use std::cell::RefCell;

use sqlparser::ast::Expr;

use super::{Source, ops};
use crate::expression::{Item, compile};
use crate::json_path::JsonPath;
use crate::options::{Format, LoadOptions};
use crate::table::{EngineKind, Model, Table};

/// The names of a load.
pub(super) struct Names<'a> {
    kind: EngineKind,
    options: &'a LoadOptions,
    /// Names in the order of fields or paths: those that header `columns` lists, else the table's.
    pub(super) listed: Vec<String>,
}

impl<'a> Names<'a> {
    pub(super) fn of(kind: EngineKind, table: &Table, options: &'a LoadOptions) -> Result<Self, String> {
        let items = options.columns.as_deref().unwrap_or_default();
        let mut listed: Vec<String> = Vec::new();
        let mut computed: Vec<&str> = Vec::new();
        for item in items {
            let known = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(&item.name));
            if item.expression.is_some() {
                if known(&computed) {
                    return Err(format!("Duplicate column mapping: {}", item.name));
                }
                let is_column = table.position(&item.name).is_some() || ops::is_op(kind, &item.name);
                if kind == EngineKind::StarRocks && !is_column {
                    return Err(format!("Mapping column is not in table. column: {}", item.name));
                }
                computed.push(&item.name);
            } else {
                if listed.iter().any(|name| name.eq_ignore_ascii_case(&item.name)) {
                    return Err(format!("Duplicate column: {}", item.name));
                }
                listed.push(item.name.clone());
            }
        }
        if listed.is_empty() {
            listed = table.columns.iter().map(|c| c.name.clone()).collect();
            // What the table has no hidden column for is passed over.
            let is_there = |name: &&String| match name.as_str() {
                "__DORIS_SEQUENCE_COL__" => table.has_hidden_sequence(),
                name => ops::is_op(kind, name) && table.model == Model::Unique,
            };
            listed.extend(options.hidden_columns.iter().filter(is_there).cloned());
        }
        Ok(Self { kind, options, listed })
    }

    /// Where the value of a name comes from: an expression, else the body.
    pub(super) fn source(&self, name: &str, inputs: &mut Vec<Source>) -> Result<Source, String> {
        let item = self.item(name);
        let Some(expression) = item.and_then(|item| item.expression.as_ref()) else { return Ok(self.plain(name)) };
        self.computed(expression, Some(name), inputs)
    }

    /// The entry of header `columns` that computes a name.
    pub(super) fn item(&self, name: &str) -> Option<&Item> {
        let mut items = self.options.columns.iter().flatten().rev();
        items.find(|item| item.expression.is_some() && item.name.eq_ignore_ascii_case(name))
    }

    /// An expression; the names in it are those of the body, or (Doris) of expressions before it.
    pub(super) fn computed(
        &self,
        expression: &Expr,
        own_name: Option<&str>,
        inputs: &mut Vec<Source>,
    ) -> Result<Source, String> {
        let found = RefCell::new(std::mem::take(inputs));
        let resolve = |name: &str| {
            let is_own = own_name.is_some_and(|own| own.eq_ignore_ascii_case(name));
            let is_computed = self.kind == EngineKind::Doris && !is_own && self.item(name).is_some();
            let source = if is_computed {
                let mut inner = found.borrow_mut();
                self.source(name, &mut inner)?
            } else {
                match self.plain(name) {
                    Source::Default => {
                        return Err(format!("unknown reference column, column={name}, reference={name}"));
                    }
                    found @ (Source::Key(_) | Source::Path(_) | Source::Field(_) | Source::Computed(_)) => found,
                }
            };
            found.borrow_mut().push(source);
            Ok(found.borrow().len() - 1)
        };
        let compiled = compile(self.kind, expression, &resolve);
        *inputs = found.into_inner();
        compiled.map(Source::Computed)
    }

    /// Where a name is in the body.
    pub(super) fn plain(&self, name: &str) -> Source {
        let Some(position) = self.listed.iter().position(|listed| listed.eq_ignore_ascii_case(name)) else {
            return Source::Default;
        };
        match (&self.options.format, &self.options.jsonpaths) {
            (Format::Csv(_), _) => Source::Field(position),
            (Format::Json { .. }, None) => Source::Key(self.listed[position].clone()),
            // A name beyond the paths is in no row.
            (Format::Json { .. }, Some((paths, _))) => {
                paths.get(position).map_or_else(|| Source::Path(JsonPath::none()), |path| Source::Path(path.clone()))
            }
        }
    }
}
