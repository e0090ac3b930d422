//! `[[topic2table]]`: one route, as it stands in the file.

use std::sync::Arc;

use toml::de::DeValue;

use super::reader::{Item, Section};
use super::{RejectPolicy, Route, Start, columns, digest, headers, start, value};
use crate::domain::{Delivery, Table};

/// Longest name of a topic that Kafka takes.
const TOPIC_MAX: usize = 249;

/// A route with the settings that it may say for its whole pipeline, each with its place.
pub(super) struct Entry<'t> {
    pub(super) topic: Arc<str>,
    /// The group, if the route names it.
    pub(super) group: Option<Arc<str>>,
    pub(super) start: Option<(Start, Item<'t>)>,
    pub(super) rejects: Option<(RejectPolicy, Item<'t>)>,
    /// Where the table is named.
    pub(super) table: Item<'t>,
    pub(super) route: Route,
}

/// Reads one entry. `None`: at least one problem is noted.
pub(super) fn read<'t>(mut section: Section<'t>, database: Option<&str>) -> Option<Entry<'t>> {
    let topic = section.require("topic", "the topic to read: topic = \"orders\"");
    let topic = topic.and_then(|item| self::topic(&item));
    let table_item = section.require("table", "table = \"orders\", or \"database.orders\"");
    let table = table_item.as_ref().and_then(|item| self::table(item, database));
    let group = section.take("group");
    let group = group.map_or(Some(None), |item| item.words("the name of a consumer group").map(Arc::from).map(Some));
    let start = section.take("start");
    let start = start.map_or(Some(None), |item| start::read(&item).map(|start| Some((start, item))));
    let rejects = section.take("on_reject");
    let rejects = rejects.map_or(Some(None), |item| rejects_of(&item).map(|policy| Some((policy, item))));
    let names = columns::names_alone(&mut section);
    let value = value::read(&mut section, names);
    let columns = columns::read(&mut section, value.as_ref().map(|value| &value.format));
    let filter = section.take("where").map_or(Some(None), |item| columns::condition(&item).map(Some));
    let rows = section.take("rows").map_or(Some(None), |item| columns::rows(&item).map(Some));
    let load_headers = section.take("load").map_or(Some(Default::default()), |item| headers::read(&item));
    let delivery = section.take("delivery");
    let delivery = delivery.map_or(Some(Delivery::ExactlyOnce), |item| self::delivery(&item));
    section.finish();

    let (topic, rejects) = (topic?, rejects?);
    if let Some((RejectPolicy::DeadLetterTopic(dead), item)) = &rejects
        && dead.as_str() == &*topic
    {
        item.problem("dead letters would be read again as records of the same topic", "name another topic");
        return None;
    }
    let (table, value, columns, load_headers) = (table?, value?, columns?, load_headers?);
    let (filter, rows) = (filter?, rows?);
    let digest = digest::digest(&table, &value, &columns, [("where", &filter), ("rows", &rows)], load_headers.iter());
    let route = Route { table, value, columns, filter, rows, load_headers, delivery: delivery?, digest };
    Some(Entry { topic, group: group?, start: start?, rejects, table: table_item?, route })
}

fn topic(item: &Item<'_>) -> Option<Arc<str>> {
    let name = item.words("the name of a topic")?;
    let legal = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if !legal || name.len() > TOPIC_MAX || matches!(name, "." | "..") {
        item.problem(
            format!("{name:?} can't be the name of a topic"),
            format!("letters, digits, `.`, `_` and `-`, at most {TOPIC_MAX} of them"),
        );
        return None;
    }
    Some(Arc::from(name))
}

/// The name of a database or a table: it becomes part of a URL and of SQL.
pub(super) fn identifier(item: &Item<'_>, what: &str) -> Option<String> {
    let name = item.words(&format!("the name of {what}"))?;
    if !is_identifier(name) {
        item.problem(format!("{name:?} can't be the name of {what}"), "letters, digits, `_`, `-` and `$`");
        return None;
    }
    Some(name.to_owned())
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

fn table(item: &Item<'_>, database: Option<&str>) -> Option<Table> {
    let text = item.words("the name of a table")?;
    let (database, name) = match (text.split_once('.'), database) {
        (Some((database, name)), _) if is_identifier(database) => (database, name),
        (Some(_), _) => ("", ""),
        (None, Some(database)) => (database, text),
        (None, None) => {
            item.problem(
                format!("nothing says in which database {text:?} is"),
                format!("set engine.database, or write \"database.{text}\""),
            );
            return None;
        }
    };
    if !is_identifier(name) {
        item.problem(
            format!("{text:?} can't be the name of a table"),
            "\"table\" or \"database.table\": letters, digits, `_`, `-` and `$`",
        );
        return None;
    }
    Some(Table { database: Arc::from(database), name: Arc::from(name) })
}

fn delivery(item: &Item<'_>) -> Option<Delivery> {
    const FORMS: &str = "\"exactly-once\" or \"at-least-once\"";
    match item.string(FORMS)? {
        "exactly-once" => Some(Delivery::ExactlyOnce),
        "at-least-once" => Some(Delivery::AtLeastOnce),
        other => {
            item.error(format!("expected {FORMS}, found {other:?}"));
            None
        }
    }
}

fn rejects_of(item: &Item<'_>) -> Option<RejectPolicy> {
    const FORMS: &str =
        "\"stop\", { skip = 10, of = 10000 }, { dead_letter = \"topic\" } or { dead_letter_file = \"path\" }";
    if let DeValue::String(text) = item.value() {
        if text == "stop" {
            return Some(RejectPolicy::Stop);
        }
        item.error(format!("expected {FORMS}, found {text:?}"));
        return None;
    }
    let mut section = item.section(FORMS)?;
    let (skip, of) = (section.take("skip"), section.take("of"));
    let (dead, file) = (section.take("dead_letter"), section.take("dead_letter_file"));
    section.finish();
    match (skip, of, dead, file) {
        (Some(skip), Some(of), None, None) => {
            let (most, of_records) = (skip.integer(0..=u64::MAX), of.integer(1..=u64::MAX));
            let (most, of_records) = (most?, of_records?);
            if most > of_records {
                skip.error(format!("{most} rejects among {of_records} records can't happen; `skip` is at most `of`"));
                return None;
            }
            Some(RejectPolicy::Skip { most, of: of_records })
        }
        (None, None, Some(dead), None) => topic(&dead).map(|name| RejectPolicy::DeadLetterTopic(name.to_string())),
        (None, None, None, Some(file)) => {
            let path = file.words("the path of a file")?;
            Some(RejectPolicy::DeadLetterFile(file.reading().beside(path)))
        }
        _ => {
            item.error(format!("expected exactly one of {FORMS}"));
            None
        }
    }
}
