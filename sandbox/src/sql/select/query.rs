//! The frame of a query: SELECT list, WHERE, GROUP BY, HAVING, ORDER BY, LIMIT, UNION and WITH.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, LimitClause, ObjectNamePart, OrderBy, OrderByKind, OrderBySort, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, SetOperator, SetQuantifier, Value, WildcardAdditionalOptions,
};

use super::super::error::SqlError;
use super::scope::{Found, Origin, Scope, is_named};
use super::typed::Typed;
use super::{OutputColumn, QUERY_DEPTH, Relation, Translator};
use crate::store::{NUMERIC_COLLATION, quote};
use crate::table::EngineKind;

/// One column of a SELECT list before it is translated.
enum Item<'q> {
    Expression { expr: &'q Expr, name: String },
    Column { value: Typed, name: String, origin: Option<Origin> },
}

impl<'a> Translator<'a> {
    /// Translates a query; `rows_max` holds if it has no LIMIT of its own.
    pub(super) fn query(
        &mut self,
        query: &Query,
        parent: Option<&Scope<'_>>,
        rows_max: Option<u64>,
    ) -> Result<Relation, SqlError> {
        self.deeper(QUERY_DEPTH, |t| t.query_here(query, parent, rows_max))
    }

    fn query_here(
        &mut self,
        query: &Query,
        parent: Option<&Scope<'_>>,
        rows_max: Option<u64>,
    ) -> Result<Relation, SqlError> {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        if fetch.is_some() || for_clause.is_some() || settings.is_some() || format_clause.is_some() {
            return self.not_imitated("a clause behind the query");
        }
        if !locks.is_empty() || !pipe_operators.is_empty() {
            return self.not_imitated("FOR UPDATE or a pipe");
        }
        let outer_names = self.named_queries.clone();
        for cte in with.iter().flat_map(|with| &with.cte_tables) {
            if with.as_ref().is_some_and(|with| with.recursive) || cte.from.is_some() || cte.materialized.is_some() {
                return self.not_imitated("a recursive or materialized WITH");
            }
            let mut relation = self.query(&cte.query, None, None)?;
            if !cte.alias.columns.is_empty() {
                if cte.alias.columns.len() != relation.columns.len() {
                    return self.analysis(format!("the columns of `{}` don't fit its query", cte.alias.name.value));
                }
                for (column, name) in relation.columns.iter_mut().zip(&cte.alias.columns) {
                    name.name.value.clone_into(&mut column.name);
                }
            }
            self.named_queries.insert(cte.alias.name.value.to_lowercase(), relation);
        }
        let outer_aggregate = std::mem::take(&mut self.saw_aggregate);
        let mut relation = match body.as_ref() {
            SetExpr::Select(select) => self.select(select, order_by.as_ref(), parent)?,
            body => {
                let mut relation = self.body(body, parent)?;
                if let Some(order_by) = order_by {
                    let sorted = self.order_by(order_by, &relation.columns, &Scope::default(), true)?;
                    relation.sql = format!("SELECT * FROM ({}) ORDER BY {sorted}", relation.sql);
                }
                relation
            }
        };
        self.saw_aggregate = outer_aggregate;
        self.named_queries = outer_names;
        match (limit_clause, rows_max) {
            (Some(limit), _) => relation.sql.push_str(&self.limit(limit)?),
            (None, Some(rows)) => relation.sql.push_str(&format!(" LIMIT {rows}")),
            (None, None) => {}
        }
        Ok(relation)
    }

    fn body(&mut self, body: &SetExpr, parent: Option<&Scope<'_>>) -> Result<Relation, SqlError> {
        let (left, right, op, quantifier) = match body {
            SetExpr::Select(select) => return self.select(select, None, parent),
            SetExpr::Query(query) => {
                let inner = self.query(query, parent, None)?;
                return Ok(Relation { sql: format!("SELECT * FROM ({})", inner.sql), ..inner });
            }
            SetExpr::SetOperation { left, op, set_quantifier, right } => (left, right, op, set_quantifier),
            _ => return self.not_imitated("this form of a query"),
        };
        let word = match (op, quantifier) {
            (SetOperator::Union, SetQuantifier::All) => "UNION ALL",
            (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => "UNION",
            (SetOperator::Intersect, SetQuantifier::None | SetQuantifier::Distinct) => "INTERSECT",
            (SetOperator::Except | SetOperator::Minus, SetQuantifier::None | SetQuantifier::Distinct) => "EXCEPT",
            _ => return self.not_imitated("this set operation"),
        };
        let (left, right) = self.deeper(QUERY_DEPTH, |t| Ok((t.body(left, parent)?, t.body(right, parent)?)))?;
        if left.columns.len() != right.columns.len() {
            return self.analysis("Operands have unequal number of columns");
        }
        let mut columns = Vec::new();
        for (a, b) in left.columns.iter().zip(&right.columns) {
            let Some(ty) = a.ty.common(b.ty) else {
                return self.not_imitated(format!("a column of {} and {}", a.ty, b.ty));
            };
            columns.push(OutputColumn { name: a.name.clone(), ty, origin: None });
        }
        let side = |relation: &Relation, collated: bool| -> Result<String, SqlError> {
            let mut items = Vec::new();
            for (i, (have, want)) in relation.columns.iter().zip(&columns).enumerate() {
                let value = Typed::value(format!("\"c{i}\""), have.ty).widened(self.kind(), want.ty);
                let value = self.matched(value)?;
                let sql = if collated { value.collated() } else { value.sql };
                items.push(format!("{sql} AS \"c{i}\""));
            }
            Ok(format!("SELECT {} FROM ({})", items.join(", "), relation.sql))
        };
        let sql = format!("SELECT * FROM ({} {word} {})", side(&left, true)?, side(&right, false)?);
        Ok(Relation { sql, columns })
    }

    fn select(
        &mut self,
        select: &Select,
        order_by: Option<&OrderBy>,
        parent: Option<&Scope<'_>>,
    ) -> Result<Relation, SqlError> {
        self.refuse_unknown_clauses(select)?;
        let mut scope = Scope { parent, ..Scope::default() };
        let from = self.from(&select.from, &mut scope)?;
        let condition = match &select.selection {
            Some(condition) => {
                let condition = self.expr(&scope, condition)?;
                Some(self.matched(condition.into_condition())?)
            }
            None => None,
        };
        let items = self.items(&select.projection, &scope)?;
        for item in &items {
            if let Item::Expression { expr, name } = item {
                scope.aliases.push((name.clone(), expr));
            }
        }
        let (keys, sorted_keys) = self.group_keys(&select.group_by, &items, &scope)?;
        // An aggregate anywhere in the list makes one group of all rows. Errors other than that come again below.
        self.saw_aggregate = false;
        for item in &items {
            if let Item::Expression { expr, .. } = item {
                let _ = self.expr(&scope.rows(), expr);
            }
        }
        if let Some(having) = &select.having {
            let _ = self.expr(&scope, having);
        }
        // Without groups StarRocks takes a HAVING for one more filter of rows (`SelectAnalyzer.analyzeHaving`).
        let filters_groups = select.having.is_some() && self.kind() == EngineKind::Doris;
        let is_grouped = self.saw_aggregate || !keys.is_empty() || filters_groups;
        scope.keys = is_grouped.then_some(keys);

        let is_distinct = match &select.distinct {
            None | Some(Distinct::All) => false,
            Some(Distinct::Distinct) => true,
            Some(Distinct::On(_)) => return self.not_imitated("DISTINCT ON"),
        };
        let mut columns = Vec::new();
        let mut list = Vec::new();
        for (i, item) in items.into_iter().enumerate() {
            let (value, name, origin) = self.item(item, &scope)?;
            let text = if is_distinct { value.collated() } else { value.sql };
            list.push(format!("{text} AS \"c{i}\""));
            columns.push(OutputColumn { name, ty: value.ty, origin });
        }
        let mut sql = format!("SELECT {}{}", if is_distinct { "DISTINCT " } else { "" }, list.join(", "));
        if !from.is_empty() {
            sql.push_str(&format!(" FROM {from}"));
        }
        let having = match &select.having {
            Some(having) => {
                let having = self.expr(&scope, having)?;
                Some(self.matched(having.into_condition())?)
            }
            None => None,
        };
        let (rows_filter, groups_filter) = if is_grouped { (None, having) } else { (having, None) };
        let conditions: Vec<String> = condition.into_iter().chain(rows_filter).map(|one| format!("({one})")).collect();
        if !conditions.is_empty() {
            sql.push_str(&format!(" WHERE {}", conditions.join(" AND ")));
        }
        if !sorted_keys.is_empty() {
            sql.push_str(&format!(" GROUP BY {}", sorted_keys.join(", ")));
        }
        if let Some(having) = groups_filter {
            sql.push_str(&format!(" HAVING {having}"));
        }
        if let Some(order_by) = order_by {
            let sorted = self.order_by(order_by, &columns, &scope, is_distinct)?;
            sql.push_str(&format!(" ORDER BY {sorted}"));
        }
        Ok(Relation { sql, columns })
    }

    fn refuse_unknown_clauses(&self, select: &Select) -> Result<(), SqlError> {
        let is_plain = select.select_modifiers.is_none()
            && select.top.is_none()
            && select.exclude.is_none()
            && select.into.is_none()
            && select.lateral_views.is_empty()
            && select.prewhere.is_none()
            && select.connect_by.is_empty()
            && select.cluster_by.is_empty()
            && select.distribute_by.is_empty()
            && select.sort_by.is_empty()
            && select.named_window.is_empty()
            && select.qualify.is_none()
            && select.value_table_mode.is_none();
        if is_plain { Ok(()) } else { self.not_imitated("a clause of the SELECT") }
    }

    /// The SELECT list with its wildcards written out.
    fn items<'q>(&self, projection: &'q [SelectItem], scope: &Scope<'_>) -> Result<Vec<Item<'q>>, SqlError> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expr) => items.push(Item::Expression { expr, name: self.shown_name(expr) }),
                SelectItem::ExprWithAlias { expr, alias } => {
                    items.push(Item::Expression { expr, name: alias.value.clone() });
                }
                SelectItem::Wildcard(options) if *options == WildcardAdditionalOptions::default() => {
                    if scope.sources.is_empty() {
                        return Err(SqlError::new(1096, "HY000", "No tables used"));
                    }
                    items.extend(wildcard(scope, |_| true));
                }
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                    if *options == WildcardAdditionalOptions::default() =>
                {
                    let path: Vec<_> = name.0.iter().filter_map(ObjectNamePart::as_ident).cloned().collect();
                    let before = items.len();
                    items.extend(wildcard(scope, |source| is_named(source, &path)));
                    if items.len() == before {
                        return self.analysis(format!("Unknown table '{name}'"));
                    }
                }
                _ => return self.not_imitated(format!("`{item}`")),
            }
        }
        Ok(items)
    }

    /// The name of an expression without an alias: its text; StarRocks writes functions in small letters.
    fn shown_name(&self, expr: &Expr) -> String {
        let text = match expr {
            Expr::Identifier(name) => return name.value.clone(),
            Expr::CompoundIdentifier(path) => return path.last().map(|i| i.value.clone()).unwrap_or_default(),
            expr => expr.to_string(),
        };
        match (expr, self.kind(), text.split_once('(')) {
            (Expr::Function(_), EngineKind::StarRocks, Some((name, rest))) => format!("{}({rest}", name.to_lowercase()),
            _ => text,
        }
    }

    fn item(&mut self, item: Item<'_>, scope: &Scope<'_>) -> Result<(Typed, String, Option<Origin>), SqlError> {
        match item {
            Item::Expression { expr, name } => {
                let bare = Scope { aliases: Vec::new(), ..scope.clone() };
                let origin = match expr {
                    Expr::Identifier(column) => column_origin(&bare, std::slice::from_ref(column)),
                    Expr::CompoundIdentifier(path) => column_origin(&bare, path),
                    _ => None,
                };
                Ok((self.expr(&bare, expr)?.into_value(), name, origin))
            }
            Item::Column { value, name, origin } => {
                if scope.keys.as_ref().is_some_and(|keys| !keys.contains(&value.sql)) {
                    return self.not_grouped(&name);
                }
                Ok((value, name, origin))
            }
        }
    }

    /// GROUP BY keys: the bare texts, and the texts with the collation by which they are grouped.
    fn group_keys(
        &mut self,
        group_by: &GroupByExpr,
        items: &[Item<'_>],
        scope: &Scope<'_>,
    ) -> Result<(Vec<String>, Vec<String>), SqlError> {
        let GroupByExpr::Expressions(expressions, modifiers) = group_by else {
            return self.not_imitated("GROUP BY ALL");
        };
        if !modifiers.is_empty() {
            return self.not_imitated("GROUP BY with ROLLUP, CUBE or sets");
        }
        let (mut keys, mut sorted) = (Vec::new(), Vec::new());
        for expression in expressions {
            let value = match position(expression) {
                Some(at) => match at.checked_sub(1).and_then(|at| items.get(at)) {
                    Some(Item::Expression { expr, .. }) => self.expr(&scope.rows(), expr)?,
                    Some(Item::Column { value, .. }) => value.clone(),
                    None => return self.analysis(format!("GROUP BY position {at} is not in select list")),
                },
                None => self.expr(scope, expression)?,
            };
            let value = value.into_value();
            sorted.push(value.collated());
            keys.push(value.sql);
        }
        Ok((keys, sorted))
    }

    fn order_by(
        &mut self,
        order_by: &OrderBy,
        columns: &[OutputColumn],
        scope: &Scope<'_>,
        by_output_only: bool,
    ) -> Result<String, SqlError> {
        let OrderByKind::Expressions(expressions) = &order_by.kind else {
            return self.not_imitated("ORDER BY ALL");
        };
        if order_by.interpolate.is_some() {
            return self.not_imitated("INTERPOLATE");
        }
        let mut sorted = Vec::new();
        for expression in expressions {
            let named = |name: &str| columns.iter().position(|c| c.name.eq_ignore_ascii_case(name));
            let output = match (&expression.expr, position(&expression.expr)) {
                (_, Some(at)) if (1..=columns.len()).contains(&at) => Some(at - 1),
                (_, Some(at)) => return self.analysis(format!("ORDER BY position {at} is not in select list")),
                (Expr::Identifier(name), None) => named(&name.value),
                _ => None,
            };
            let (value, ty) = match output {
                Some(at) => ((at + 1).to_string(), columns[at].ty),
                None if by_output_only => {
                    return self.analysis("ORDER BY of DISTINCT or UNION must name a column of the select list");
                }
                None => {
                    let value = self.expr(scope, &expression.expr)?.into_value();
                    (value.sql, value.ty)
                }
            };
            let collation = if ty.is_numeric() { format!(" COLLATE {NUMERIC_COLLATION}") } else { String::new() };
            let direction = match &expression.options.sort {
                None | Some(OrderBySort::Asc) => "",
                Some(OrderBySort::Desc) => " DESC",
                Some(OrderBySort::Using(_)) => return self.not_imitated("ORDER BY USING"),
            };
            let nulls = match expression.options.nulls_first {
                None => "",
                Some(true) => " NULLS FIRST",
                Some(false) => " NULLS LAST",
            };
            if expression.with_fill.is_some() {
                return self.not_imitated("WITH FILL");
            }
            sorted.push(format!("{value}{collation}{direction}{nulls}"));
        }
        Ok(sorted.join(", "))
    }

    fn limit(&self, clause: &LimitClause) -> Result<String, SqlError> {
        let (limit, offset) = match clause {
            LimitClause::LimitOffset { limit, offset, limit_by } if limit_by.is_empty() => {
                (limit.as_ref(), offset.as_ref().map(|o| &o.value))
            }
            LimitClause::OffsetCommaLimit { offset, limit } => (Some(limit), Some(offset)),
            LimitClause::LimitOffset { .. } => return self.not_imitated("LIMIT BY"),
        };
        let number = |expr: &Expr| -> Result<u64, SqlError> {
            let text = match expr {
                Expr::Value(value) => match &value.value {
                    Value::Number(digits, _) => digits.clone(),
                    Value::Placeholder(_) => match self.parameter(value.span.start) {
                        Some(super::Parameter::Number(digits)) => digits.clone(),
                        _ => "0".to_owned(),
                    },
                    _ => String::new(),
                },
                _ => String::new(),
            };
            text.parse::<u32>().map(u64::from).or_else(|_| self.analysis(format!("LIMIT {expr} is no number of rows")))
        };
        let mut sql = String::new();
        if limit.is_some() || offset.is_some() {
            sql.push_str(&match limit {
                Some(limit) => format!(" LIMIT {}", number(limit)?),
                None => " LIMIT -1".to_owned(),
            });
        }
        if let Some(offset) = offset {
            sql.push_str(&format!(" OFFSET {}", number(offset)?));
        }
        Ok(sql)
    }

    /// The parameter whose `?` stands at a place.
    pub(super) fn parameter(&self, at: sqlparser::tokenizer::Location) -> Option<&'a super::Parameter> {
        let index = self.placeholders.iter().position(|place| *place == at)?;
        self.environment.parameters.get(index)
    }

    pub(super) fn not_grouped<T>(&self, name: &str) -> Result<T, SqlError> {
        self.analysis(match self.kind() {
            EngineKind::StarRocks => format!("'{name}' must be an aggregate expression or appear in GROUP BY clause"),
            EngineKind::Doris => format!("{name} not in aggregate's output"),
        })
    }
}

fn column_origin(scope: &Scope<'_>, path: &[sqlparser::ast::Ident]) -> Option<Origin> {
    match scope.find(path) {
        Found::Column { origin, .. } => origin,
        Found::Alias(_) | Found::Ambiguous | Found::Nothing => None,
    }
}

fn wildcard<'q>(scope: &Scope<'_>, belongs: impl Fn(&super::scope::Source) -> bool) -> impl Iterator<Item = Item<'q>> {
    let mut items = Vec::new();
    for source in scope.sources.iter().filter(|source| belongs(source)) {
        for column in &source.columns {
            let value = Typed::value(format!("{}.{}", quote(&source.inner), quote(&column.inner)), column.ty);
            items.push(Item::Column { value, name: column.name.clone(), origin: column.origin.clone() });
        }
    }
    items.into_iter()
}

/// A literal position such as the `2` of `ORDER BY 2`.
fn position(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::Number(digits, _) => digits.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}
