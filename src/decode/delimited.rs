//! Delimited text becomes a document: an object of strings by the fields' names.

use super::text::quote;
use crate::config::{Delimited, counted};

/// Appends the JSON object of a line; a line break at its end is not part of it.
///
/// # Errors
/// What is wrong, with places and counts, and nothing of the text.
pub(super) fn document(form: &Delimited, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    let mut rest = Some(line);
    let mut count = 0;
    out.push(b'{');
    while let Some(from) = rest {
        let (field, behind) = field(form, from).map_err(|at| {
            let at = line.len() - from.len() + at;
            format!("field {}: a quoted field does not end where it should, at byte {at} of {}", count + 1, line.len())
        })?;
        if let Some(name) = form.fields.get(count) {
            if count > 0 {
                out.push(b',');
            }
            quote(name, out);
            out.push(b':');
            match field {
                Field::Null => out.extend_from_slice(b"null"),
                Field::Plain(text) => quote(text, out),
                Field::Quoted(text) => quote(&text, out),
            }
        }
        count += 1;
        rest = behind;
    }
    out.push(b'}');
    if count == form.fields.len() {
        Ok(())
    } else {
        Err(format!("the line has {}, and {} are named", counted(count, "field"), form.fields.len()))
    }
}

enum Field<'t> {
    Null,
    Plain(&'t str),
    /// Without its quotes, each doubled one inside once.
    Quoted(String),
}

/// The first field of a text, and what follows the delimiter behind it.
///
/// # Errors
/// Where the quoted field should have ended.
fn field<'t>(form: &Delimited, text: &'t str) -> Result<(Field<'t>, Option<&'t str>), usize> {
    if let Some(quote) = form.quote
        && let Some(content) = text.strip_prefix(quote)
    {
        return quoted(form, quote, content).map_err(|left| text.len() - left);
    }
    let (field, rest) = match text.split_once(form.delimiter.as_str()) {
        Some((field, rest)) => (field, Some(rest)),
        None => (text, None),
    };
    let is_null = form.null.as_deref() == Some(field);
    Ok((if is_null { Field::Null } else { Field::Plain(field) }, rest))
}

/// # Errors
/// How much of `content` was left where the field should have ended.
fn quoted<'t>(form: &Delimited, quote: char, content: &'t str) -> Result<(Field<'t>, Option<&'t str>), usize> {
    let mut field = String::new();
    let mut rest = content;
    loop {
        let (piece, behind) = rest.split_once(quote).ok_or(0_usize)?;
        field.push_str(piece);
        match behind.strip_prefix(quote) {
            Some(more) => {
                field.push(quote);
                rest = more;
            }
            None if behind.is_empty() => return Ok((Field::Quoted(field), None)),
            None => {
                let next = behind.strip_prefix(form.delimiter.as_str()).ok_or(behind.len())?;
                return Ok((Field::Quoted(field), Some(next)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(delimiter: &str, fields: usize) -> Delimited {
        Delimited {
            fields: (0..fields).map(|at| format!("f{at}")).collect(),
            delimiter: delimiter.to_owned(),
            null: Some("null".to_owned()),
            quote: Some('"'),
        }
    }

    fn read(form: &Delimited, text: &str) -> Result<String, String> {
        let mut out = Vec::new();
        document(form, text, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn lines() {
        let tab = form("\t", 3);
        for (text, json) in [
            ("1\tx\t2.50\n", r#"{"f0":"1","f1":"x","f2":"2.50"}"#),
            ("1\tx\t2.50\r\n", r#"{"f0":"1","f1":"x","f2":"2.50"}"#),
            ("1\tx\t2.50", r#"{"f0":"1","f1":"x","f2":"2.50"}"#),
            ("null\t\tNULL\n", r#"{"f0":null,"f1":"","f2":"NULL"}"#),
            ("\t\t", r#"{"f0":"","f1":"","f2":""}"#),
            ("\"null\"\t\"a\tb\"\t\"say \"\"x\"\"\"", r#"{"f0":"null","f1":"a\tb","f2":"say \"x\""}"#),
            ("a\"b\tc\\d\t\"\"", r#"{"f0":"a\"b","f1":"c\\d","f2":""}"#),
            ("a\nb\tc\t\"x\ny\"\n", r#"{"f0":"a\nb","f1":"c","f2":"x\ny"}"#),
        ] {
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(read(&tab, text).map(|got| value(&got)), Ok(value(json)), "{text:?}");
        }
        assert_eq!(read(&form("||", 2), "a|b||c").as_deref(), Ok(r#"{"f0":"a|b","f1":"c"}"#));
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let tab = form("\t", 2);
        for (text, reason) in [
            ("a\n", "the line has 1 field, and 2 are named"),
            ("a\tb\tc\n", "the line has 3 fields, and 2 are named"),
            ("", "the line has 1 field, and 2 are named"),
            ("a\t\"b", "field 2: a quoted field does not end where it should, at byte 4 of 4"),
            ("\"a\"b\tc", "field 1: a quoted field does not end where it should, at byte 3 of 6"),
        ] {
            assert_eq!(read(&tab, text), Err(reason.to_owned()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_joined_is_found(fields in prop::collection::vec(prop::option::of("[a-z\\t\"\\\\\n中]{0,6}"), 1..5)) {
            let form = form("\t", fields.len());
            let written = fields.iter().map(|field| match field {
                None => "null".to_owned(),
                Some(text) => format!("\"{}\"", text.replace('"', "\"\"")),
            });
            let line = written.collect::<Vec<_>>().join("\t") + "\n";
            let got: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&read(&form, &line).unwrap()).unwrap();
            let got: Vec<Option<String>> = (0..fields.len())
                .map(|at| got[&format!("f{at}")].as_str().map(str::to_owned))
                .collect();
            prop_assert_eq!(got, fields);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}", fields in 1..4_usize) {
            if let Ok(json) = read(&form(",", fields), &text) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
            }
        }
    }
}
