//! Values that hold values: arrays, maps, structs, and JSON in the form that the engines keep.

use std::collections::HashMap;
use std::fmt::Write as _;

use memchr::memchr2;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Cell, Misfit, Rules, convert_into, shortest};
use crate::json_path::Fields;
use crate::table::{ColumnType, Element, EngineKind, Nested};

/// Levels of a JSON value; both engines read it with simdjson, which takes no more (`DEFAULT_MAX_DEPTH`).
const JSON_DEPTH_MAX: usize = 1024;

/// Appends an array, map or struct whose elements have been converted.
///
/// StarRocks turns an unreadable element into NULL, strict or not (`be/src/formats/json/nullable_column.cpp` and its
/// neighbours); in Doris it makes the whole value unreadable when strict.
pub(super) fn nested(
    rules: &Rules,
    shape: Nested,
    elements: &[Element],
    cell: &Cell<'_>,
    out: &mut String,
) -> Result<(), Misfit> {
    let token = match cell {
        Cell::Nested(token) => token,
        Cell::Text(text) => text.as_ref(),
        Cell::Null | Cell::Bool(_) | Cell::Number(_) => return Err(Misfit::Unparsable),
    };
    match shape {
        Nested::Array => {
            let items: Vec<&RawValue> = serde_json::from_str(token).map_err(|_| Misfit::Unparsable)?;
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                element(rules, &elements[0], Some(item), out)?;
            }
            out.push(']');
        }
        Nested::Map => {
            let fields: Fields<'_> = serde_json::from_str(token).map_err(|_| Misfit::Unparsable)?;
            // Of two equal keys the later one stays (`MapColumn::remove_duplicated_keys`).
            let last: HashMap<&str, usize> =
                fields.0.iter().enumerate().map(|(number, (key, _))| (key.as_ref(), number)).collect();
            out.push('{');
            let mut is_first = true;
            for (number, (key, value)) in fields.0.iter().enumerate() {
                if last.get(key.as_ref()) != Some(&number) {
                    continue;
                }
                out.push_str(if is_first { "" } else { "," });
                is_first = false;
                scalar_element(rules, &elements[0], &Cell::Text(key.as_ref().into()), out)?;
                out.push(':');
                element(rules, &elements[1], Some(value), out)?;
            }
            out.push('}');
        }
        Nested::Struct => {
            let fields: Fields<'_> = serde_json::from_str(token).map_err(|_| Misfit::Unparsable)?;
            out.push('{');
            for (number, field) in elements.iter().enumerate() {
                out.push_str(if number > 0 { "," } else { "" });
                quoted(&field.name, out);
                out.push(':');
                element(rules, field, fields.get(&field.name), out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn element(rules: &Rules, element: &Element, value: Option<&RawValue>, out: &mut String) -> Result<(), Misfit> {
    scalar_element(rules, element, &value.map_or(Cell::Null, Cell::of), out)
}

fn scalar_element(rules: &Rules, element: &Element, cell: &Cell<'_>, out: &mut String) -> Result<(), Misfit> {
    if *cell == Cell::Null {
        out.push_str("null");
        return Ok(());
    }
    let mut text = String::new();
    match convert_into(rules, element.ty, &element.elements, cell, &mut text) {
        Ok(()) if is_quoted(element.ty) => quoted(&text, out),
        Ok(()) => out.push_str(&text),
        // StarRocks holds only columns to their length (`OlapTableSink::_validate_data`), Doris elements, too.
        Err(Misfit::TooLong { .. }) if rules.kind == EngineKind::StarRocks => quoted(&text, out),
        Err(misfit @ Misfit::TooLong { .. }) => return Err(misfit),
        Err(_) if rules.kind == EngineKind::StarRocks || !rules.strict => out.push_str("null"),
        Err(misfit) => return Err(misfit),
    }
    Ok(())
}

fn is_quoted(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Date | ColumnType::DateTime { .. } | ColumnType::Text { .. } | ColumnType::Binary { .. })
}

fn quoted(text: &str, out: &mut String) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// Appends a JSON value as the engine shows what it keeps.
///
/// StarRocks dumps velocypack on one line, with a space behind `:` and `,` (`be/src/util/json.cpp`); Doris has no
/// spaces. Both keep the order of the keys, and a number that is no 64-bit integer (Doris: 128 bits) is a double.
pub(super) fn json(kind: EngineKind, text: &str, out: &mut String) -> Result<(), Misfit> {
    let unparsable = |_| Misfit::Unparsable;
    // From here on the text is known to be JSON, and its tokens can be copied one by one, however deep it is.
    serde_json::from_str::<IgnoredAny>(text).map_err(unparsable)?;
    let (comma, colon) = match kind {
        EngineKind::StarRocks => (", ", ": "),
        EngineKind::Doris => (",", ":"),
    };
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => string_length(rest),
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b' ' | b'\t' | b'\n' | b'\r' => {
                rest = rest.trim_ascii_start();
                continue;
            }
            _ => rest.find([',', ':', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(length);
        match first {
            b'"' => quoted(&serde_json::from_str::<String>(token).map_err(unparsable)?, out),
            b',' => out.push_str(comma),
            b':' => out.push_str(colon),
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(Misfit::Unparsable);
                }
                out.push_str(token);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                out.push_str(token);
            }
            _ => scalar(kind, token, out),
        }
        rest = behind;
    }
    Ok(())
}

/// Bytes of the string that a text of JSON begins with.
fn string_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        // What follows a backslash is no end.
        at += 1;
    }
    bytes.len()
}

fn scalar(kind: EngineKind, token: &str, out: &mut String) {
    let is_whole = match kind {
        EngineKind::StarRocks => token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok(),
        EngineKind::Doris => token.parse::<i128>().is_ok(),
    };
    match token.parse::<f64>() {
        Ok(double) if !is_whole && double.is_finite() => {
            let _ = write!(out, "{}", shortest(double.abs(), &double));
        }
        _ => out.push_str(token),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: EngineKind, text: &str) -> Result<String, Misfit> {
        let mut out = String::new();
        json(kind, text, &mut out).map(|()| out)
    }

    #[test]
    fn json_is_copied_token_by_token() {
        let text = " { \"a\\u0062\\\"\" : [ 1.50 ,1e400, true,null , {} ,[ ] ], \"\\\\\": 18446744073709551616 }\n";
        let starrocks = r#"{"ab\"": [1.5, 1e400, true, null, {}, []], "\\": 1.8446744073709552e19}"#;
        let doris = r#"{"ab\"":[1.5,1e400,true,null,{},[]],"\\":18446744073709551616}"#;
        assert_eq!(shown(EngineKind::StarRocks, text).as_deref(), Ok(starrocks));
        assert_eq!(shown(EngineKind::Doris, text).as_deref(), Ok(doris));
        for broken in ["", "[", "[1 2]", "{\"a\"}", "tru", "\"\\ud800\"", "1 2"] {
            assert_eq!(shown(EngineKind::Doris, broken), Err(Misfit::Unparsable), "{broken}");
        }
    }

    #[test]
    fn json_may_be_deep_up_to_a_limit() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(shown(EngineKind::Doris, &deep(1024)), Ok(deep(1024)));
        for levels in [1025, 1_000_000] {
            assert_eq!(shown(EngineKind::Doris, &deep(levels)), Err(Misfit::Unparsable), "{levels}");
        }
    }
}
