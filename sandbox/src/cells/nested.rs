//! Values that hold values: arrays, maps, structs, and JSON in the form that the engines keep.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use super::{Cell, Misfit, Rules, convert_into, shortest};
use crate::json_path::Fields;
use crate::table::{ColumnType, Element, EngineKind, Nested};

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
            let is_last = |number: usize, key: &str| !fields.0[number + 1..].iter().any(|(later, _)| later == key);
            out.push('{');
            let mut is_first = true;
            for (number, (key, value)) in fields.0.iter().enumerate() {
                if !is_last(number, key) {
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
pub(super) fn json(kind: EngineKind, token: &str, out: &mut String) -> Result<(), Misfit> {
    let unparsable = |_| Misfit::Unparsable;
    let (comma, colon) = match kind {
        EngineKind::StarRocks => (", ", ": "),
        EngineKind::Doris => (",", ":"),
    };
    let token = token.trim();
    match token.as_bytes().first() {
        Some(b'{') => {
            let fields: Fields<'_> = serde_json::from_str(token).map_err(unparsable)?;
            out.push('{');
            for (number, (key, value)) in fields.0.iter().enumerate() {
                out.push_str(if number > 0 { comma } else { "" });
                quoted(key, out);
                out.push_str(colon);
                json(kind, value.get(), out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(token).map_err(unparsable)?;
            out.push('[');
            for (number, item) in items.iter().enumerate() {
                out.push_str(if number > 0 { comma } else { "" });
                json(kind, item.get(), out)?;
            }
            out.push(']');
        }
        Some(b'"') => quoted(&serde_json::from_str::<String>(token).map_err(unparsable)?, out),
        _ => {
            serde_json::from_str::<serde::de::IgnoredAny>(token).map_err(unparsable)?;
            scalar(kind, token, out);
        }
    }
    Ok(())
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
