//! Expressions.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, DataType, Expr, Ident, Interval, Query, UnaryOperator, Value, ValueWithSpan,
};

use super::super::error::SqlError;
use super::super::types::{SqlType, VARCHAR};
use super::scope::{Found, Scope};
use super::typed::{Typed, arithmetic, comparable, like_predicate, quoted};
use super::{Parameter, Translator};
use crate::table::EngineKind;

impl Translator<'_> {
    /// Translates an expression. In a grouped scope it must be made of keys, aggregates and constants.
    pub(super) fn expr(&mut self, scope: &Scope<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        self.deeper(1, |t| t.expr_here(scope, expr))
    }

    fn expr_here(&mut self, scope: &Scope<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        if let Some(keys) = &scope.keys {
            let saw_aggregate = self.saw_aggregate;
            let as_row = self.node(&scope.rows(), expr);
            self.saw_aggregate = saw_aggregate;
            if let Ok(value) = as_row.map(Typed::into_value)
                && keys.contains(&value.sql)
            {
                return Ok(value);
            }
        }
        self.node(scope, expr)
    }

    pub(super) fn value(&mut self, scope: &Scope<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        Ok(self.expr(scope, expr)?.into_value())
    }

    fn condition(&mut self, scope: &Scope<'_>, expr: &Expr) -> Result<String, SqlError> {
        let value = self.expr(scope, expr)?;
        self.matched(value.into_condition())
    }

    fn node(&mut self, scope: &Scope<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        match expr {
            Expr::Identifier(name) => self.column(scope, std::slice::from_ref(name)),
            Expr::CompoundIdentifier(path) => self.column(scope, path),
            Expr::Value(value) => self.literal(value),
            Expr::TypedString(string) => match &string.value.value {
                Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => {
                    self.cast(Typed::literal(text, VARCHAR), &string.data_type)
                }
                _ => self.not_imitated(format!("`{expr}`")),
            },
            // Both engines read a collation and go on without it.
            Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => self.expr(scope, inner),
            Expr::UnaryOp { op, expr } => self.unary(scope, op, expr),
            Expr::BinaryOp { left, op, right } => self.binary(scope, left, op, right),
            Expr::IsNull(inner) => Ok(Typed::predicate(format!("({} IS NULL)", self.value(scope, inner)?.sql))),
            Expr::IsNotNull(inner) => Ok(Typed::predicate(format!("({} IS NOT NULL)", self.value(scope, inner)?.sql))),
            Expr::IsTrue(inner) => Ok(Typed::predicate(format!("({} IS TRUE)", self.condition(scope, inner)?))),
            Expr::IsFalse(inner) => Ok(Typed::predicate(format!("({} IS FALSE)", self.condition(scope, inner)?))),
            Expr::Between { expr, negated, low, high } => self.between(scope, expr, *negated, low, high),
            Expr::InList { expr, list, negated } => self.in_list(scope, expr, list, *negated),
            Expr::InSubquery { expr, subquery, negated } => self.in_query(scope, expr, subquery, *negated),
            Expr::Exists { subquery, negated } => {
                let inner = self.query(subquery, Some(scope), None)?;
                Ok(Typed::predicate(format!("({}EXISTS ({}))", not(*negated), inner.sql)))
            }
            Expr::Subquery(query) => {
                let inner = self.query(query, Some(scope), None)?;
                match inner.columns.as_slice() {
                    // SQLite takes the first of several rows; an engine refuses them.
                    [column] => Ok(Typed::value(format!("(SELECT sb_only(c0) FROM ({}))", inner.sql), column.ty)),
                    _ => self.analysis("Subquery must output exactly one column"),
                }
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char: None } => {
                let (text, pattern) = (self.value(scope, expr)?, self.value(scope, pattern)?);
                let like = self.matched(like_predicate(text, pattern))?;
                Ok(Typed::predicate(format!("({}{})", not(*negated), like.sql)))
            }
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(scope, operand.as_deref(), conditions, else_result.as_deref())
            }
            Expr::Cast { expr, data_type, format: None, .. } => {
                let value = self.value(scope, expr)?;
                self.cast(value, data_type)
            }
            Expr::Convert { expr, data_type: Some(data_type), charset: None, is_try: false, .. } => {
                let value = self.value(scope, expr)?;
                self.cast(value, data_type)
            }
            Expr::Function(function) => self.call(scope, function),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                self.substring(scope, expr, substring_from.as_deref(), substring_for.as_deref())
            }
            Expr::Trim { expr, trim_where: None, trim_what: None, trim_characters: None } => {
                self.text_call(scope, "trim", std::slice::from_ref(expr))
            }
            Expr::Extract { field, expr, .. } => self.date_part(scope, &field.to_string().to_lowercase(), expr),
            _ => self.not_imitated(format!("`{expr}`")),
        }
    }

    fn column(&mut self, scope: &Scope<'_>, path: &[Ident]) -> Result<Typed, SqlError> {
        let shown = || path.iter().map(|i| i.value.as_str()).collect::<Vec<_>>().join(".");
        if let Some(variable) = shown().strip_prefix("@@") {
            return self.variable(variable);
        }
        if path.first().is_some_and(|name| name.value.starts_with('@')) {
            return self.not_imitated("a user variable");
        }
        match scope.find(path) {
            Found::Column { value, name, .. } => match &scope.keys {
                Some(keys) if scope.owns(path) && !keys.contains(&value.sql) => self.not_grouped(&name),
                _ => Ok(value),
            },
            Found::Alias(expr) => self.expr(&Scope { aliases: Vec::new(), ..scope.clone() }, expr),
            Found::Ambiguous => self.analysis(format!("Column '{}' is ambiguous", shown())),
            Found::Nothing => Err(SqlError::unknown_column(self.kind(), &shown())),
        }
    }

    fn variable(&self, name: &str) -> Result<Typed, SqlError> {
        let name = name.trim_start_matches("session.").trim_start_matches("global.");
        let Some(value) = self.environment.variables.get(name) else {
            return Err(SqlError::unknown_variable(name));
        };
        Ok(Typed::number(&value).unwrap_or_else(|| Typed::literal(&value, VARCHAR)))
    }

    fn literal(&self, value: &ValueWithSpan) -> Result<Typed, SqlError> {
        match &value.value {
            Value::Number(digits, _) => match Typed::number(digits) {
                Some(number) => Ok(number),
                None => self.not_imitated(format!("the number {digits}")),
            },
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => {
                if text.contains('\0') {
                    return self.not_imitated("a text with a zero byte");
                }
                Ok(Typed::literal(text, VARCHAR))
            }
            Value::Boolean(truth) => Ok(Typed::literal(if *truth { "1" } else { "0" }, SqlType::Boolean)),
            Value::Null => Ok(Typed::null()),
            Value::Placeholder(_) => match self.parameter(value.span.start) {
                None => self.analysis("a parameter without a value"),
                Some(Parameter::Null) => Ok(Typed::null()),
                Some(Parameter::Text(text)) => Ok(Typed::literal(text, VARCHAR)),
                Some(Parameter::Number(digits)) => match Typed::number(digits) {
                    Some(number) => Ok(number),
                    None => self.not_imitated(format!("the number {digits}")),
                },
            },
            other => self.not_imitated(format!("the literal {other}")),
        }
    }

    fn unary(&mut self, scope: &Scope<'_>, op: &UnaryOperator, inner: &Expr) -> Result<Typed, SqlError> {
        match op {
            UnaryOperator::Not | UnaryOperator::BangNot => {
                Ok(Typed::predicate(format!("(NOT {})", self.condition(scope, inner)?)))
            }
            UnaryOperator::Plus => self.value(scope, inner),
            UnaryOperator::Minus => {
                let value = self.value(scope, inner)?;
                if let Some(number) = value.literal.as_ref().filter(|_| value.ty.is_numeric())
                    && let Some(negative) = Typed::number(&format!("-{number}"))
                {
                    return Ok(negative);
                }
                let zero = Typed::literal("0", SqlType::Integer { bits: 8 });
                self.matched(arithmetic(self.kind(), '-', zero, value))
            }
            _ => self.not_imitated(format!("the operator {op}")),
        }
    }

    fn binary(&mut self, scope: &Scope<'_>, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed, SqlError> {
        let comparison = match op {
            BinaryOperator::And | BinaryOperator::Or => return self.chain(scope, left, op, right),
            BinaryOperator::Plus => return self.calculate(scope, left, '+', right),
            BinaryOperator::Minus => return self.calculate(scope, left, '-', right),
            BinaryOperator::Multiply => return self.calculate(scope, left, '*', right),
            BinaryOperator::Divide => return self.calculate(scope, left, '/', right),
            BinaryOperator::Modulo => return self.calculate(scope, left, '%', right),
            BinaryOperator::Eq => "=",
            BinaryOperator::NotEq => "<>",
            BinaryOperator::Lt => "<",
            BinaryOperator::LtEq => "<=",
            BinaryOperator::Gt => ">",
            BinaryOperator::GtEq => ">=",
            BinaryOperator::Spaceship => "IS",
            _ => return self.not_imitated(format!("the operator {op}")),
        };
        let (a, b) = (self.value(scope, left)?, self.value(scope, right)?);
        let (a, b) = self.matched(comparable(self.kind(), a, b))?;
        Ok(Typed::predicate(format!("({a} {comparison} {b})")))
    }

    /// `a AND b AND c …`: a chain of one operator is long, not deep.
    fn chain(&mut self, scope: &Scope<'_>, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Typed, SqlError> {
        let mut operands = vec![right];
        let mut rest = left;
        while let Expr::BinaryOp { left, op: same, right } = rest
            && same == op
        {
            operands.push(right);
            rest = left;
        }
        operands.push(rest);
        let mut conditions = Vec::new();
        for operand in operands.into_iter().rev() {
            conditions.push(self.condition(scope, operand)?);
        }
        Ok(Typed::predicate(format!("({})", conditions.join(&format!(" {op} ")))))
    }

    fn calculate(&mut self, scope: &Scope<'_>, left: &Expr, op: char, right: &Expr) -> Result<Typed, SqlError> {
        if let Expr::Interval(interval) = right {
            return match op {
                '+' => self.date_add(scope, left, interval, 1),
                '-' => self.date_add(scope, left, interval, -1),
                _ => self.not_imitated("this use of INTERVAL"),
            };
        }
        let (a, b) = (self.value(scope, left)?, self.value(scope, right)?);
        self.matched(arithmetic(self.kind(), op, a, b))
    }

    /// A date and an interval of whole units. StarRocks turns a DATE into a DATETIME by rules of its own, so only
    /// DATETIME is taken there.
    pub(super) fn date_add(
        &mut self,
        scope: &Scope<'_>,
        date: &Expr,
        interval: &Interval,
        sign: i64,
    ) -> Result<Typed, SqlError> {
        let date = self.value(scope, date)?;
        let unit = interval.leading_field.as_ref().map(|f| f.to_string().to_uppercase()).unwrap_or_default();
        let days = matches!(unit.as_str(), "DAY" | "WEEK" | "MONTH" | "YEAR");
        if !days && !matches!(unit.as_str(), "HOUR" | "MINUTE" | "SECOND") {
            return self.not_imitated(format!("INTERVAL of `{unit}`"));
        }
        let is_clear = match date.ty {
            SqlType::DateTime { .. } => true,
            SqlType::Date => self.kind() == EngineKind::Doris && days,
            _ => false,
        };
        if !is_clear {
            return self.not_imitated(format!("INTERVAL {unit} with {}", date.ty));
        }
        let amount = self.value(scope, &interval.value)?;
        if !amount.ty.is_whole() && amount.literal.as_ref().is_none_or(|text| text.parse::<i64>().is_err()) {
            return self.not_imitated("an INTERVAL that is no whole number");
        }
        let amount = if sign < 0 { format!("sb_subtract('0', {}, '64')", amount.sql) } else { amount.sql };
        Ok(Typed::value(format!("sb_date_add({}, {amount}, {})", date.sql, quoted(&unit)), date.ty))
    }

    fn between(
        &mut self,
        scope: &Scope<'_>,
        expr: &Expr,
        negated: bool,
        low: &Expr,
        high: &Expr,
    ) -> Result<Typed, SqlError> {
        let value = self.value(scope, expr)?;
        let (low, high) = (self.value(scope, low)?, self.value(scope, high)?);
        let (a, low) = self.matched(comparable(self.kind(), value.clone(), low))?;
        let (b, high) = self.matched(comparable(self.kind(), value, high))?;
        Ok(Typed::predicate(format!("({}({a} >= {low} AND {b} <= {high}))", not(negated))))
    }

    fn in_list(&mut self, scope: &Scope<'_>, expr: &Expr, list: &[Expr], negated: bool) -> Result<Typed, SqlError> {
        let value = self.value(scope, expr)?;
        let mut alternatives = Vec::new();
        for item in list {
            let item = self.value(scope, item)?;
            let (a, b) = self.matched(comparable(self.kind(), value.clone(), item))?;
            alternatives.push(format!("{a} = {b}"));
        }
        Ok(Typed::predicate(format!("({}({}))", not(negated), alternatives.join(" OR "))))
    }

    fn in_query(&mut self, scope: &Scope<'_>, expr: &Expr, query: &Query, negated: bool) -> Result<Typed, SqlError> {
        let value = self.value(scope, expr)?;
        let inner = self.query(query, Some(scope), None)?;
        let [column] = inner.columns.as_slice() else {
            return self.analysis("Subquery must output exactly one column");
        };
        let (a, b) = self.matched(comparable(self.kind(), value, Typed::value("\"c0\"", column.ty)))?;
        Ok(Typed::predicate(format!("({a} {}IN (SELECT {b} FROM ({})))", not(negated), inner.sql)))
    }

    fn case(
        &mut self,
        scope: &Scope<'_>,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
    ) -> Result<Typed, SqlError> {
        let mut tests = Vec::new();
        let mut results = Vec::new();
        for CaseWhen { condition, result } in conditions {
            tests.push(match operand {
                Some(operand) => {
                    let (a, b) = (self.value(scope, operand)?, self.value(scope, condition)?);
                    let (a, b) = self.matched(comparable(self.kind(), a, b))?;
                    format!("{a} = {b}")
                }
                None => self.condition(scope, condition)?,
            });
            results.push(self.value(scope, result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.value(scope, otherwise)?,
            None => Typed::null(),
        });
        let (ty, mut results) = self.unified(results)?;
        let last = results.pop().unwrap_or_else(Typed::null);
        let branches = tests.iter().zip(&results).map(|(test, result)| format!("WHEN {test} THEN {}", result.sql));
        let branches = branches.collect::<Vec<_>>().join(" ");
        Ok(Typed::value(format!("(CASE {branches} ELSE {} END)", last.sql), ty))
    }

    /// Brings values to the type that holds all of them.
    pub(super) fn unified(&self, values: Vec<Typed>) -> Result<(SqlType, Vec<Typed>), SqlError> {
        let mut ty = SqlType::Null;
        for value in &values {
            ty = match ty.common(value.ty) {
                Some(common) => common,
                None => return self.not_imitated(format!("one value of {ty} and {}", value.ty)),
            };
        }
        let values = values.into_iter().map(|v| self.matched(v.widened(self.kind(), ty))).collect::<Result<_, _>>()?;
        Ok((ty, values))
    }

    /// `CAST` to a type by its name.
    pub(super) fn cast(&self, value: Typed, to: &DataType) -> Result<Typed, SqlError> {
        let name = to.to_string().to_uppercase();
        // A text that fits stays as it is; what becomes of longer ones depends on the version.
        if let Some(length) = name.strip_prefix("CHAR(").or(name.strip_prefix("VARCHAR("))
            && let Some(text) = &value.literal
            && length.trim_end_matches(')').parse().is_ok_and(|length: usize| text.len() <= length)
        {
            return self.matched(value.cast(self.kind(), VARCHAR));
        }
        let Some(ty) = type_of(self.kind(), &name) else {
            return self.not_imitated(format!("CAST to {name}"));
        };
        self.matched(value.cast(self.kind(), ty))
    }
}

/// A type by the name that `CAST` uses.
fn type_of(kind: EngineKind, name: &str) -> Option<SqlType> {
    let (name, arguments) = name.split_once('(').unwrap_or((name, ""));
    let mut arguments = arguments.trim_end_matches(')').split(',').filter_map(|a| a.trim().parse::<u16>().ok());
    let (first, second) = (arguments.next(), arguments.next());
    Some(match name.trim() {
        "BOOLEAN" | "BOOL" => SqlType::Boolean,
        "TINYINT" => SqlType::Integer { bits: 8 },
        "SMALLINT" => SqlType::Integer { bits: 16 },
        "INT" | "INTEGER" => SqlType::Integer { bits: 32 },
        "BIGINT" | "SIGNED" | "SIGNED INTEGER" => SqlType::Integer { bits: 64 },
        "LARGEINT" => SqlType::LargeInt,
        "DOUBLE" => SqlType::Double,
        "DECIMAL" | "DECIMALV3" => {
            let (precision, scale) = (first?, second.unwrap_or(0));
            ((1..=38).contains(&precision) && scale <= precision).then_some(SqlType::Decimal { precision, scale })?
        }
        "DATE" => SqlType::Date,
        "DATETIME" => {
            let unstated = if kind == EngineKind::StarRocks { 6 } else { 0 };
            SqlType::DateTime { digits: u8::try_from(first.unwrap_or(unstated)).ok().filter(|digits| *digits <= 6)? }
        }
        "VARCHAR" | "CHAR" if first.is_none() => VARCHAR,
        "STRING" => VARCHAR,
        _ => return None,
    })
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}
