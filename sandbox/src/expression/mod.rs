//! Expressions of the headers `columns`, `where` and `delete`. Pure.
//!
//! They are read once, when a load begins, and evaluated for each row. A name that an expression reads from the body is
//! text (StarRocks `fe/…/load/Load.java` gives such slots VARCHAR, Doris' `NereidsLoadScanProvider` STRING); a name in
//! `where` is a column of the table and has its type. Arithmetic goes through doubles unless both sides are whole.

mod compile;
mod functions;
mod value;

pub(crate) use compile::{Item, compile, read_columns, read_condition};
pub(crate) use functions::Function;
pub(crate) use value::Value;

use crate::cells::{Rules, cast};
use crate::like::like;
use crate::table::ColumnType;

/// Longest text that a function takes or makes; a longer one is NULL. No column holds a sixteenth of it.
pub(crate) const TEXT_MAX_BYTES: usize = 16 << 20;

/// An expression whose names are positions.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    Column(usize),
    Literal(Value),
    Not(Box<Expression>),
    Negate(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Compare(Comparison, Box<Expression>, Box<Expression>),
    Calculate(Operator, Box<Expression>, Box<Expression>),
    IsNull(Box<Expression>),
    In(Box<Expression>, Vec<Expression>),
    Like(Box<Expression>, Box<Expression>),
    /// Conditions with their results, then what holds otherwise.
    Case(Vec<(Expression, Expression)>, Box<Expression>),
    Cast(Box<Expression>, ColumnType),
    Call(Function, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// `<=>`: NULL equals NULL.
    Same,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What an expression can see.
pub(crate) struct Scope<'a> {
    /// Values of the names.
    pub(crate) column: &'a dyn Fn(usize) -> Value,
    /// The engine's rules for casts.
    pub(crate) rules: &'a Rules,
    /// `YYYY-MM-DD HH:MM:SS` in the load's zone.
    pub(crate) now: &'a str,
}

impl Expression {
    /// The value for one row.
    #[must_use]
    pub(crate) fn value(&self, scope: &Scope<'_>) -> Value {
        match self {
            Self::Column(position) => (scope.column)(*position),
            Self::Literal(value) => value.clone(),
            Self::Not(inner) => inner.value(scope).truth().map_or(Value::Null, |truth| Value::Bool(!truth)),
            Self::Negate(inner) => {
                value::calculate(Operator::Subtract, &Value::Number("0".into()), &inner.value(scope))
            }
            Self::And(a, b) => both(a.value(scope).truth(), b.value(scope).truth(), false),
            Self::Or(a, b) => both(a.value(scope).truth(), b.value(scope).truth(), true),
            Self::Compare(how, a, b) => compare(*how, &a.value(scope), &b.value(scope)),
            Self::Calculate(operator, a, b) => value::calculate(*operator, &a.value(scope), &b.value(scope)),
            Self::IsNull(inner) => Value::Bool(inner.value(scope) == Value::Null),
            Self::In(inner, list) => is_in(&inner.value(scope), list.iter().map(|item| item.value(scope))),
            Self::Like(text, pattern) => match (text.value(scope).text(), pattern.value(scope).text()) {
                (Some(text), Some(pattern)) => Value::Bool(like(&text, &pattern)),
                _ => Value::Null,
            },
            Self::Case(cases, otherwise) => {
                let found = cases.iter().find(|(condition, _)| condition.value(scope).truth() == Some(true));
                found.map_or(&**otherwise, |(_, result)| result).value(scope)
            }
            Self::Cast(inner, ty) => {
                let text = inner.value(scope).text().and_then(|text| cast(scope.rules, *ty, &text));
                text.map_or(Value::Null, |text| Value::of_column(*ty, text))
            }
            Self::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                let mut bytes = 0;
                for argument in arguments {
                    let value = argument.value(scope);
                    bytes += value.size();
                    if bytes > TEXT_MAX_BYTES {
                        return Value::Null;
                    }
                    values.push(value);
                }
                function.call(&values, scope)
            }
        }
    }
}

/// AND (`decisive` false) or OR (`decisive` true) of three-valued truths.
fn both(a: Option<bool>, b: Option<bool>, decisive: bool) -> Value {
    if a == Some(decisive) || b == Some(decisive) {
        return Value::Bool(decisive);
    }
    if a.is_some() && b.is_some() { Value::Bool(!decisive) } else { Value::Null }
}

fn compare(how: Comparison, a: &Value, b: &Value) -> Value {
    if how == Comparison::Same && (*a == Value::Null || *b == Value::Null) {
        return Value::Bool(a == b);
    }
    let Some(order) = a.order(b) else { return Value::Null };
    Value::Bool(match how {
        Comparison::Equal | Comparison::Same => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    })
}

fn is_in(value: &Value, list: impl Iterator<Item = Value>) -> Value {
    let mut is_unknown = *value == Value::Null;
    for item in list {
        match value.order(&item) {
            Some(order) if order.is_eq() => return Value::Bool(true),
            Some(_) => {}
            None => is_unknown = true,
        }
    }
    if is_unknown { Value::Null } else { Value::Bool(false) }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::table::EngineKind;

    /// Evaluates over the names a = "12.5", n = NULL, s = " Ab ", t = "2024-05-06 07:08:09".
    fn evaluate(text: &str) -> Result<Option<String>, String> {
        let parsed = read_condition(text)?;
        let names = ["a", "n", "s", "t"];
        let resolve = |name: &str| names.iter().position(|n| *n == name).ok_or_else(|| format!("unknown {name}"));
        let expression = compile(EngineKind::StarRocks, &parsed, &resolve)?;
        let column = |position: usize| match position {
            0 => Value::Text("12.5".into()),
            2 => Value::Text(" Ab ".into()),
            3 => Value::Text("2024-05-06 07:08:09".into()),
            _ => Value::Null,
        };
        let rules = Rules { kind: EngineKind::StarRocks, strict: false, zone: TimeZone::UTC };
        let scope = Scope { column: &column, rules: &rules, now: "2026-01-02 03:04:05" };
        Ok(expression.value(&scope).text())
    }

    #[test]
    fn values_of_expressions() {
        for line in include_str!("../../tests/data/expressions.txt").lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (text, want) = line.rsplit_once(" => ").unwrap_or_else(|| panic!("{line}"));
            let got = evaluate(text).map(|value| value.map_or("NULL".to_owned(), |v| format!("[{v}]")));
            assert_eq!(got.as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_refused() {
        for (text, want) in [
            ("frobnicate(a)", "does not imitate the function frobnicate"),
            ("a +", "cannot be read"),
            ("b = 1", "unknown b"),
            ("a = (SELECT 1)", "does not imitate"),
            ("upper(a, a)", "upper takes 1 argument"),
            ("cast(a as point)", "does not imitate"),
        ] {
            let error = evaluate(text).expect_err(text);
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
