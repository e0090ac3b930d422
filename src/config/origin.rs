//! Values that may stand elsewhere than in the file: in an environment variable, or in a file of their own.

use toml::de::DeValue;

use super::Secret;
use super::reader::Item;

/// Where a value was found.
enum Origin {
    Plain,
    Elsewhere,
}

/// A text: plain, `{ env = "NAME" }` or `{ file = "path" }`. `None`: the reason is noted.
pub(super) fn text(item: &Item<'_>, what: &str) -> Option<String> {
    read(item, what).map(|(text, _)| text)
}

/// A secret. Plain text in the file is allowed and warned about, unless it is empty.
pub(super) fn secret(item: &Item<'_>, what: &str) -> Option<Secret> {
    if !matches!(item.value(), DeValue::Table(_)) {
        item.conceal();
    }
    let (text, origin) = read(item, what)?;
    if matches!(origin, Origin::Plain) && !text.is_empty() {
        item.warn(
            format!("{what} stands in the file as plain text"),
            "keep it elsewhere: { env = \"NAME\" } or { file = \"path\" }",
        );
    }
    Some(Secret::new(text.into_bytes()))
}

/// True if the value says where the text stands, rather than being the text.
pub(super) fn is_reference(item: &Item<'_>) -> bool {
    let table = item.value().as_table();
    table.is_some_and(|table| table.len() == 1 && (table.contains_key("env") || table.contains_key("file")))
}

fn read(item: &Item<'_>, what: &str) -> Option<(String, Origin)> {
    match item.value() {
        DeValue::String(text) => Some((text.clone().into_owned(), Origin::Plain)),
        DeValue::Table(_) => elsewhere(item, what).map(|text| (text, Origin::Elsewhere)),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            item.mistyped(&format!("{what}: a string, {{ env = \"NAME\" }} or {{ file = \"path\" }}"));
            None
        }
    }
}

fn elsewhere(item: &Item<'_>, what: &str) -> Option<String> {
    let mut section = item.section(what)?;
    let (variable, file) = (section.take("env"), section.take("file"));
    let found = match (&variable, &file) {
        (Some(name), None) => from_variable(name),
        (None, Some(path)) => from_file(path),
        (None, None) | (Some(_), Some(_)) => {
            section
                .problem("expected exactly one of `env` and `file`", "write { env = \"NAME\" } or { file = \"path\" }");
            None
        }
    };
    section.finish();
    found
}

fn from_variable(item: &Item<'_>) -> Option<String> {
    let name = item.words("the name of an environment variable")?;
    let value = item.reading().variable(name);
    if value.is_none() {
        item.problem(
            format!("the environment variable {name} is not set, or is not UTF-8"),
            format!("set {name} for the process, or use {{ file = \"path\" }}"),
        );
    }
    value
}

/// The line break that editors put at the end of a file does not belong to the value.
fn from_file(item: &Item<'_>) -> Option<String> {
    let path = item.reading().beside(item.words("the path of a file")?);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Some(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
        Err(error) => {
            item.problem(
                format!("{} can't be read: {error}", path.display()),
                "relative paths are meant from the directory of the configuration file",
            );
            None
        }
    }
}
