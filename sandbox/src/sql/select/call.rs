//! Calls: aggregates, and the functions that clients and people use most.

use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, ObjectNamePart,
};

use super::super::error::SqlError;
use super::super::number::DECIMAL_DIGITS_MAX;
use super::super::time::FORMAT_LETTERS;
use super::super::types::{BIGINT, SqlType, VARCHAR};
use super::super::{time, version};
use super::Translator;
use super::scope::Scope;
use super::typed::{Typed, comparable, quoted};
use crate::table::EngineKind;

const INT: SqlType = SqlType::Integer { bits: 32 };

impl Translator<'_> {
    pub(super) fn call(&mut self, scope: &Scope<'_>, function: &Function) -> Result<Typed, SqlError> {
        let plain = !function.uses_odbc_syntax
            && function.parameters == FunctionArguments::None
            && function.within_group.is_empty()
            && function.filter.is_none()
            && function.null_treatment.is_none();
        let name = match function.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] if plain => name.value.to_lowercase(),
            _ => return self.not_imitated(format!("`{function}`")),
        };
        if function.over.is_some() {
            return self.not_imitated("a window function");
        }
        let (arguments, is_distinct) = match &function.args {
            FunctionArguments::None => (&[][..], false),
            FunctionArguments::List(list) if list.clauses.is_empty() => {
                (list.args.as_slice(), list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
            }
            _ => return self.not_imitated(format!("`{function}`")),
        };
        let mut expressions = Vec::new();
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expressions.push(expr.clone()),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                    if name == "count" && arguments.len() == 1 && !is_distinct =>
                {
                    return self.aggregate(scope, "count", None, false);
                }
                _ => return self.not_imitated(format!("`{function}`")),
            }
        }
        match (name.as_str(), expressions.as_slice()) {
            ("count" | "sum" | "min" | "max" | "avg" | "any_value", [argument]) => {
                self.aggregate(scope, &name, Some(argument), is_distinct)
            }
            _ if is_distinct => self.not_imitated(format!("`{function}`")),
            (_, arguments) => match self.facts(&name, arguments.len()) {
                Some(fact) => Ok(fact),
                None => self.function(scope, &name, arguments),
            },
        }
    }

    fn aggregate(
        &mut self,
        scope: &Scope<'_>,
        name: &str,
        argument: Option<&Expr>,
        is_distinct: bool,
    ) -> Result<Typed, SqlError> {
        if scope.keys.is_none() {
            self.saw_aggregate = true;
            return self.analysis("aggregate functions are not allowed here");
        }
        let Some(argument) = argument else {
            return Ok(Typed::value("CAST(count(*) AS TEXT)", BIGINT));
        };
        let value = self.value(&scope.rows(), argument)?;
        let ty = value.ty;
        let distinct = if is_distinct { "DISTINCT " } else { "" };
        let collated = value.collated();
        match name {
            "count" if ty == SqlType::Json && is_distinct => self.not_imitated("DISTINCT of JSON"),
            "count" => Ok(Typed::value(format!("CAST(count({distinct}{collated}) AS TEXT)"), BIGINT)),
            "min" | "max" | "any_value" if ty != SqlType::Json => {
                let function = if name == "max" { "max" } else { "min" };
                Ok(Typed::value(format!("{function}({collated})"), ty))
            }
            "sum" if ty.is_floating() => {
                let value = self.matched(value.widened(self.kind(), SqlType::Double))?;
                Ok(Typed::value(format!("sb_double_sum({distinct}{})", value.sql), SqlType::Double))
            }
            "sum" if ty.is_exact() => {
                let sum = match ty {
                    SqlType::LargeInt => SqlType::LargeInt,
                    SqlType::Decimal { scale, .. } => SqlType::Decimal { precision: DECIMAL_DIGITS_MAX, scale },
                    _ => BIGINT,
                };
                let limit = match sum {
                    SqlType::LargeInt => "128".to_owned(),
                    SqlType::Decimal { precision, .. } => format!("-{precision}"),
                    _ => "64".to_owned(),
                };
                Ok(Typed::value(format!("sb_add(sb_sum({distinct}{collated}), '0', '{limit}')"), sum))
            }
            "avg" if ty.is_floating() || ty.is_whole() => {
                let value = self.matched(value.widened(self.kind(), SqlType::Double))?;
                Ok(Typed::value(format!("sb_average({distinct}{})", value.sql), SqlType::Double))
            }
            _ => self.not_imitated(format!("{name} of {ty}")),
        }
    }

    /// What functions without a row say: versions, the session, the clock.
    fn facts(&self, name: &str, arguments: usize) -> Option<Typed> {
        let environment = self.environment;
        let kind = environment.kind;
        let text = |text: &str| Some(Typed::literal(text, VARCHAR));
        match (name, arguments) {
            ("version", 0) => text(version::mysql(kind)),
            ("current_version", 0) if kind == EngineKind::StarRocks => text(&environment.version),
            ("database" | "schema", 0) => {
                Some(environment.database.as_deref().map_or_else(Typed::null, |name| Typed::literal(name, VARCHAR)))
            }
            ("current_user", 0) => text(&format!("'{}'@'%'", environment.user)),
            ("user" | "session_user" | "system_user", 0) => text(&format!("'{}'@'127.0.0.1'", environment.user)),
            ("connection_id", 0) => Some(Typed::literal(&environment.connection_id.to_string(), BIGINT)),
            ("now" | "current_timestamp" | "localtime" | "localtimestamp" | "utc_timestamp", 0) => {
                let now = time::of_millis(environment.now_ms);
                Some(Typed { literal: None, ..Typed::literal(&now, SqlType::DateTime { digits: 0 }) })
            }
            ("curdate" | "current_date", 0) => {
                let now = time::of_millis(environment.now_ms);
                Some(Typed { literal: None, ..Typed::literal(now.split(' ').next()?, SqlType::Date) })
            }
            ("unix_timestamp", 0) => Some(Typed::literal(&(environment.now_ms / 1000).to_string(), BIGINT)),
            _ => None,
        }
    }

    fn function(&mut self, scope: &Scope<'_>, name: &str, arguments: &[Expr]) -> Result<Typed, SqlError> {
        match (name, arguments) {
            ("ifnull" | "nvl", [_, _]) | ("coalesce", [_, ..]) => {
                let values = arguments.iter().map(|a| self.value(scope, a)).collect::<Result<Vec<_>, _>>()?;
                let (ty, values) = self.unified(values)?;
                let list = values.iter().map(|v| v.sql.as_str()).collect::<Vec<_>>().join(", ");
                Ok(Typed::value(if values.len() == 1 { list } else { format!("coalesce({list})") }, ty))
            }
            ("if", [condition, yes, no]) => {
                let condition = self.expr(scope, condition)?;
                let condition = self.matched(condition.into_condition())?;
                let values = vec![self.value(scope, yes)?, self.value(scope, no)?];
                let (ty, values) = self.unified(values)?;
                Ok(Typed::value(
                    format!("(CASE WHEN {condition} THEN {} ELSE {} END)", values[0].sql, values[1].sql),
                    ty,
                ))
            }
            ("least" | "greatest", [_, ..]) => {
                let values = arguments.iter().map(|a| self.value(scope, a)).collect::<Result<Vec<_>, _>>()?;
                let (ty, values) = self.unified(values)?;
                if !ty.is_exact() && !ty.is_time() {
                    return self.not_imitated(format!("{name} of {ty}"));
                }
                let function = if name == "least" { "min" } else { "max" };
                let list = values.iter().map(Typed::collated).collect::<Vec<_>>().join(", ");
                Ok(Typed::value(if values.len() == 1 { list } else { format!("{function}({list})") }, ty))
            }
            ("nullif", [a, b]) => {
                let (value, other) = (self.value(scope, a)?, self.value(scope, b)?);
                let (x, y) = self.matched(comparable(self.kind(), value.clone(), other))?;
                Ok(Typed::value(format!("(CASE WHEN {x} = {y} THEN NULL ELSE {} END)", value.sql), value.ty))
            }
            ("isnull", [a]) => Ok(Typed::predicate(format!("({} IS NULL)", self.value(scope, a)?.sql))),
            ("isnotnull", [a]) => Ok(Typed::predicate(format!("({} IS NOT NULL)", self.value(scope, a)?.sql))),
            ("abs", [number]) => {
                let value = self.value(scope, number)?;
                if !value.ty.is_exact() {
                    return self.not_imitated(format!("abs of {}", value.ty));
                }
                Ok(Typed::value(format!("ltrim({}, '-')", value.sql), value.ty))
            }
            _ => self.text_function(scope, name, arguments),
        }
    }

    fn text_function(&mut self, scope: &Scope<'_>, name: &str, arguments: &[Expr]) -> Result<Typed, SqlError> {
        match (name, arguments) {
            ("concat", [_, ..]) => {
                let mut parts = Vec::new();
                for argument in arguments {
                    let value = self.value(scope, argument)?;
                    if value.ty.is_floating() || matches!(value.ty, SqlType::Boolean | SqlType::Json) {
                        return self.not_imitated(format!("concat of {}", value.ty));
                    }
                    parts.push(value.sql);
                }
                Ok(Typed::value(format!("({})", parts.join(" || ")), VARCHAR))
            }
            ("upper" | "ucase", [_]) => self.text_call(scope, "sb_upper", arguments),
            ("lower" | "lcase", [_]) => self.text_call(scope, "sb_lower", arguments),
            ("trim" | "ltrim" | "rtrim", [_]) | ("replace", [_, _, _]) => self.text_call(scope, name, arguments),
            ("length", [_]) => Ok(Typed { ty: INT, ..self.text_call(scope, "sb_bytes", arguments)? }),
            ("char_length" | "character_length", [_]) => {
                Ok(Typed { ty: INT, ..self.text_call(scope, "sb_chars", arguments)? })
            }
            ("locate", [part, text]) | ("instr", [text, part]) => {
                Ok(Typed { ty: INT, ..self.text_call(scope, "sb_locate", &[part, text])? })
            }
            ("substr" | "substring" | "mid", [text, from]) => self.substring(scope, text, Some(from), None),
            ("substr" | "substring" | "mid", [text, from, length]) => {
                self.substring(scope, text, Some(from), Some(length))
            }
            _ => self.time_function(scope, name, arguments),
        }
    }

    fn time_function(&mut self, scope: &Scope<'_>, name: &str, arguments: &[Expr]) -> Result<Typed, SqlError> {
        match (name, arguments) {
            ("date_format", [date, pattern]) => self.date_format(scope, date, pattern),
            ("date" | "to_date", [date]) => {
                let date = self.moment(scope, date)?;
                Ok(Typed::value(format!("sb_to_date({})", date.sql), SqlType::Date))
            }
            (
                "year" | "quarter" | "month" | "day" | "dayofmonth" | "hour" | "minute" | "second" | "dayofyear"
                | "dayofweek",
                [date],
            ) => self.date_part(scope, if name == "dayofmonth" { "day" } else { name }, date),
            ("date_add" | "adddate", [date, Expr::Interval(interval)]) => self.date_add(scope, date, interval, 1),
            ("date_sub" | "subdate", [date, Expr::Interval(interval)]) => self.date_add(scope, date, interval, -1),
            ("datediff", [a, b]) => {
                let (a, b) = (self.moment(scope, a)?, self.moment(scope, b)?);
                Ok(Typed::value(format!("sb_date_diff({}, {})", a.sql, b.sql), INT))
            }
            ("unix_timestamp", [date]) => {
                let date = self.moment(scope, date)?;
                Ok(Typed::value(format!("sb_unix({})", date.sql), BIGINT))
            }
            _ => {
                let what = if arguments.is_empty() { "without arguments" } else { "with these arguments" };
                self.not_imitated(format!("the function {name} {what}"))
            }
        }
    }

    /// A function of texts that SQLite computes as the engines do.
    pub(super) fn text_call(
        &mut self,
        scope: &Scope<'_>,
        function: &str,
        arguments: &[impl std::borrow::Borrow<Expr>],
    ) -> Result<Typed, SqlError> {
        let mut list = Vec::new();
        for argument in arguments {
            let value = self.value(scope, argument.borrow())?;
            // A whole number is the same text to every engine.
            if !value.ty.is_text() && !value.ty.is_whole() && value.ty != SqlType::Null {
                return self.not_imitated(format!("{} of {}", function.trim_start_matches("sb_"), value.ty));
            }
            list.push(value.sql);
        }
        Ok(Typed::value(format!("{function}({})", list.join(", ")), VARCHAR))
    }

    pub(super) fn substring(
        &mut self,
        scope: &Scope<'_>,
        text: &Expr,
        from: Option<&Expr>,
        length: Option<&Expr>,
    ) -> Result<Typed, SqlError> {
        let text = self.value(scope, text)?;
        let mut whole = |expr: Option<&Expr>, unstated: &str| -> Result<String, SqlError> {
            let Some(expr) = expr else { return Ok(quoted(unstated)) };
            let value = self.value(scope, expr)?;
            if value.ty.is_whole() { Ok(value.sql) } else { self.not_imitated("a place that is no whole number") }
        };
        let (from, length) = (whole(from, "1")?, whole(length, "2147483647")?);
        if !text.ty.is_text() {
            return self.not_imitated(format!("substring of {}", text.ty));
        }
        Ok(Typed::value(format!("sb_substring({}, {from}, {length})", text.sql), VARCHAR))
    }

    /// A date or a time, or a literal that can be read as one.
    fn moment(&mut self, scope: &Scope<'_>, expr: &Expr) -> Result<Typed, SqlError> {
        let value = self.value(scope, expr)?;
        let is_date = value.literal.as_ref().is_some_and(|text| crate::cells::Stamp::parse(text).is_some());
        if value.ty.is_time() || value.ty == SqlType::Null || (value.ty.is_text() && is_date) {
            return Ok(value);
        }
        self.not_imitated(format!("a date from {}", value.ty))
    }

    pub(super) fn date_part(&mut self, scope: &Scope<'_>, part: &str, date: &Expr) -> Result<Typed, SqlError> {
        const PARTS: [&str; 9] =
            ["year", "quarter", "month", "day", "hour", "minute", "second", "dayofyear", "dayofweek"];
        if !PARTS.contains(&part) {
            return self.not_imitated(format!("the part `{part}` of a date"));
        }
        let date = self.moment(scope, date)?;
        Ok(Typed::value(format!("sb_date_part({}, {})", quoted(part), date.sql), INT))
    }

    fn date_format(&mut self, scope: &Scope<'_>, date: &Expr, pattern: &Expr) -> Result<Typed, SqlError> {
        let date = self.moment(scope, date)?;
        let pattern = self.value(scope, pattern)?;
        let Some(text) = &pattern.literal else {
            return self.not_imitated("date_format with a pattern that is no literal");
        };
        let mut letters = text.chars();
        while let Some(c) = letters.next() {
            if c == '%' && !letters.next().is_some_and(|letter| FORMAT_LETTERS.contains(letter)) {
                return self.not_imitated(format!("the date format '{text}'"));
            }
        }
        Ok(Typed::value(format!("sb_date_format({}, {})", date.sql, pattern.sql), VARCHAR))
    }
}
