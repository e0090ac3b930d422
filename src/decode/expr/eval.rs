//! What an expression is for one record.

use std::borrow::Cow;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::super::document::{Document, Wanted};
use super::super::scan::Scanner;
use super::compare::compare;
use super::functions::Function;
use super::lex::Compare;
use super::number::{is_number, scaled};
use super::value::Value;
use super::{Condition, Expr, Meta, Scene, texts};

impl Expr {
    /// The value; an error names the function and nothing of the record.
    pub(super) fn value<'a>(&'a self, scene: &Scene<'a>) -> Result<Value<'a>, String> {
        Ok(match self {
            Self::Constant(value) => value.lend(),
            Self::Path(wanted) => at(*wanted, scene.element)?,
            Self::RecordPath(wanted) => at(*wanted, scene.whole)?,
            Self::Meta(meta) => meta.value(scene)?,
            Self::Condition(condition) => condition.truth(scene)?.map_or(Value::Null, Value::Bool),
            Self::Coalesce(values) => {
                for value in values {
                    if let Some(value) = value.value(scene)?.known() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Self::Case(branches) => {
                for branch in branches.chunks(2) {
                    match branch {
                        [condition, value] if condition.truth(scene)? == Some(true) => return value.value(scene),
                        [otherwise] => return otherwise.value(scene),
                        _ => {}
                    }
                }
                Value::Null
            }
            Self::Call(function, arguments) => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    let Some(value) = argument.value(scene)?.known() else { return Ok(Value::Null) };
                    values.push(value);
                }
                function.of(values).map_err(|reason| format!("function {}: {reason}", function.name()))?
            }
        })
    }

    /// True, false, or neither.
    pub(super) fn truth(&self, scene: &Scene<'_>) -> Result<Option<bool>, String> {
        if let Self::Condition(condition) = self {
            return condition.truth(scene);
        }
        match self.value(scene)? {
            Value::Null => Ok(None),
            Value::Bool(truth) => Ok(Some(truth)),
            other @ (Value::Number(_) | Value::Text(_) | Value::Json(_)) => {
                Err(format!("a condition is {}, neither true nor false nor null", other.name()))
            }
        }
    }
}

impl Condition {
    fn truth(&self, scene: &Scene<'_>) -> Result<Option<bool>, String> {
        match self {
            Self::All(sides) => every(sides, scene, true),
            Self::Any(sides) => every(sides, scene, false),
            Self::Not(inner) => Ok(inner.truth(scene)?.map(|truth| !truth)),
            Self::Compare(sign, one, other) => compare(*sign, &one.value(scene)?, &other.value(scene)?),
            Self::In(value, list) => within(&value.value(scene)?, list, scene),
            Self::Matches(value, regex) => {
                let Some(value) = value.value(scene)?.known() else { return Ok(None) };
                let text = value.into_text().map_err(|reason| format!("a pattern: {reason}"))?;
                Ok(Some(regex.is_match(&text)))
            }
            Self::IsNull(value) => Ok(Some(value.value(scene)? == Value::Null)),
            Self::Exists(wanted, of_element) => {
                let Some(document) = (if *of_element { scene.element } else { scene.whole }) else { return Ok(None) };
                match *wanted {
                    Wanted::Place(place) => Ok(Some(document.at(place).is_some())),
                    Wanted::Query(query) => document.matches(query).map(|(_, count)| Some(count > 0)),
                }
            }
        }
    }
}

/// Three-valued `and` (`all`: true) and `or`.
fn every(sides: &[Expr], scene: &Scene<'_>, all: bool) -> Result<Option<bool>, String> {
    let mut truth = Some(all);
    for side in sides {
        match side.truth(scene)? {
            Some(side) if side != all => return Ok(Some(side)),
            Some(_) => {}
            None => truth = None,
        }
    }
    Ok(truth)
}

/// `in`: true if one of the list is equal, null if that is not known because of a null.
fn within(value: &Value<'_>, list: &[Expr], scene: &Scene<'_>) -> Result<Option<bool>, String> {
    let mut truth = Some(false);
    for other in list {
        match compare(Compare::Equal, value, &other.value(scene)?)? {
            Some(true) => return Ok(Some(true)),
            Some(false) => {}
            None => truth = None,
        }
    }
    Ok(truth)
}

fn at<'a>(wanted: Wanted, document: Option<&'a Document<'a>>) -> Result<Value<'a>, String> {
    let Some(document) = document else { return Ok(Value::Null) };
    match wanted {
        Wanted::Place(place) => document.at(place).map_or(Ok(Value::Null), Value::of_json),
        Wanted::Query(query) => Ok(Value::Json(Cow::Owned(document.matches(query)?.0))),
    }
}

impl Meta {
    fn value<'a>(&self, scene: &Scene<'a>) -> Result<Value<'a>, String> {
        let record = scene.record;
        let number = |number: i64| Value::Number(Cow::Owned(number.to_string()));
        let text = |bytes: Option<&'a [u8]>, what: &str| match bytes {
            None => Ok(Value::Null),
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Value::Text(Cow::Borrowed(text))),
                Err(error) => Err(format!("{what} is not UTF-8 at byte {} of {}", error.valid_up_to(), bytes.len())),
            },
        };
        match self {
            Self::Topic => Ok(Value::Text(Cow::Borrowed(scene.topic))),
            Self::Partition => Ok(number(record.partition.into())),
            Self::Offset => Ok(number(record.offset)),
            Self::Timestamp => Ok(record.timestamp_ms.map_or(Value::Null, number)),
            Self::Key => text(record.key, "the record's key"),
            Self::Header(name) => text(record.headers.last(name), &format!("the header {name:?}")),
            Self::LoadTime => Ok(number(scene.load_time_ms)),
        }
    }
}

impl Function {
    /// The result for arguments of which none is null.
    fn of<'a>(&self, values: Vec<Value<'a>>) -> Result<Value<'a>, String> {
        let mut values = values.into_iter();
        let owned = |text: String| Value::Text(Cow::Owned(text));
        let first = values.next().unwrap_or(Value::Null);
        Ok(match self {
            Self::Trim => Value::Text(texts::trim(first.into_text()?)),
            Self::Lower => owned(first.into_text()?.to_lowercase()),
            Self::Upper => owned(first.into_text()?.to_uppercase()),
            Self::Text => Value::Text(first.into_text()?),
            Self::Substring => {
                let (text, start) = (first.into_text()?, whole(values.next())?);
                let length = values.next().map(|length| whole(Some(length))).transpose()?;
                owned(texts::substring(&text, start, length))
            }
            Self::Length => Value::Number(Cow::Owned(length(first)?.to_string())),
            Self::Concat => {
                let all: Vec<_> = [first].into_iter().chain(values).map(Value::into_text).collect::<Result<_, _>>()?;
                owned(texts::concat(&all)?)
            }
            Self::Replace => {
                let text = first.into_text()?;
                let mut next = || values.next().unwrap_or(Value::Null).into_text();
                let (from, to) = (next()?, next()?);
                owned(texts::replace(&text, &from, &to)?)
            }
            Self::Mask => {
                let text = first.into_text()?;
                let mut count = || usize::try_from(whole(values.next())?).map_err(|_| "a count below zero".to_owned());
                let (first, last) = (count()?, count()?);
                owned(texts::mask(&text, first, last))
            }
            Self::Number => {
                let text = texts::trim(first.into_text()?);
                if !is_number(&text) {
                    return Err("the text is not a number as JSON writes it".to_owned());
                }
                Value::Number(text)
            }
            Self::FromEpoch(epoch) => {
                let text = first.into_text()?;
                if !is_number(&text) {
                    return Err("the argument is not a number".to_owned());
                }
                owned(epoch.datetime(&text)?)
            }
            Self::ParseDatetime(parse) => owned(parse.datetime(&first.into_text()?)?),
            Self::Md5 => owned(texts::hex(&Md5::digest(first.into_text()?.as_bytes()))),
            Self::Sha256 => owned(texts::hex(&Sha256::digest(first.into_text()?.as_bytes()))),
            Self::ToJson => {
                let mut json = Vec::new();
                first.write(&mut json);
                owned(String::from_utf8(json).map_err(|_| "not UTF-8".to_owned())?)
            }
            Self::FromJson => Value::of_json(texts::check_json(&first.into_text()?)?)?.into_owned(),
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Trim => "trim",
            Self::Lower => "lower",
            Self::Upper => "upper",
            Self::Substring => "substring",
            Self::Length => "length",
            Self::Concat => "concat",
            Self::Replace => "replace",
            Self::Mask => "mask",
            Self::Number => "number",
            Self::Text => "text",
            Self::FromEpoch(epoch) => epoch.name,
            Self::ParseDatetime(_) => "parse_datetime",
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::ToJson => "to_json",
            Self::FromJson => "from_json",
        }
    }
}

/// A whole number among the arguments.
fn whole(value: Option<Value<'_>>) -> Result<i64, String> {
    let text = value.unwrap_or(Value::Null).into_text()?;
    let number = if is_number(&text) { scaled(&text, 0) } else { None };
    number.ok_or_else(|| "a place or a count is not a whole number".to_owned())
}

/// Characters of a text, elements of an array.
fn length(value: Value<'_>) -> Result<usize, String> {
    if let Value::Json(json) = &value
        && json.first() == Some(&b'[')
    {
        let mut scanner = Scanner::new(json);
        let counted = scanner.array(0, |scanner, pos, _| scanner.skip(pos));
        return counted.map(|(_, count)| count).map_err(|fault| fault.to_string());
    }
    Ok(value.into_text()?.chars().count())
}
