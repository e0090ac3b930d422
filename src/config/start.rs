//! `start`: where a pipeline begins when its group has no position.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::Start;
use super::reader::{Item, nearest};
use super::units::{self, EPOCH_MS_MIN};
use crate::domain::{Offset, Partition};

const FORMS: &str = "\"committed\", \"earliest\", \"latest\", a time like \"2026-11-20T08:00:00+08:00\", \
                     epoch milliseconds, or { offsets = { \"0\" = 1200 } }";

/// Reads `start`. `None`: the reason is noted.
pub(super) fn read(item: &Item<'_>) -> Option<Start> {
    match item.value() {
        DeValue::String(text) => word_or_time(item, text),
        DeValue::Datetime(time) => timestamp(item, &time.to_string()),
        DeValue::Integer(_) => epoch_ms(item),
        DeValue::Table(_) => offsets(item),
        DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Array(_) => {
            item.mistyped(FORMS);
            None
        }
    }
}

fn word_or_time(item: &Item<'_>, text: &str) -> Option<Start> {
    match text {
        "committed" => Some(Start::Committed),
        "earliest" => Some(Start::Earliest),
        "latest" => Some(Start::Latest),
        _ if text.starts_with(|c: char| c.is_ascii_digit()) => timestamp(item, text),
        _ => {
            let hint = match nearest(text, ["committed", "earliest", "latest"].into_iter()) {
                Some(word) => format!("did you mean {word:?}?"),
                None => format!("expected {FORMS}"),
            };
            item.problem(format!("{text:?} is no place to start at"), hint);
            None
        }
    }
}

fn timestamp(item: &Item<'_>, text: &str) -> Option<Start> {
    let time = units::time(text);
    if time.is_none() {
        item.problem(
            format!("expected an RFC 3339 time with its zone, found {text:?}"),
            "a date, a time and a zone: \"2026-11-20T08:00:00+08:00\" or \"2026-11-20T00:00:00Z\"",
        );
    }
    time.map(Start::Timestamp)
}

fn epoch_ms(item: &Item<'_>) -> Option<Start> {
    let number = item.integer(0..=i64::MAX as u64)?;
    let ms = i64::try_from(number).ok()?;
    if ms < EPOCH_MS_MIN {
        item.problem(
            format!("{ms} as epoch milliseconds lies before 1973"),
            "seconds? multiply by 1000; an offset? write { offsets = { \"0\" = 1200 } } with every partition",
        );
        return None;
    }
    Some(Start::Timestamp(ms))
}

fn offsets(item: &Item<'_>) -> Option<Start> {
    let mut section = item.section(FORMS)?;
    let named = section.require("offsets", "write { offsets = { \"0\" = 1200, \"1\" = 950 } }");
    section.finish();
    let table = named?.section("a table of partitions and offsets")?;
    if table.is_empty() {
        table.problem("no partition is named", "name every partition of the topic: { \"0\" = 1200, \"1\" = 950 }");
        return None;
    }
    let entries = table.entries();
    let count = entries.len();
    let read: BTreeMap<Partition, Offset> = entries.iter().filter_map(|(key, item)| offset(key, item)).collect();
    (read.len() == count).then_some(Start::Offsets(read))
}

fn offset(key: &str, item: &Item<'_>) -> Option<(Partition, Offset)> {
    // `"01"` would name partition 1 a second time.
    let partition = key.parse::<Partition>().ok().filter(|number| *number >= 0 && number.to_string() == key);
    if partition.is_none() {
        item.error(format!("expected the number of a partition as key, found {key:?}"));
    }
    let offset = item.integer(0..=i64::MAX as u64).and_then(|offset| Offset::try_from(offset).ok());
    Some((partition?, offset?))
}
