//! The columns of a route: two lists (`columns`, `jsonpaths`), or one table per column.

use std::collections::BTreeMap;

use serde_json_path::JsonPath;
use toml::de::DeValue;

use super::reader::{Item, Section, Span, all};
use super::{Column, ColumnKind, ColumnSource, Format};
use crate::decode::{Mistake, check_condition, check_expression, check_rows};

const RICH: &str = "columns = [{ name = \"id\", path = \"$.id\" }, …]";

/// The names of the columns, where they are a list of texts without paths.
pub(super) fn names_alone(route: &mut Section<'_>) -> Option<Vec<String>> {
    let columns = route.take("columns")?;
    if route.take("jsonpaths").is_some() {
        return None;
    }
    let names = columns.value().as_array()?.iter().map(|name| name.get_ref().as_str().map(str::to_owned));
    names.collect::<Option<Vec<_>>>().filter(|names| !names.is_empty())
}

/// Reads the columns of a route whose values have this format; never an empty list. `None`: at least one problem is
/// noted.
pub(super) fn read(route: &mut Section<'_>, format: Option<&Format>) -> Option<Vec<Column>> {
    let hint = format!("columns = [\"id\", …] with jsonpaths = [\"$.id\", …], or {RICH}");
    let columns = route.require("columns", &hint);
    let paths = route.take("jsonpaths");
    let item = columns?;
    let items = item.list("a list of columns")?;
    if items.is_empty() {
        item.problem("a table without columns can't be loaded", hint);
        return None;
    }
    let names = items.iter().filter(|item| matches!(item.value(), DeValue::String(_))).count();
    let columns = match paths {
        _ if names != 0 && names != items.len() => {
            item.problem("names and tables are mixed", format!("two lists of texts, or one table per column: {RICH}"));
            None
        }
        Some(paths) if names != 0 => lists(&items, &paths),
        Some(paths) => {
            paths.problem(
                "`jsonpaths` goes with a list of names; here each column has a table of its own",
                "write the path into the table of its column: { name = \"id\", path = \"$.id\" }",
            );
            None
        }
        None if names != 0 && matches!(format, Some(Format::Delimited(_))) => all(items.iter().map(field)),
        None if names != 0 => {
            route.problem(
                "`jsonpaths` is missing",
                "one path per column, in the same order: jsonpaths = [\"$.id\", \"$.name\"]",
            );
            None
        }
        None => all(items.iter().map(rich)),
    };
    // A name that occurs twice is worth telling even when another column has a problem.
    let unique = unique(&items);
    columns.filter(|_| unique)
}

fn lists(names: &[Item<'_>], paths: &Item<'_>) -> Option<Vec<Column>> {
    let items = paths.list("a list of JSONPaths")?;
    if items.len() != names.len() {
        paths.problem(
            format!("{} columns, but {} paths", names.len(), items.len()),
            "the first path belongs to the first column, and so on",
        );
        return None;
    }
    all(names.iter().zip(&items).map(|(name, path)| {
        let (name, from) = (self::name(name), self::path(path));
        Some(Column { name: name?, from: from?, default: None, kind: ColumnKind::AsIs })
    }))
}

/// A column that is named like a field.
fn field(item: &Item<'_>) -> Option<Column> {
    let name = name(item)?;
    let path = format!("$[{}]", quoted(&name));
    Some(Column { name, from: ColumnSource::Path(path), default: None, kind: ColumnKind::AsIs })
}

/// A name selector of JSONPath.
fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn name(item: &Item<'_>) -> Option<String> {
    let name = item.words("the name of a column")?;
    // A name is sent in a header and in back-ticks.
    if name.chars().any(|c| c.is_control() || c == '`') || name.trim() != name {
        item.error(format!("{name:?} can't be the name of a column"));
        return None;
    }
    Some(name.to_owned())
}

fn path(item: &Item<'_>) -> Option<ColumnSource> {
    let text = item.string("a JSONPath")?;
    match JsonPath::parse(text) {
        Ok(_) => Some(ColumnSource::Path(text.to_owned())),
        Err(error) => {
            // The place is where the parser gave up, in bytes from 0; its words are about its own grammar.
            let understood = || text.char_indices().take_while(|(at, _)| *at < error.position());
            let at = understood().last().map_or(0, |(at, c)| at + c.len_utf8());
            let what = if text.starts_with('$') {
                let character = understood().count() + 1;
                format!("{text:?} is no JSONPath: it makes no sense from character {character} on")
            } else {
                format!("{text:?} is no JSONPath: it does not begin with `$`")
            };
            item.problem_within(at, what, "RFC 9535: $.name, $['a name'], $.list[0], $.list[-1], $.list[*].name");
            None
        }
    }
}

fn rich(item: &Item<'_>) -> Option<Column> {
    let mut table = item.section("a table with `name`")?;
    let name = table.require("name", "{ name = \"id\", path = \"$.id\" }").and_then(|item| name(&item));
    let from = source(&mut table);
    let default = table.take("default");
    if let (Some(item), Some(source)) = (&default, &from)
        && !matches!(source, ColumnSource::Path(_))
    {
        item.problem(
            "only a path can be missing in a record",
            "remove `default`; in an expression: coalesce(…, 'none')",
        );
    }
    let default = default.map_or(Some(None), |item| constant(&item).map(Some));
    let kind = table.take("as").map_or(Some(ColumnKind::AsIs), |item| match item.string("\"text\"")? {
        "text" => Some(ColumnKind::Text),
        other => {
            item.problem(format!("unknown form {other:?}"), "\"text\" makes a string of any value");
            None
        }
    });
    table.finish();
    Some(Column { name: name?, from: from?, default: default?, kind: kind? })
}

/// Exactly one of `path`, `expr`, `constant`, `from` and `header`.
fn source(table: &mut Section<'_>) -> Option<ColumnSource> {
    let found: Vec<_> = ["path", "expr", "constant", "from", "header"]
        .into_iter()
        .filter_map(|key| Some((key, table.take(key)?)))
        .collect();
    match found.as_slice() {
        [("path", item)] => path(item),
        [("expr", item)] => expression(item).map(ColumnSource::Expression),
        [("constant", item)] => constant(item).map(ColumnSource::Constant),
        [("from", item)] => metadata(item),
        [(_, item)] => item.words("the name of a record header").map(|name| ColumnSource::Header(name.to_owned())),
        [] => {
            table.problem(
                "nothing says where the column's value comes from",
                "add `path`, `expr`, `constant`, `from` or `header`",
            );
            None
        }
        [_, (_, second), ..] => {
            let keys: Vec<_> = found.iter().map(|(key, _)| format!("`{key}`")).collect();
            second.problem(
                format!("a column has one source; this one has {}", keys.join(" and ")),
                "keep one of `path`, `expr`, `constant`, `from` and `header`",
            );
            None
        }
    }
}

fn expression(item: &Item<'_>) -> Option<String> {
    checked(item, "an expression, \"trim($.name)\"", check_expression)
}

/// `where`: which records become rows.
pub(super) fn condition(item: &Item<'_>) -> Option<String> {
    checked(item, "a condition, \"$.amount > 0\"", check_condition)
}

/// `rows`: the array whose elements become rows.
pub(super) fn rows(item: &Item<'_>) -> Option<String> {
    let text = item.string("the elements of an array, \"$.items[*]\"")?;
    match check_rows(text) {
        Ok(()) => Some(text.to_owned()),
        Err(Mistake { what, hint, .. }) => {
            item.problem(what, hint);
            None
        }
    }
}

fn checked(item: &Item<'_>, expected: &str, check: fn(&str) -> Result<(), Mistake>) -> Option<String> {
    let text = item.string(expected)?;
    match check(text) {
        Ok(()) => Some(text.to_owned()),
        Err(Mistake { at, what, hint }) => {
            let character = text.get(..at).unwrap_or_default().chars().count() + 1;
            item.problem_within(at, format!("wrong at character {character} of the expression: {what}"), hint);
            None
        }
    }
}

fn metadata(item: &Item<'_>) -> Option<ColumnSource> {
    const KNOWN: &str = "\"topic\", \"partition\", \"offset\", \"timestamp\" or \"key\"";
    match item.string(KNOWN)? {
        "topic" => Some(ColumnSource::Topic),
        "partition" => Some(ColumnSource::Partition),
        "offset" => Some(ColumnSource::Offset),
        "timestamp" => Some(ColumnSource::Timestamp),
        "key" => Some(ColumnSource::Key),
        other => {
            item.problem(
                format!("a record has no {other:?}"),
                format!("expected {KNOWN}; a header: header = \"name\""),
            );
            None
        }
    }
}

/// A TOML value as JSON text, digit for digit.
fn constant(item: &Item<'_>) -> Option<String> {
    let number = match item.value() {
        DeValue::String(text) => return Some(serde_json::Value::from(text.as_ref()).to_string()),
        DeValue::Boolean(value) => return Some(value.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
        DeValue::Integer(number) => {
            u128::from_str_radix(number.as_str(), number.radix()).map(|value| value.to_string()).unwrap_or_default()
        }
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            item.mistyped("a string, a number or a boolean");
            return None;
        }
    };
    let number = number.trim_start_matches('+').replace('_', "");
    if serde_json::from_str::<serde_json::Number>(&number).is_err() {
        item.problem("JSON has no such number", "write it as a string");
        return None;
    }
    Some(number)
}

/// Engines take `Id` and `id` for the same column.
fn unique(items: &[Item<'_>]) -> bool {
    let mut seen: BTreeMap<String, Span> = BTreeMap::new();
    let mut unique = true;
    for item in items {
        let table = item.value().as_table().and_then(|table| table.get("name"));
        let name = item.value().as_str().or(table.and_then(|name| name.get_ref().as_str()));
        let Some(name) = name else { continue };
        if let Some(first) = seen.insert(name.to_lowercase(), item.span.clone()) {
            let line = item.reading().line(&first);
            item.problem(
                format!("column {name:?} is named twice, first in line {line}"),
                "a row has one value per column; upper and lower case make no difference to the engines",
            );
            unique = false;
        }
    }
    unique
}
