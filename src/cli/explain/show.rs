//! How an explained record is shown: for people, and as JSON. Pure.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cli::report::blank;
use crate::config::{Charset, Format, Framing, Route, counted};
use crate::decode::{Explained, Step};
use crate::record::Record;

/// Characters of a value that are shown in one line.
const PREVIEW: usize = 60;

/// Bytes of binary content that are shown.
const PREVIEW_BYTES: usize = 16;

/// Why a record becomes no row and is no reject.
const LEFT_OUT: &str = "the route's `where` is not true, or `rows` finds no element";

/// Characters around the place where a text stops making sense.
const AROUND: usize = 30;

/// A record with what its routes make of it.
pub(super) struct Shown<'a> {
    pub(super) topic: &'a str,
    pub(super) group: &'a str,
    pub(super) record: Record<'a>,
    pub(super) routes: Vec<(&'a Route, Explained)>,
    /// Partition, offset and time mean something.
    pub(super) is_from_kafka: bool,
}

impl Shown<'_> {
    pub(super) fn lines(&self, mask: bool) -> Vec<String> {
        let mut lines = vec![self.head()];
        for (route, explained) in &self.routes {
            lines.push(String::new());
            lines.push(format!("{} (group {})", route.table, self.group));
            lines.extend(self.steps(route, explained, mask));
            lines.extend(outcome(route, explained, self.record.value.unwrap_or_default(), mask));
        }
        lines
    }

    fn head(&self) -> String {
        let record = &self.record;
        let mut words = vec![format!("topic {}", self.topic)];
        if self.is_from_kafka {
            words.push(format!("partition {}", record.partition));
            words.push(format!("offset {}", record.offset));
            let time = record.timestamp_ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
            words.push(time.map_or_else(|| "without a time".to_owned(), |time| format!("written {time}")));
        }
        words.push(size("key", record.key));
        words.push(counted(record.headers.iter().count(), "header"));
        words.push(size("value", record.value));
        words.join(", ")
    }

    fn steps(&self, route: &Route, explained: &Explained, mask: bool) -> Vec<String> {
        let value = self.record.value.map(|value| ("value", String::new(), value));
        let steps = explained.steps.iter().map(|(step, bytes)| (name(*step), how(*step, route), bytes.as_slice()));
        let line = |(name, how, bytes): (&str, String, &[u8])| {
            format!("  {name:<9} {how:<12} {:>9}  {}", counted(bytes.len(), "byte"), preview(bytes, mask))
        };
        value.into_iter().chain(steps).map(line).collect()
    }

    pub(super) fn json(&self, mask: bool) -> Value {
        let record = &self.record;
        let routes: Vec<_> = self.routes.iter().map(|(route, explained)| json_of(route, explained, mask)).collect();
        let from_kafka = |value: Value| if self.is_from_kafka { value } else { Value::Null };
        json!({
            "topic": self.topic,
            "group": self.group,
            "partition": from_kafka(record.partition.into()),
            "offset": from_kafka(record.offset.into()),
            "timestamp_ms": record.timestamp_ms,
            "key_bytes": record.key.map(<[u8]>::len),
            "headers": record.headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "value_bytes": record.value.map(<[u8]>::len),
            "routes": routes,
        })
    }
}

fn size(what: &str, bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| format!("no {what}"), |bytes| format!("{what} of {}", counted(bytes.len(), "byte")))
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Unframed => "unframe",
        Step::Unwrapped => "unwrap",
        Step::Decrypted => "decrypt",
        Step::Recoded => "recode",
        Step::Document => "document",
    }
}

/// By what the step was made.
fn how(step: Step, route: &Route) -> String {
    let form = &route.value;
    match step {
        Step::Unframed if form.framing == Framing::SchemaRegistry => "schema-reg.".to_owned(),
        Step::Unframed => String::new(),
        Step::Unwrapped => form.encoding.name().to_owned(),
        Step::Decrypted => form.decrypt.as_ref().map(|decrypt| decrypt.cipher.name().to_owned()).unwrap_or_default(),
        Step::Recoded => {
            let Charset::Utf8 = form.charset else { return form.charset.name().to_owned() };
            String::new()
        }
        Step::Document if form.format == Format::Json => String::new(),
        Step::Document => form.format.name().to_owned(),
    }
}

/// The row, column by column, or the reason why there is none.
fn outcome(route: &Route, explained: &Explained, value: &[u8], mask: bool) -> Vec<String> {
    let rows = match &explained.outcome {
        Ok(Some(rows)) => rows,
        Ok(None) => return vec![format!("  filtered: {}", LEFT_OUT)],
        Err((stage, reason)) => {
            let mut lines = vec![format!("  rejected at {stage}: {reason}")];
            let read = explained.steps.last().map_or(value, |(_, bytes)| bytes);
            lines.extend(explained.fault.into_iter().flat_map(|at| around(read, at, mask)));
            return lines;
        }
    };
    let line = |row: &[u8]| {
        let columns = columns(route, row);
        let width = columns.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let head = format!("  row       {:>22}", counted(row.len() + 1, "byte"));
        let cell =
            move |(name, json): (String, String)| format!("    {name:width$}  {}", shortened(&masked(&json, mask)));
        [head].into_iter().chain(columns.into_iter().map(cell)).collect::<Vec<_>>()
    };
    lines_of(rows).flat_map(line).collect()
}

/// The rows, each without its line feed.
fn lines_of(rows: &[u8]) -> impl Iterator<Item = &[u8]> {
    rows.split(|byte| *byte == b'\n').filter(|row| !row.is_empty())
}

/// Names and JSON texts of a row: the route's columns in their order, then what else the row holds.
fn columns(route: &Route, row: &[u8]) -> Vec<(String, String)> {
    let mut cells: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(row).unwrap_or_default();
    let known: Vec<_> = route.columns.iter().filter_map(|column| cells.remove_entry(&column.name)).collect();
    known.into_iter().chain(cells).map(|(name, json)| (name, json.get().to_owned())).collect()
}

fn json_of(route: &Route, explained: &Explained, mask: bool) -> Value {
    let step = |(step, bytes): &(Step, Vec<u8>)| json!({ "step": name(*step), "bytes": bytes.len(), "preview": preview(bytes, mask) });
    let steps: Vec<_> = explained.steps.iter().map(step).collect();
    let mut all = json!({ "table": route.table.to_string(), "steps": steps });
    let outcome = match &explained.outcome {
        Ok(None) => ("filtered", Value::Bool(true)),
        Ok(Some(rows)) if route.rows.is_some() => {
            let row = |row| {
                let cells = columns(route, row).into_iter();
                cells.map(|(column, json)| json!({ "column": column, "json": masked(&json, mask) })).collect()
            };
            ("rows", Value::Array(lines_of(rows).map(row).collect()))
        }
        Ok(Some(row)) => {
            let cells = columns(route, row).into_iter();
            let cells = cells.map(|(column, json)| json!({ "column": column, "json": masked(&json, mask) }));
            ("row", Value::Array(cells.collect()))
        }
        Err((stage, reason)) => {
            ("reject", json!({ "stage": stage.to_string(), "reason": reason, "at_byte": explained.fault }))
        }
    };
    if let Some(all) = all.as_object_mut() {
        all.insert(outcome.0.to_owned(), outcome.1);
    }
    all
}

/// The beginning of some bytes: as text if it is one, else in hexadecimal digits.
fn preview(bytes: &[u8], mask: bool) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !c.is_whitespace()) => shortened(&masked(text, mask)),
        _ if mask => "(binary)".to_owned(),
        _ => {
            let digits: Vec<_> = bytes.iter().take(PREVIEW_BYTES).map(|byte| format!("{byte:02x}")).collect();
            let more = if bytes.len() > PREVIEW_BYTES { " …" } else { "" };
            format!("{}{more}", digits.join(" "))
        }
    }
}

/// One line of a text.
fn shortened(text: &str) -> String {
    let mut line: String = text.chars().take(PREVIEW).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(PREVIEW).is_some() {
        line.push('…');
    }
    line
}

fn masked(text: &str, mask: bool) -> String {
    let hidden = |c: char| match c {
        c if c.is_numeric() => '0',
        c if c.is_alphabetic() || !c.is_ascii() => 'x',
        c => c,
    };
    if mask { text.chars().map(hidden).collect() } else { text.to_owned() }
}

/// Two lines: the text around a byte, and a mark under it.
fn around(bytes: &[u8], at: usize, mask: bool) -> [String; 2] {
    let (before, behind) = bytes.split_at(at.min(bytes.len()));
    let (before, behind) = (String::from_utf8_lossy(before), String::from_utf8_lossy(behind));
    let flat = |text: String| -> String { text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
    let skipped = before.chars().count().saturating_sub(AROUND);
    let dots = if skipped > 0 { "…" } else { "" };
    let before = flat(masked(&before.chars().skip(skipped).collect::<String>(), mask));
    let behind = flat(masked(&behind.chars().take(AROUND).collect::<String>(), mask));
    let indent: String = dots.chars().chain(before.chars()).map(blank).collect();
    [format!("    {dots}{before}{behind}"), format!("    {indent}^")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_can_be_hidden() {
        assert_eq!(masked("{\"id\":12,\"name\":\"王五\"}", true), "{\"xx\":00,\"xxxx\":\"xx\"}");
        assert_eq!(preview(&[0, 255], true), "(binary)");
        assert_eq!(preview(&[0, 255], false), "00 ff");
    }

    #[test]
    fn the_place_is_marked_wherever_it_is() {
        assert_eq!(around(b"{\"a\":x}", 5, false), ["    {\"a\":x}", "         ^"]);
        assert_eq!(around(b"{\"a\":", 5, false)[1], "         ^");
        let long = format!("{}中\n\"", "a".repeat(40));
        let [text, mark] = around(long.as_bytes(), 43, false);
        assert_eq!(text, format!("    …{}中 \"", "a".repeat(29)));
        assert_eq!(mark.chars().count(), 4 + 1 + 29 + 2 + 1, "a Chinese character takes two columns");
    }

    #[test]
    fn previews_are_one_line() {
        assert_eq!(shortened("a\nb"), "a b");
        assert_eq!(shortened(&"x".repeat(61)), format!("{}…", "x".repeat(60)));
    }
}
